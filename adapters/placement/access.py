"""How this engine reaches others: the same for calls that it passes on and those of its own."""

from adapters.settings import Settings
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
