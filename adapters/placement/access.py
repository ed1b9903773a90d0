"""How this engine reaches others: the same for calls that it passes on and those of its own."""

from adapters.settings import Settings
from engine.refusals import BadConfiguration
from headgate.access import Access


def access_to_engines(settings: Settings, token_file: str = "") -> Access:
    """
    Whom to trust, and what to show: a certificate where one is asked for, and a token of its own.
    """
    shows = bool(settings.tls_client_ca_file)
    return Access(
        tls=settings.is_encrypted,
        ca_file=settings.relay_ca_file,
        certificate_file=settings.tls_certificate_file if shows else "",
        key_file=settings.tls_key_file if shows else "",
        token_file=token_file,
    )


def require_access(settings: Settings) -> None:
    """
    See whether the engines of other neighbours can be asked so.

    Raises
    ------
    BadConfiguration
        A file holds nothing, or the token would go over the network for all to read.
    """
    for address in filter(None, settings.neighbour_addresses.values()):
        try:
            access_to_engines(settings, settings.neighbour_token_file).check(address)
        except (OSError, ValueError) as error:
            what = f"neighbour_token_file {settings.neighbour_token_file}, to {address}"
            raise BadConfiguration(what, "something else", str(error)) from None
