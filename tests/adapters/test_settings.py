"""Settings without the command around them: which source wins, and how each refuses a bad value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.settings import PREFIX, Origin, Settings, describe, load
from engine.refusals import BadConfiguration

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

DEFAULTS = Settings.model_validate({})
NUMBERS = {
    name: schema
    for name, schema in Settings.model_json_schema()["properties"].items()
    if schema.get("type") in ("integer", "number")
}


def in_file(folder: Path, text: str | bytes) -> Path:
    """A file of settings."""
    file = folder / "headgate.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def of(name: str, listed: list[Origin]) -> tuple[object, str]:
    """Value and origin of one setting."""
    ((_, value, origin),) = [item for item in listed if item.name == name]
    return value, origin


def refusal(
    flags: Mapping[str, Any] | None = None,
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """What is said of settings that must be refused."""
    with pytest.raises(BadConfiguration) as caught:
        load(flags or {}, file, environment or {})
    return str(caught.value)


def test_values_tried_here_are_all_settings() -> None:
    """A setting that is added without a row above would go untested."""
    assert sorted(OTHER_VALUES) == sorted(Settings.model_fields)
    settings, _ = load({}, None, {})
    assert not any(getattr(settings, name) == row[2] for name, row in OTHER_VALUES.items())


@pytest.mark.parametrize("name", OTHER_VALUES)
def test_setting_is_taken_from_every_source_in_order(name: str, tmp_path: Path) -> None:
    """Flag before environment before file before default, whichever setting it is."""
    text, toml, loaded = OTHER_VALUES[name]
    file = in_file(tmp_path, f"{name} = {toml}\n")
    variable, flag = f"HEADGATE_{name.upper()}", f"--{name.replace('_', '-')}"
    default = getattr(DEFAULTS, name)
    as_text = ",".join(default) if isinstance(default, tuple) else str(default)

    assert of(name, load({}, None, {})[1]) == (default, "default")
    assert of(name, load({}, file, {})[1]) == (loaded, f"file {file}")
    upper = load({}, file, {variable: as_text})[1]
    assert of(name, upper) == (default, f"environment {variable}")
    settings, uppermost = load({name: text}, file, {variable: as_text})
    assert of(name, uppermost) == (loaded, f"flag {flag}")
    assert getattr(settings, name) == loaded


def test_flag_that_is_not_given_hides_nothing() -> None:
    """The command hands over None for each flag that is absent."""
    _, listed = load({"inbox_max": None, "dev": None}, None, {"HEADGATE_INBOX_MAX": "5"})
    assert of("inbox_max", listed) == (5, "environment HEADGATE_INBOX_MAX")
    assert of("dev", listed) == (False, "default")


def test_flag_of_zero_or_no_is_given(tmp_path: Path) -> None:
    """`--no-dev` and 0 are values, though Python reads them as false."""
    file = in_file(tmp_path, "dev = true\nended_max = 5\n")
    _, listed = load({"dev": False, "ended_max": 0}, file, {})
    assert of("dev", listed) == (False, "flag --dev")
    assert of("ended_max", listed) == (0, "flag --ended-max")


def test_environment_is_the_process_s_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command passes none; only tests do."""
    monkeypatch.setenv("HEADGATE_INBOX_MAX", "5")
    assert load({}, None)[0].inbox_max == 5


def test_variables_of_others_are_left_alone() -> None:
    """The prefix is shared with what is no setting, such as the kernel cache's folder."""
    environment = {"HEADGATE_KERNEL_CACHE": "/x", "INBOX_MAX": "5", "headgate_inbox_max": "5"}
    assert load({}, None, environment)[0] == DEFAULTS


@pytest.mark.parametrize(("name", "toml", "expected"), BAD_VALUES)
def test_bad_value_in_the_file_is_refused(
    name: str, toml: str, expected: str, tmp_path: Path
) -> None:
    """Whoever wrote it is told the file, the setting and what would have been right."""
    file = in_file(tmp_path, f"{name} = {toml}\n")
    told = refusal(file=file)
    assert told.startswith(f"file {file}: ")
    assert expected in told.partition(": expected ")[2]
    assert name in told or expected == "valid TOML"


def test_bad_value_names_the_source_that_won() -> None:
    """A good file does not help when the environment that hides it is wrong."""
    environment = {"HEADGATE_INBOX_MAX": "0"}
    assert refusal(environment=environment).startswith("environment HEADGATE_INBOX_MAX: inbox_max:")
    assert refusal({"inbox_max": "0"}).startswith("flag --inbox-max: inbox_max:")
    assert load({"inbox_max": "1"}, None, environment)[0].inbox_max == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in_box_max = 5\n", "in_box_max"),  # a slip of the pen
        ("[limits]\ncontacts_max = 5\n", "limits"),  # a table where there are none
        ("inbox-max = 5\n", "inbox-max"),  # spelled as a flag
        ("inbox_max = 5\ninbox_max = 6\n", "valid TOML"),  # twice
        ("inbox_max: 5\n", "valid TOML"),  # another format
    ],
)
def test_file_that_says_what_is_no_setting_is_refused(
    text: str, expected: str, tmp_path: Path
) -> None:
    """A name that is passed over in silence would leave its default at work."""
    file = in_file(tmp_path, text)
    told = refusal(file=file)
    assert told.startswith(f"file {file}")
    assert expected in told


