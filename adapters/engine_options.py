"""Options by which a command finds an engine, and shows it who calls."""

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

if TYPE_CHECKING:
    from headgate.access import Access
    from headgate.client import Client

_FILE: Final = click.Path(dir_okay=False)


class EngineAt(NamedTuple):
    """
    Where an engine is, and how to reach it.

    Attributes
    ----------
    address
        HOST:PORT.
    access
        Whom to trust, and what to show.
    """

    address: str
    access: "Access"

    def client(self) -> "Client":
        """A connection to it."""
        from headgate.client import Client

        return Client(self.address, self.access)

    def words(self) -> list[str]:
        """The options that reach it, for a command to be typed again; no secret is among them."""
        access = self.access
        files = (
            ("--engine-ca-file", access.ca_file),
            ("--engine-certificate-file", access.certificate_file),
            ("--engine-key-file", access.key_file),
            ("--token-file", access.token_file),
        )
        told = [word for option, file in files if file for word in (option, file)]
        return ["--engine-tls", *told] if access.tls else told


_OPTIONS: Final = (
    click.option(
        "--engine-tls", is_flag=True, envvar="HEADGATE_ENGINE_TLS", show_envvar=True,
        help="Reach the engine by TLS, trusting whom the system trusts.",
    ),
    click.option(
        "--engine-ca-file", type=_FILE, default="", envvar="HEADGATE_ENGINE_CA_FILE",
        show_envvar=True, help="By TLS, trusting the authorities of this PEM file.",
    ),
    click.option(
        "--engine-certificate-file", type=_FILE, default="",
        envvar="HEADGATE_ENGINE_CERTIFICATE_FILE", show_envvar=True,
        help="Certificate to show to the engine, PEM.",
    ),
    click.option(
        "--engine-key-file", type=_FILE, default="", envvar="HEADGATE_ENGINE_KEY_FILE",
        show_envvar=True, help="Key of that certificate, PEM.",
    ),
    click.option(
        "--token-file", type=_FILE, default="", envvar="HEADGATE_TOKEN_FILE", show_envvar=True,
        help="File with the token to show to the engine; or HEADGATE_TOKEN holds it.",
    ),
)  # fmt: skip


def reaches_engine(command: Callable[..., None]) -> Callable[..., None]:
    """
    Give a command that has an `address` the options to reach an engine there; it gets an `engine`
    instead of all of them.
    """

    @functools.wraps(command)
    def with_engine(  # noqa: PLR0913  (what the command line says)
        *,
        address: str,
        engine_tls: bool,
        engine_ca_file: str,
        engine_certificate_file: str,
        engine_key_file: str,
        token_file: str,
        **others: Any,
    ) -> None:
        from headgate.access import Access

        access = Access(
            engine_tls, engine_ca_file, engine_certificate_file, engine_key_file, token_file
        )
        if not token_file:
            access = dataclasses.replace(access, token=Access.from_environment().token)
        try:
            access.check(address)
        except OSError as error:
            raise click.UsageError(f"{error.filename}: {error.strerror}") from None
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        command(engine=EngineAt(address, access), **others)

    for option in reversed(_OPTIONS):
        with_engine = option(with_engine)
    return with_engine
