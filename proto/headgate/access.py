"""
How to reach an engine that asks who calls: whom to trust, and what to show.

    Client("engine.example:7443", Access(ca_file="ca.pem", token_file="/run/secrets/headgate"))

Files are read again when they are replaced, tokens with every call: credentials that are renewed
need no restart.
"""

import ipaddress
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

# Environment variable -> what it gives.
_VARIABLES: Final = {
    "HEADGATE_ENGINE_TLS": "tls",
    "HEADGATE_ENGINE_CA_FILE": "ca_file",
    "HEADGATE_ENGINE_CERTIFICATE_FILE": "certificate_file",
    "HEADGATE_ENGINE_KEY_FILE": "key_file",
    "HEADGATE_TOKEN_FILE": "token_file",
    "HEADGATE_TOKEN": "token",
}
CLIENT_VARIABLES: Final = tuple(_VARIABLES)
_TRUE: Final = ("1", "true", "yes", "on")
_READ_EVERY_S: Final = 1.0

Options = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Access:
    """
    Whom to trust, and what to show; "" for nothing.

    Attributes
    ----------
    tls
        Encrypt, trusting whom the system trusts; any of the files below implies it.
    ca_file
        Certificates of the authorities to trust instead, PEM.
    certificate_file, key_file
        Certificate to show and its key, PEM; both or neither.
    token_file, token
        Token to show: the first line of a file, or the token itself.
    """

    tls: bool = False
    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    token_file: str = ""
    token: str = field(default="", repr=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Access":
        """What the HEADGATE_ENGINE_* and HEADGATE_TOKEN* variables give."""
        found = os.environ if environment is None else environment
        given = {name: found.get(variable, "") for variable, name in _VARIABLES.items()}
        return cls(tls=given.pop("tls").lower() in _TRUE, **given)

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection is by TLS."""
        return bool(self.tls or self.ca_file or self.certificate_file)

    def check(self, address: str) -> None:
        """
        See whether an engine can be reached so.

        Raises
        ------
        OSError
            A file cannot be read.
        ValueError
            A key without its certificate, or a token that would leave this machine unencrypted.
        """
        for path in (self.ca_file, self.certificate_file, self.key_file):
            _read(path)
        if bool(self.certificate_file) != bool(self.key_file):
            raise ValueError("expected a certificate with its key, or neither")
        has_token = _Tokens(self.token_file, self.token).is_given
        if has_token and not self.is_encrypted and not _is_loopback(address):
            raise ValueError(
                f"expected TLS to {address}, with the authority's certificate or the system's: the "
                "token would go over the network for all to read"
            )

    def channel(self, address: str, options: Options = ()) -> grpc.aio.Channel:
        """A connection to an engine; raises what `check` does."""
        self.check(address)
        tokens = _Tokens(self.token_file, self.token)
        if self.is_encrypted:
            credentials = grpc.ssl_channel_credentials(
                _read(self.ca_file), _read(self.key_file), _read(self.certificate_file)
            )
            channel = grpc.aio.secure_channel(address, credentials, options=options)
        else:
            channel = grpc.aio.insecure_channel(address, options=options)
        return _WithToken(channel, tokens) if tokens.is_given else channel


def channel_to(
    address: str, access: Access | grpc.ChannelCredentials | None, options: Options
) -> grpc.aio.Channel:
    """A connection as `Client` makes it."""
    if isinstance(access, grpc.ChannelCredentials):
        return grpc.aio.secure_channel(address, access, options=options)
    return (Access.from_environment() if access is None else access).channel(address, options)


class _Tokens:
    """The present token, from a file that may be replaced at any time."""

    def __init__(self, path: str, token: str) -> None:
        self._path = path
        self._token = token
        self._read_s = 0.0
        if path:
            self._token = self._read()

    @property
    def is_given(self) -> bool:
        """Whether there is one to show."""
        return bool(self._token)

    def present(self) -> str:
        """What to show now; the last one while the file cannot be read."""
        if self._path and time.monotonic() - self._read_s > _READ_EVERY_S:
            try:
                self._token = self._read()
            except (OSError, ValueError):
                self._read_s = time.monotonic()
        return self._token

    def _read(self) -> str:
        self._read_s = time.monotonic()
        lines = Path(self._path).read_text(encoding="utf-8").split()
        if not lines:
            raise ValueError(f"expected a token in {self._path}, which is empty")
        return lines[0]


class _WithToken(grpc.aio.Channel):
    """A channel whose calls show a token."""

    def __init__(self, channel: grpc.aio.Channel, tokens: _Tokens) -> None:
        self._channel = channel
        self._tokens = tokens

    async def __aenter__(self) -> "_WithToken":
        await self._channel.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._channel.__aexit__(*error)

    async def close(self, grace: float | None = None) -> None:
        """Close the connection."""
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """How the connection is."""
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the connection is otherwise."""
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the connection stands."""
        await self._channel.channel_ready()

    def unary_unary(self, *method: Any, **named: Any) -> Any:
        """A method of that kind."""
        return self._shown(self._channel.unary_unary(*method, **named))

    def unary_stream(self, *method: Any, **named: Any) -> Any:
        """A method of that kind."""
        return self._shown(self._channel.unary_stream(*method, **named))

    def stream_unary(self, *method: Any, **named: Any) -> Any:
        """A method of that kind."""
        return self._shown(self._channel.stream_unary(*method, **named))

    def stream_stream(self, *method: Any, **named: Any) -> Any:
        """A method of that kind."""
        return self._shown(self._channel.stream_stream(*method, **named))

    def _shown(self, call: Any) -> Any:
        def with_token(*request: Any, metadata: Any = None, **named: Any) -> Any:
            shown = ("authorization", f"Bearer {self._tokens.present()}")
            return call(*request, metadata=(*(metadata or ()), shown), **named)

        return with_token


def _read(path: str) -> bytes | None:
    return Path(path).read_bytes() if path else None


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return address.startswith("unix:")
