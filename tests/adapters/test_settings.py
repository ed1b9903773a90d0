"""Settings without the command around them: which source wins, and how each refuses a bad value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from adapters.settings import PREFIX, Origin, Settings, describe, load
from engine.refusals import BadConfiguration
from tests.adapters.setting_values import BAD_VALUES, OTHER_VALUES

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