def test_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    """An editor's other encoding is named, with the place."""
    file = in_file(tmp_path, 'data_dir = "café"\n'.encode("latin-1"))
    told = refusal(file=file)
    assert told.startswith(f"file {file}: expected valid TOML, which is UTF-8 text")
    assert "byte 0xe9 at 15" in told


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    """One line for each, so that a file is mended in one go; nothing is said twice."""
    file = in_file(tmp_path, 'cells = [1, 2]\ngrace_s = -1\nin_box_max = 5\ninbox_max = "x"\n')
    lines = refusal({"dev": "x"}, file, {"HEADGATE_STREAM_MAX": "5"}).splitlines()
    assert [line.partition(": expected ")[0] for line in lines] == [
        "environment HEADGATE_STREAM_MAX",
        f"file {file}: cells",
        "flag --dev: dev",
        f"file {file}: grace_s",
        f"file {file}: inbox_max",
        f"file {file}: in_box_max",
    ]
    assert not any("Input" in line or "Value error" in line for line in lines)


def test_unknown_name_is_refused_with_the_one_that_was_meant() -> None:
    """A setting that is set in vain leaves its default at work."""
    told = refusal(environment={"HEADGATE_INBX_MAX": "5"})
    assert told.startswith("environment HEADGATE_INBX_MAX: ")
    assert "(did you mean HEADGATE_INBOX_MAX?), got '5'" in told
    with pytest.raises(BadConfiguration, match=r"^flag --set inbx_max: .*mean inbox_max\?") as said:
        load({}, None, {}, {"inbx_max": "5"})
    assert "--inbx-max" not in str(said.value)


def test_variables_of_kubernetes_are_left_alone() -> None:
    """A service named headgate puts these into every pod, the engine's own among them."""
    environment = {
        "HEADGATE_SERVICE_HOST": "10.0.0.1",
        "HEADGATE_SERVICE_PORT": "7443",
        "HEADGATE_SERVICE_PORT_GRPC": "7443",
        "HEADGATE_PORT": "tcp://10.0.0.1:7443",
        "HEADGATE_PORT_7443_TCP": "tcp://10.0.0.1:7443",
        "HEADGATE_PORT_7443_TCP_ADDR": "10.0.0.1",
        "HEADGATE_METRICS_SERVICE_HOST": "10.0.0.2",
    }
    assert load({}, None, environment)[0] == DEFAULTS


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A path that is wrong is told as such, not as a file without settings."""
    for file in (tmp_path / "absent.toml", tmp_path):
        assert f"file {file}: expected a readable TOML file" in refusal(file=file)


@pytest.mark.parametrize("name", NUMBERS)
def test_number_stands_within_bounds(name: str) -> None:
    """Each bound is the last value that is taken, and the default lies within."""
    schema = NUMBERS[name]
    low, high = schema["minimum"], schema["maximum"]
    for edge, beyond in ((low, low - 1), (high, high + 1)):
        assert getattr(load({name: edge}, None, {})[0], name) == edge
        assert refusal({name: beyond}).startswith(f"flag --{name.replace('_', '-')}: {name}:")
    assert low <= schema["default"] <= high


def test_settings_cannot_be_changed_once_loaded() -> None:
    """What was checked at load is what every part of the process reads."""
    settings, _ = load({}, None, {})
    with pytest.raises(ValidationError):
        settings.inbox_max = 0


def test_reference_has_every_setting_with_its_variable_and_default() -> None:
    """Settling an environment from the reference's own columns gives the defaults."""
    rows = describe()
    assert sorted(name for name, _, _, _ in rows) == sorted(Settings.model_fields)
    assert all(meaning for _, _, _, meaning in rows)
    environment = {variable: default for _, variable, default, _ in rows}
    assert all(variable.startswith(PREFIX) for variable in environment)
    settings, listed = load({}, None, environment)
    assert settings == DEFAULTS
    assert {item.origin for item in listed} == {f"environment {name}" for name in environment}


def test_password_of_a_url_is_never_shown() -> None:
    """Settings are printed, logged and quoted in refusals; what opens the database is not."""
    url = "redis://engine:s3cret@h:1"
    _, listed = load({}, None, {"HEADGATE_LOG": url})
    assert of("log", listed) == ("redis://***@h:1", "environment HEADGATE_LOG")
    told = refusal({"log": url})
    assert told == (
        "flag --log: log: expected no password on the command line: redis_password_file, or "
        "HEADGATE_LOG, got 'redis://***@h:1'"
    )
    assert load({"log": "redis://engine@h:1"}, None, {})[0].is_in_redis
    for wrong in (f"{url}/x", f"{url}:2", "redis://engine:s3cr@et@h:1"):
        assert "s3cr" not in refusal({"log": wrong})
    # There is no such setting, and what somebody took for one is a password all the same.
    told = refusal(environment={"HEADGATE_REDIS_PASSWORD": "s3cret"})
    assert "s3cret" not in told
    assert "did you mean HEADGATE_REDIS_PASSWORD_FILE?" in told
    told = refusal({"durability": "full"}, environment={"HEADGATE_LOG": url})
    assert told == (
        "flag --durability: durability: expected auto, relaxed, replicated or strict, "
        "where log is redis://***@h:1, got 'full'"
    )
