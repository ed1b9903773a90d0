"""A good value of each setting that is not its default, and bad ones."""

from pathlib import Path

# Setting -> a good value that is not its default, as an environment variable and a flag spell it,
# as TOML spells it, and as it is loaded.
OTHER_VALUES: dict[str, tuple[str, str, object]] = {
    "address": ("0.0.0.0:1", '"0.0.0.0:1"', "0.0.0.0:1"),
    "metrics_address": ("", '""', ""),
    "data_dir": ("/tmp/x", '"/tmp/x"', Path("/tmp/x")),
    "log": ("redis://h:1", '"redis://h:1"', "redis://h:1"),
    "durability": ("memory", '"memory"', "memory"),
    "cells": ("a,b-2,C_3", '["a", "b-2", "C_3"]', ("a", "b-2", "C_3")),
    "dev": ("true", "true", True),
    "channelz": ("1", "true", True),
    "log_level": ("debug", '"debug"', "debug"),
    "log_format": ("console", '"console"', "console"),
    "grace_s": ("0.5", "0.5", 0.5),
    "contacts_max": ("7", "7", 7),
    "agents_max": ("7", "7", 7),
    "queues_max": ("7", "7", 7),
    "ended_max": ("0", "0", 0),
    "ended_retention_ms": ("0", "0", 0),
    "decisions_max": ("0", "0", 0),
    "reply_window_ms": ("1000", "1_000", 1_000),
    "replies_max": ("7", "7", 7),
    "inbox_max": ("7", "7", 7),
    "calls_in_flight_max": ("7", "7", 7),
    "streams_max": ("7", "7", 7),
    "message_bytes_max": ("8192", "8_192", 8_192),
    "connection_age_s": ("0", "0", 0),
    "keepalive_s": ("7", "7", 7),
    "sensing": ("false", "false", False),
    "sensing_save_s": ("60", "60", 60),
    "telemetry_queues": ("create", '"create"', "create"),
    "telemetry_lateness_ms": ("500", "500", 500),
    "telemetry_stale_ms": ("5000", "5000", 5_000),
    "anomalies_per_day": ("1.5", "1.5", 1.5),
    "policy_directory": ("/tmp", '"/tmp"', "/tmp"),
    "pin": ("off", '"off"', "off"),
    "insecure": ("true", "true", True),
    "tls_certificate_file": (__file__, f'"{__file__}"', __file__),
    "tls_key_file": (__file__, f'"{__file__}"', __file__),
    "tls_client_ca_file": (__file__, f'"{__file__}"', __file__),
    "callers_file": (__file__, f'"{__file__}"', __file__),
    "jwt_issuer": ("https://i", '"https://i"', "https://i"),
    "jwt_audience": ("a", '"a"', "a"),
    "jwt_keys": ("https://i/keys", '"https://i/keys"', "https://i/keys"),
    "jwt_ca_file": (__file__, f'"{__file__}"', __file__),
    "jwt_algorithms": ("PS256,ES512", '["PS256", "ES512"]', ("PS256", "ES512")),
    "jwt_tenant_claim": ("org.id", '"org.id"', "org.id"),
    "jwt_roles_claim": ("https://x/roles", '"https://x/roles"', "https://x/roles"),
    "jwt_cells_claim": ("c", '"c"', "c"),
    "audit_file": ("/tmp/x", '"/tmp/x"', "/tmp/x"),
    "connection_streams_max": ("7", "7", 7),
    "caller_streams_max": ("7", "7", 7),
    "tenant_weights": ("a=2,b=0.5", '["a=2", "b=0.5"]', ("a=2", "b=0.5")),
    "tenant_contacts_per_s": ("0.5", "0.5", 0.5),
    "redis_replicas": ("7", "7", 7),
    "redis_prefix": ("a:b", '"a:b"', "a:b"),
    "redis_password_file": (__file__, f'"{__file__}"', __file__),
    "redis_ca_file": (__file__, f'"{__file__}"', __file__),
    "redis_certificate_file": (__file__, f'"{__file__}"', __file__),
    "redis_key_file": (__file__, f'"{__file__}"', __file__),
    "redis_timeout_ms": ("77", "77", 77),
    "redis_wait_ms": ("77", "77", 77),
    "in_doubt_s": ("0.5", "0.5", 0.5),
    "lease_ms": ("777", "777", 777),
    "lease_wait_s": ("0.5", "0.5", 0.5),
    "engine_name": ("pod-0", '"pod-0"', "pod-0"),
    "placement": ("true", "true", True),
    "advertised_address": ("h:1", '"h:1"', "h:1"),
    "heartbeat_ms": ("77", "77", 77),
    "heartbeat_expiry_ms": ("777", "777", 777),
    "relay": ("on", '"on"', "on"),
    "relay_ca_file": (__file__, f'"{__file__}"', __file__),
    "neighbours": ("a,b=h:1", '["a", "b=h:1"]', ("a", "b=h:1")),
    "neighbour_token_file": (__file__, f'"{__file__}"', __file__),
    "telemetry_stream": ("redis://h:1", '"redis://h:1"', "redis://h:1"),
    "telemetry_stream_key": ("a:{b}", '"a:{b}"', "a:{b}"),
    "telemetry_stream_group": ("a:b", '"a:b"', "a:b"),
    "telemetry_stream_password_file": (__file__, f'"{__file__}"', __file__),
}

