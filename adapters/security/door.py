"""
The door: every call comes with a credential, and is let in, or refused, before its request is read.

A credential that was checked once is known again by its SHA-256, so that a call pays for a look
into a table. The table is emptied whenever callers or keys change. Where callers need not prove who
they are, everybody is let in.
"""

import asyncio
import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import structlog

from adapters.calls import DEFAULT_CELL, Cells
from adapters.dispatch_loop import DispatchLoop
from adapters.errors import CallRefused, overloaded, unavailable
from adapters.security.audit import AuditTrail
from adapters.security.callers import ANYBODY, NO_CALLERS, Caller, read_callers
from adapters.security.certificates import ServerCertificate, names_of
from adapters.security.key_set import KeySet, source_of
from adapters.security.metrics import AccessMetrics
from adapters.security.refusals import Failure, NotKnown, not_let_in
from adapters.security.roles import rule_of
from adapters.security.settings import SecuritySettings
from adapters.security.tenant_rates import TenantRates
from adapters.security.tokens import PREFIX
from adapters.security.watched_files import WatchedFiles
from adapters.security.web_tokens import Terms, WebTokens
from engine.refusals import BadConfiguration

_log = structlog.get_logger(__name__)

_KNOWN_MAX: Final = 10_000
_LOOK_EVERY_S: Final = 2.0
# How often it is seen whether who holds a stream still may.
_STREAMS_EVERY_S: Final = 5.0
# Refusals that are logged within a second; of more only the number.
_LINES_PER_S: Final = 10
# A caller may ask for a cell of any length.
_CELL_CHARACTERS_SHOWN: Final = 80
_HEADER: Final = "authorization"
_RETRY_MS: Final = 100


class Admission(Cells):
    """
    The cells of this process, as one caller may use them.

    Parameters
    ----------
    cells
        All of them.
    caller
        Who was let in.
    door
        Where refusals are told, and records kept.
    peer
        Address of the other end; "" where it does not matter.
    """

    def __init__(self, cells: Cells, caller: Caller, door: "Door", peer: str = "") -> None:
        super().__init__(cells.loops, cells.sensing, cells.elsewhere)
        self.caller = caller
        self._door = door
        self._peer = peer

    def at(self, peer: str) -> "Admission":
        """The same, with the address of the other end."""
        return Admission(self, self.caller, self._door, peer)

    def names(self) -> list[str]:
        """Cells that the caller may know of."""
        return [name for name in super().names() if self.caller.may_use(name)]

    def find(self, name: str) -> DispatchLoop:
        """
        A cell; one that is not the caller's is refused alike whether or not it is there.

        Raises
        ------
        CallRefused
            PERMISSION_DENIED, or NOT_FOUND.
        """
        if not self.caller.may_use(name or DEFAULT_CELL):
            raise self._door.refuse_cell(self.caller, name or DEFAULT_CELL, self._peer)
        return super().find(name)

    def require(self, method: str) -> None:
        """
        See whether the caller may call a method, Service/Method.

        Raises
        ------
        CallRefused
            PERMISSION_DENIED; it has none of the roles for it.
        """
        if rule_of(method).roles.isdisjoint(self.caller.roles):
            raise self._door.refuse_role(self.caller, method, self._peer)

    def spend(self, name: str) -> None:
        """
        Count a new contact against what the caller's tenant may bring.

        Raises
        ------
        CallRefused
            RESOURCE_EXHAUSTED, with a delay.
        """
        if name == "Route":
            self._door.rates.take(self.caller.tenant)

    def note(self, method: str, request: Any, refused: CallRefused | None) -> None:
        """Keep an audit record of a call of a method that asks for one."""
        if rule_of(method).is_audited:
            self._door.audit.record(self.caller, self._peer, method, request, refused)


