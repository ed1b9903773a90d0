"""Settings of `headgate serve` as options of gRPC's server."""

from adapters.settings import Settings


def channel_options(settings: Settings) -> list[tuple[str, int]]:
    """Bounds of messages, metadata and connections."""
    options = [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.message_bytes_max),
        ("grpc.max_metadata_size", 8_192),
        ("grpc.keepalive_time_ms", settings.keepalive_s * 1_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.max_concurrent_streams", settings.connection_streams_max),
        # Whoever connects and never ends the handshake.
        ("grpc.server_handshake_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.enable_channelz", int(settings.channelz)),
    ]
    if settings.connection_age_s:
        options += [
            ("grpc.max_connection_age_ms", settings.connection_age_s * 1_000),
            # A connection of full age takes no more calls. Its streams end by themselves, each when
            # it is as old; gRPC would only cut them off.
            ("grpc.max_connection_age_grace_ms", settings.connection_age_s * 1_000 + 60_000),
        ]
    return options