# Setting, what stands in the file as TOML, and what the refusal says was expected.
BAD_VALUES = [
    ("address", '"localhost"', "HOST:PORT"),  # no port
    ("address", '":7443"', "HOST:PORT"),  # no host
    ("address", '"localhost:"', "HOST:PORT"),  # an empty port
    ("address", '"localhost:http"', "HOST:PORT"),  # a name for a port
    ("address", '"localhost:65536"', "0 to 65535"),  # a port too high
    ("address", '"localhost:-1"', "HOST:PORT"),  # a port below zero
    ("address", '""', "HOST:PORT"),  # only metrics_address may be empty
    ("address", "7443", "HOST:PORT"),  # a number
    ("metrics_address", '"localhost"', "HOST:PORT"),  # no port here either
    ("data_dir", "1", "path"),  # a number for a folder
    ("durability", '"FULL"', "'full', 'normal', 'memory', 'relaxed'"),  # wrong case
    ("log", '"postgres://h"', "'sqlite', or redis://HOST:PORT"),  # not built
    ("log", '"redis://"', "'sqlite', or redis://HOST:PORT"),  # no host
    ("log", '"redis://a:1,b:2"', "'sqlite', or redis://HOST:PORT"),  # which of them?
    ("log", '"redis://a:1/x"', "'sqlite', or redis://HOST:PORT"),  # a name for a number
    ("log", '"redis+sentinel://a:1"', "/SERVICE"),  # no service
    ("log", '"redis+cluster://a:1/2"', "redis+cluster://HOST:PORT"),  # clusters have one database
    ("redis_prefix", '"a{b}"', "letters, digits"),  # braces choose the slot
    ("redis_ca_file", '"/nowhere.pem"', "readable PEM file"),
    ("advertised_address", '"h:0"', "a port of 1 to 65535"),  # nobody could reach it
    ("advertised_address", '"h"', "HOST:PORT"),  # no port
    ("relay", '"yes"', "'off', 'asked' or 'on'"),  # unknown word
    ("tenant_weights", '["a=0"]', "0.001 to 1000"),  # would never be let in
    ("tenant_weights", '["a=x"]', "TENANT=NUMBER"),
    ("tenant_weights", '["a=nan"]', "TENANT=NUMBER"),
    ("tenant_weights", '["a=1", "a=2"]', "each once"),
    ("tenant_weights", '["=1"]', "TENANT=NUMBER"),  # of nobody
    ("relay_ca_file", '"/nowhere.pem"', "readable PEM file"),
    ("neighbours", '["a", "a=h:1"]', "each once"),  # twice
    ("neighbours", '["a=h"]', "NAME=HOST:PORT"),  # no port
    ("neighbours", '["a=h:0"]', "NAME=HOST:PORT"),  # nobody listens there
    ("neighbours", '["a/b=h:1"]', "NAME=HOST:PORT"),  # no cell
    ("neighbour_token_file", '"/nowhere"', "readable file"),
    ("heartbeat_ms", "10", "a whole number of 50 to 60000"),  # a flood
    ("telemetry_stream", '"h:1"', "nothing, or redis://HOST:PORT"),  # no scheme
    ("telemetry_stream", '"sqlite"', "nothing, or redis://HOST:PORT"),  # only log may be that
    ("telemetry_stream_key", '""', "1 to 128 letters"),  # a stream without a name
    ("telemetry_stream_key", '"a b"', "1 to 128 letters"),  # a space
    ("telemetry_stream_group", '"{a}"', "1 to 128 letters"),  # braces mean nothing here
    ("telemetry_stream_password_file", '"/nowhere"', "a readable file"),
    ("policy_directory", '"/nowhere"', "a folder that can be read"),
    ("policy_directory", f'"{__file__}"', "a folder that can be read"),  # no folder
    ("engine_name", '"a\\nb"', "printed"),  # would break a log line
    ("tls_key_file", '"/nowhere.pem"', "readable PEM file"),
    ("callers_file", '"/nowhere"', "readable file"),
    ("jwt_keys", '"http://issuer.example/keys"', "https://HOST/PATH"),  # anybody could answer
    ("jwt_keys", '"ftp://127.0.0.1/keys"', "https://HOST/PATH"),  # nobody fetches that
    ("jwt_algorithms", '["HS256"]', "RS256"),  # whoever checks could sign
    ("jwt_algorithms", '["none"]', "RS256"),  # not signed at all
    ("jwt_algorithms", '""', "one or more of RS256"),
    ("jwt_roles_claim", '"a..b"', "a.b for b within a"),
    ("durability", '"strict"', "auto, full, normal or memory, where log is sqlite"),
    ("log_level", '"warn"', "'warning'"),  # the word of another program
    ("log_format", '"text"', "'json' or 'console'"),  # unknown word
    ("pin", "true", "'auto', 'on' or 'off'"),  # a boolean for a word
    ("cells", "[]", "one or more cells"),  # none
    ("cells", '""', "one or more cells"),  # none, as text
    ("cells", '["a", "a"]', "each once"),  # twice
    ("cells", '["a/b"]', "letters, digits, - and _"),  # would be a path
    ("cells", '["é"]', "letters, digits, - and _"),  # beyond ASCII
    ("cells", '["-"]', "letters, digits, - and _"),  # nothing but punctuation
    ("cells", '["a", ""]', "letters, digits, - and _"),  # one without a name
    ("cells", '"a, b"', "letters, digits, - and _"),  # a space after the comma
    ("cells", "[1]", "letters, digits, - and _"),  # a number for a name
    ("cells", "5", "one or more cells"),  # not a list
    ("dev", '"maybe"', "true or false"),  # a word that is no boolean
    ("dev", '""', "true or false"),  # a variable that is set to nothing
    ("grace_s", "-0.001", "a number of 0 to 600"),
    ("grace_s", "600.1", "a number of 0 to 600"),
    ("grace_s", "nan", "a number of 0 to 600"),  # compares false with every bound
    ("grace_s", "inf", "a number of 0 to 600"),
    ("grace_s", '"soon"', "a number of 0 to 600"),
    ("inbox_max", "1.5", "a whole number of 1 to 1000000"),  # a fraction
    ("inbox_max", '"4k"', "a whole number of 1 to 1000000"),  # a unit
    ("inbox_max", "[1]", "a whole number of 1 to 1000000"),  # a list
    ("inbox_max", "true", "a whole number of 1 to 1000000"),  # Python takes it for 1
    ("grace_s", "false", "a number of 0 to 600"),  # and this for 0
    ("data_dir", '""', "the path of a folder"),  # would be the present folder
    ("data_dir", '"a\\u0000b"', "the path of a folder"),  # no path of this system
    ("address", '"::1:7443"', "an IPv6 host in brackets"),  # could end anywhere
    ("inbox_max", "[a]\nb = 1", "valid TOML"),  # no value at all
]
