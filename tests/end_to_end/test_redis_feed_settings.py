"""Settings of a stream of readings that do not go together; no server is needed for that."""

import pytest

from tests.end_to_end.serving import headgate


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("telemetry_stream=redis://h:1", "sensing=false"), "nothing, where sensing is false"),
        (
            ("telemetry_stream=redis+cluster://h:1", "telemetry_stream_key=readings"),
            "a part in braces",
        ),
        (
            ("telemetry_stream=redis://h:1", "telemetry_stream_password_file=/dev/null"),
            "a password in it",
        ),
        (("telemetry_stream=rediss://h:1", f"redis_ca_file={__file__}"), "usable PEM"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(arguments: tuple[str, ...], why: str) -> None:
    """The engine does not start, and says what to change."""
    pairs = [word for argument in arguments for word in ("--set", argument)]
    plain = ("--address", "127.0.0.1:0", "--metrics-address", "", "--durability", "memory")
    found = headgate("serve", *plain, *pairs)
    assert found.returncode == 2, found.stderr
    assert why in found.stderr
