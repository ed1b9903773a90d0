"""Settings that pass the load and fail later, with a traceback instead of the setting's name."""

from pathlib import Path

import click
import pytest

from adapters.cli import serve
from adapters.settings import Settings, load
from engine.refusals import BadConfiguration

INT32_MAX = 2**31 - 1


def test_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    """An editor may have saved it so; TOML is UTF-8."""
    file = tmp_path / "headgate.toml"
    file.write_bytes('data_dir = "/srv/é"\n'.encode("latin-1"))
    with pytest.raises(BadConfiguration, match=f"file {file}: expected "):
        load({}, file, {})


@pytest.mark.parametrize("name", ["connection_age_s", "keepalive_s"])
def test_seconds_that_grpc_cannot_hold_are_refused(name: str) -> None:
    """A month is 2,592,000 s, and gRPC counts milliseconds in 32 bits."""
    schema = Settings.model_json_schema()["properties"][name]
    assert schema.get("maximum", 2**63) * 1_000 <= INT32_MAX
    with pytest.raises(BadConfiguration, match=name):
        load({name: 2_592_000}, None, {})


@pytest.mark.parametrize("rate", ["-1", "nan", "inf"])
def test_rate_that_is_none_is_refused(rate: str) -> None:
    """Neither below nothing nor what compares with nothing: a bucket would never fill."""
    expected = "tenant_contacts_per_s: expected a number of 0 to 1000000"
    with pytest.raises(BadConfiguration, match=expected):
        load({"tenant_contacts_per_s": rate}, None, {})


def test_flags_of_serve_are_settings() -> None:
    """A flag under another name than its setting would be refused as unknown at every start."""
    options = {option.name for option in serve.params if isinstance(option, click.Option)}
    assert options - {"config", "settings", "print_config"} <= Settings.model_fields.keys()
