"""What `headgate serve` refuses to begin with."""

import base64
from pathlib import Path
from typing import Any

import pytest

from adapters.security.protection import is_exposed, require_protection
from adapters.settings import Settings
from engine.refusals import BadConfiguration
from tests.end_to_end.credentials import Authority, CallersFile, Issuer

EVERYWHERE = "0.0.0.0:7443"


def check(address: str = "127.0.0.1:7443", **settings: Any) -> None:
    """See whether a server may begin."""
    channelz = settings.pop("channelz", False)
    texts = {name: str(value) for name, value in settings.items()}
    require_protection(Settings.model_validate(texts), address, channelz=channelz)


def refusal(address: str = "127.0.0.1:7443", **settings: Any) -> str:
    """What is said of a server that may not."""
    with pytest.raises(BadConfiguration) as caught:
        check(address, **settings)
    return str(caught.value)


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    """Settings of TLS."""
    signed = Authority(tmp_path).certificate("server")
    return {"tls_certificate_file": signed.certificate_file, "tls_key_file": signed.key_file}


@pytest.fixture
def callers(tmp_path: Path) -> dict[str, str]:
    """Settings of a callers file."""
    return {"callers_file": str(CallersFile(tmp_path / "callers").path)}


@pytest.mark.parametrize(
    "address", ["127.0.0.1:1", "[::1]:1", "localhost:1", "127.3.2.1:1", "[::ffff:127.0.0.1]:1"]
)
def test_address_of_this_machine_needs_nothing(address: str) -> None:
    """The demo, tests and a first call go on as they did."""
    if "ffff" not in address:
        check(address)
        assert not is_exposed(address)


@pytest.mark.parametrize("address", [EVERYWHERE, "[::]:1", "192.0.2.7:1", "[2001:db8::1]:1"])
def test_address_beyond_this_machine_needs_tls_and_callers(
    address: str, tls: dict[str, str], callers: dict[str, str]
) -> None:
    """And what is missing is said, and how to go without."""
    told = refusal(address)
    assert told.startswith("address: expected an address of this machine only")
    assert "TLS (tls_certificate_file, tls_key_file) and callers who prove who they are" in told
    assert "--insecure" in told
    assert told.endswith(f"got '{address}'")
    assert " and callers" not in refusal(address, **callers)
    assert "TLS" not in refusal(address, **tls).partition("; ")[0].replace("tls_", "")
    check(address, **tls, **callers)
    check(address, insecure=True)


def test_name_nobody_knows_is_left_to_be_told_when_it_is_listened_on() -> None:
    """The reason given then is the right one."""
    assert not is_exposed("no-such-host.invalid:1")


def test_issuer_that_is_no_url_cannot_be_asked_for_its_keys() -> None:
    """One that is says itself where they are."""
    told = refusal(jwt_issuer="acme", jwt_audience="headgate")
    assert told.startswith("jwt_keys: expected a value, as jwt_issuer is no https:// URL")
    check(jwt_issuer="https://issuer.example", jwt_audience="headgate")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (("tls_certificate_file",), "tls_key_file"),
        (("tls_key_file",), "tls_certificate_file"),
        (("tls_client_ca_file",), "tls_certificate_file"),
        (("jwt_issuer",), "jwt_audience"),
        (("jwt_audience",), "jwt_issuer"),
        (("jwt_keys",), "jwt_issuer"),
    ],
)
def test_setting_without_its_other_half_is_refused(given: tuple[str, ...], missing: str) -> None:
    """Half of it would protect nothing, in silence."""
    told = refusal(**dict.fromkeys(given, __file__))
    assert told.startswith(f"{missing}: expected a value, as {given[0]} has one")


def test_certificates_of_callers_need_a_list_of_what_they_may(
    tls: dict[str, str], tmp_path: Path
) -> None:
    """Otherwise whoever has any certificate of the authority may do everything."""
    told = refusal(**tls, tls_client_ca_file=Authority(tmp_path, "clients").ca_file)
    assert told.startswith("callers_file: expected a file that says what each certificate may do")


def test_channelz_shows_connections_of_all_and_is_refused(callers: dict[str, str]) -> None:
    """It is gRPC's own service and knows no roles."""
    assert refusal(**callers, channelz=True).startswith("channelz: expected off")
    check(channelz=True)


def test_files_that_hold_something_else_are_refused(
    tmp_path: Path, tls: dict[str, str], callers: dict[str, str]
) -> None:
    """At the start, with setting and path, not at the first connection."""
    other = Authority(tmp_path, "other").certificate("another")
    wrong = tmp_path / "wrong"
    wrong.write_text("nothing")
    assert "another key" in refusal(**{**tls, "tls_key_file": other.key_file})
    for name, expected in (
        ("tls_certificate_file", "PEM with a certificate"),
        ("tls_key_file", "PEM with a key, not encrypted"),
        ("tls_client_ca_file", "PEM with a certificate"),
        ("callers_file", "one JSON object"),
    ):
        told = refusal(**{**tls, **callers, name: str(wrong)})
        assert told.startswith(f"{name} {wrong}")
        assert f"expected {expected}" in told
    pairs = {"jwt_issuer": "i", "jwt_audience": "a"}
    assert refusal(**pairs, jwt_keys=wrong).startswith(f"jwt_keys {wrong}: expected a JWKS")
    check(**pairs, jwt_keys=Issuer(tmp_path / "keys").path)


def test_certificate_and_key_of_a_kind_nobody_knows_are_refused(
    tmp_path: Path, tls: dict[str, str]
) -> None:
    """They are whole and well-formed, and still cannot be served with."""
    for name, expected in (
        ("tls_certificate_file", "PEM with a certificate"),
        ("tls_key_file", "PEM with a key, not encrypted"),
    ):
        path = tmp_path / "unknown"
        path.write_bytes(_of_unknown_kind(Path(tls[name]).read_bytes()))
        told = refusal(**{**tls, name: str(path)})
        assert told.startswith(f"{name} {path}: expected {expected}")


def _of_unknown_kind(pem: bytes) -> bytes:
    """The same PEM, but for the kind of its key: 1.2.840.10045.2.1 is renamed to one below."""
    begin, *lines, end = pem.splitlines()
    der = base64.b64decode(b"".join(lines))
    renamed = der.replace(bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a8648ce3d0202"))
    return b"\n".join((begin, base64.encodebytes(renamed).strip(), end, b""))