class Door:
    """
    Lets callers in.

    Parameters
    ----------
    settings
        Who may call.
    cells
        What they may call.
    metrics
        Where refusals are counted.

    Raises
    ------
    BadConfiguration
        A file that settings name is not what it should be.
    """

    def __init__(self, settings: SecuritySettings, cells: Cells, metrics: AccessMetrics) -> None:
        self.audit = AuditTrail(settings.audit_file, metrics.audit_failures)
        self.rates = TenantRates(settings.tenant_contacts_per_s, metrics.held_back)
        self._settings = settings
        self._cells = cells
        self._metrics = metrics
        self._anybody = None if settings.asks_who_calls else Admission(cells, ANYBODY, self)
        self._known: dict[bytes, Admission] = {}
        self._streams: Counter[tuple[str, str]] = Counter()
        self._lines = _Lines()
        self._file = WatchedFiles((settings.callers_file,))
        # Whether the file has changed and was neither taken in nor refused.
        self._is_behind = False
        self._callers = self._read_callers() if settings.callers_file else NO_CALLERS
        self._keys: KeySet | None = None
        self._web_tokens: WebTokens | None = None
        if settings.jwt_issuer:
            forget = self._known.clear
            self._keys = KeySet(source_of(settings), settings.jwt_ca_file, forget)
            self._web_tokens = WebTokens(_terms(settings), self._keys)
        self._certificate: ServerCertificate | None = None
        if settings.is_encrypted:
            self._certificate = ServerCertificate(
                settings.tls_certificate_file,
                settings.tls_key_file,
                settings.tls_client_ca_file,
                metrics.certificate_expiry.set,
            )

    def bind(self, server: Any, address: str) -> int:
        """Take an address for a gRPC server, with TLS where that is set up; returns the port."""
        if self._certificate is None:
            port: int = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, self._certificate.credentials())
        return port

    async def admit(self, method: str, context: Any) -> Admission:
        """
        Let a call in.

        Parameters
        ----------
        method
            Service/Method.
        context
            gRPC's, of the call.

        Raises
        ------
        CallRefused
            UNAUTHENTICATED, or PERMISSION_DENIED; or UNAVAILABLE while credentials cannot be
            checked.
        """
        if self._anybody is not None:
            return self._anybody
        try:
            admission = await self._identified(context)
        except NotKnown as error:
            raise self._refuse(error.failure, method, context.peer(), detail=str(error)) from None
        if rule_of(method).roles.isdisjoint(admission.caller.roles):
            admission = admission.at(context.peer())
            try:
                admission.require(method)
            except CallRefused as refused:
                admission.note(method, None, refused)
                raise
        return admission

    @contextlib.contextmanager
    def stream_of(self, admission: Admission) -> Iterator[None]:
        """
        Count a stream of a caller while it lasts.

        Raises
        ------
        CallRefused
            RESOURCE_EXHAUSTED; it has as many as one caller may.
        """
        whose = admission.caller.tenant, admission.caller.name
        limit = self._settings.caller_streams_max
        if self._anybody is None and self._streams[whose] >= limit:
            raise overloaded(f"{limit} streams of this caller are open", _RETRY_MS)
        self._streams[whose] += 1
        try:
            yield
        finally:
            self._streams[whose] -= 1
            if not self._streams[whose]:
                del self._streams[whose]

    async def lapse(self, method: str, context: Any, admission: Admission) -> CallRefused:
        """Wait until who holds a stream may no longer, or not as before; returns why it ends."""
        if self._anybody is not None:
            await asyncio.Event().wait()
        while True:
            await asyncio.sleep(_STREAMS_EVERY_S)
            try:
                if (await self.admit(method, context)).caller == admission.caller:
                    continue
            except CallRefused as refused:
                if refused.reason == "KEYS_UNAVAILABLE":
                    continue
            # Whoever has a newer credential goes on with that, and everybody else learns then
            # what is wrong with this one.
            why = "the credential of this stream no longer counts; resume with the present one"
            return unavailable(why, _RETRY_MS)

    async def keep_fresh(self) -> None:
        """Take in callers and keys as they change, until cancelled."""
        while True:
            for look in (self._look_at_callers, self._look_at_keys):
                try:
                    await look()
                except Exception:
                    # A bug of ours: whoever is removed while nobody looks would be let in for ever.
                    self._metrics.reload_failures.inc()
                    _log.exception("access_not_reloaded")
            await asyncio.sleep(_LOOK_EVERY_S)

    def refuse_cell(self, caller: Caller, cell: str, peer: str) -> CallRefused:
        """The refusal of a cell that is not the caller's."""
        shown = cell[:_CELL_CHARACTERS_SHOWN]
        self._tell(Failure.CELL, peer=peer, caller=caller.name, tenant=caller.tenant, cell=shown)
        return not_let_in(Failure.CELL, f"cell {shown!r} is none of this caller's")

    def refuse_role(self, caller: Caller, method: str, peer: str) -> CallRefused:
        """The refusal of a method that the caller has no role for."""
        self._tell(Failure.ROLE, peer=peer, caller=caller.name, tenant=caller.tenant, method=method)
        wanted = " or ".join(sorted(rule_of(method).roles)) or "of nobody"
        return not_let_in(Failure.ROLE, f"{method} is for the role {wanted}")

    async def _identified(self, context: Any) -> Admission:
        found = [value for name, value in context.invocation_metadata() if name == _HEADER]
        if not found:
            return self._by_certificate(context)
        if len(found) > 1:
            raise NotKnown(Failure.MALFORMED, "several authorizations")
        raw = found[0].encode() if isinstance(found[0], str) else found[0]
        digest = hashlib.sha256(raw).digest()
        known = self._known.get(digest)
        if known is None:
            known = Admission(self._cells, await self._by_token(raw), self)
            while len(self._known) >= _KNOWN_MAX:
                self._known.pop(next(iter(self._known)), None)
            self._known[digest] = known
        return _if_in_time(known)

    async def _by_token(self, raw: bytes) -> Caller:
        scheme, _, token = raw.decode(errors="replace").strip().partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotKnown(Failure.MALFORMED, "no bearer token")
        if token.startswith(PREFIX) or self._web_tokens is None:
            caller = self._callers.with_token(token)
            if caller is None:
                raise NotKnown(Failure.UNKNOWN_TOKEN, token[:16] if token[:4] == PREFIX else "")
            return caller
        return await self._web_tokens.caller_of(token)

    def _by_certificate(self, context: Any) -> Admission:
        shown: Mapping[str, list[bytes]] = context.auth_context()
        names = names_of(shown) if self._settings.tls_client_ca_file else []
        for name in names:
            caller = self._callers.with_certificate(name)
            if caller is not None:
                return _if_in_time(Admission(self._cells, caller, self))
        if names:
            raise NotKnown(Failure.UNKNOWN_CERTIFICATE, ", ".join(names))
        raise NotKnown(Failure.MISSING)

    def _refuse(self, failure: Failure, method: str, peer: str, detail: str) -> CallRefused:
        self._tell(failure, peer=peer, method=method, detail=detail)
        return not_let_in(failure)

    def _tell(self, failure: Failure, **fields: str) -> None:
        self._metrics.failed(failure)
        if self._lines.may_be_written():
            _log.warning(
                "access_refused", reason=failure.value, left_out=self._lines.left_out(), **fields
            )

    def _read_callers(self) -> Any:
        callers = read_callers(Path(self._settings.callers_file))
        _log.info("callers_loaded", path=self._settings.callers_file, callers=len(callers))
        return callers

    async def _look_at_callers(self) -> None:
        self._is_behind |= self._file.have_changed()
        if not self._is_behind:
            return
        try:
            self._callers = self._read_callers()
            self._known.clear()
        except BadConfiguration as error:
            self._metrics.reload_failures.inc()
            _log.error("callers_not_reloaded", error=str(error))
        self._is_behind = False

    async def _look_at_keys(self) -> None:
        if self._keys is not None:
            await self._keys.refresh()


def _if_in_time(admission: Admission) -> Admission:
    if admission.caller.until_s <= time.time():
        raise NotKnown(Failure.EXPIRED, f"caller {admission.caller.name!r}")
    return admission


def _terms(settings: SecuritySettings) -> Terms:
    return Terms(
        settings.jwt_issuer,
        settings.jwt_audience,
        settings.jwt_algorithms,
        settings.jwt_tenant_claim,
        settings.jwt_roles_claim,
        settings.jwt_cells_claim,
    )


class _Lines:
    """Bounds how many refusals are logged: whoever floods the port must not fill the disk."""

    def __init__(self) -> None:
        self._second = 0
        self._count = 0
        self._left_out = 0

    def may_be_written(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._count = second, 0
        self._count += 1
        self._left_out += self._count > _LINES_PER_S
        return self._count <= _LINES_PER_S

    def left_out(self) -> int:
        """How many were not, since last asked."""
        left_out, self._left_out = self._left_out, 0
        return left_out
