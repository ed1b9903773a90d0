"""A cell's log in Redis, as the settings have it."""

import ssl
from dataclasses import replace
from pathlib import Path
from typing import Final

from adapters.redis_log.address import RedisAddress, TlsFiles, parse_redis_url, redacted
from adapters.redis_log.log import RedisLog
from adapters.redis_log.primary import RedisPrimary
from adapters.redis_log.scripts import Keys
from adapters.redis_log.server_check import Tier
from adapters.redis_log.terms import CommitCounts, Kept, Terms
from adapters.settings import Settings
from engine.refusals import BadConfiguration

_TIERS: Final[dict[str, Tier]] = {
    "relaxed": "relaxed",
    "replicated": "replicated",
    "strict": "strict",
}


def open_redis_log(settings: Settings, cell: str, counts: CommitCounts) -> RedisLog:
    """
    Make the log of a cell; connects to nothing yet.

    Raises
    ------
    BadConfiguration
        A file that the settings name cannot be used.
    """
    tier, wait_replicas = promise_of(settings)
    terms = Terms(
        wait_replicas=wait_replicas,
        wait_ms=settings.redis_wait_ms,
        lease_ms=settings.lease_ms,
        lease_wait_s=settings.lease_wait_s,
        answer_within_s=settings.redis_timeout_ms / 1_000,
        in_doubt_s=settings.in_doubt_s,
    )
    kept = Kept(reply_window_ms=settings.reply_window_ms, replies_max=settings.replies_max)
    primary = RedisPrimary(address_of(settings), cell, terms.answer_within_s)
    return RedisLog(primary, Keys.of(settings.redis_prefix, cell), tier, terms, kept, counts)


def promise_of(settings: Settings) -> tuple[Tier, int]:
    """Tier of the settings, and how many replicas a commit waits for."""
    tier = _TIERS[settings.promise]
    waits_for = {"relaxed": 0, "replicated": 1, "strict": settings.redis_replicas}
    return tier, waits_for[tier]


def address_of(settings: Settings) -> RedisAddress:
    """Address with its password and its files; raises BadConfiguration."""
    password_file = "redis_password_file", settings.redis_password_file
    address = with_password(parse_redis_url(settings.log), *password_file)
    files = tls_files(settings)
    if address.tls is None and files != TlsFiles():
        raise BadConfiguration("log", redacted(settings.log), "rediss://, where files for TLS are")
    return with_files(address, files)


def tls_files(settings: Settings) -> TlsFiles:
    """The files that the settings name."""
    return TlsFiles(
        settings.redis_ca_file, settings.redis_certificate_file, settings.redis_key_file
    )


def with_files(address: RedisAddress, files: TlsFiles) -> RedisAddress:
    """An address with its files where it is one for TLS; raises BadConfiguration."""
    if address.tls is None:
        return address
    _check(files)
    return replace(address, tls=files)


def with_password(address: RedisAddress, name: str, path: str) -> RedisAddress:
    """An address with the password of the file that a setting names; raises BadConfiguration."""
    if not path:
        return address
    try:
        found = Path(path).read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(name, path, "readable text") from error
    if not found:
        raise BadConfiguration(name, path, "a password in it")
    return replace(address, password=found)


def _check(files: TlsFiles) -> None:
    """Load the files once, so that what is wrong is told now and not in a failover."""
    name, shown = "redis_ca_file", files.ca
    try:
        context = ssl.create_default_context(cafile=files.ca or None)
        name, shown = "redis_certificate_file", f"{files.certificate}, key {files.key}"
        if files.certificate:
            context.load_cert_chain(files.certificate, files.key or None)
    except OSError as error:
        raise BadConfiguration(name, shown, f"usable PEM ({error})") from error
