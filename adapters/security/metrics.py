"""What is counted at the door."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from adapters.security.refusals import Failure

# Tenants that have a series of their own: names come from credentials, of which there may be many.
_TENANTS_MAX: Final = 100


class AccessMetrics:
    """Metrics of credentials, certificates and audit records."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._failures = Counter(
            "headgate_auth_failures",
            "Calls not let in, and commands of sessions, by reason: missing, expired, role, cell "
            "and so on.",
            ("reason",),
            registry=registry,
        )
        for failure in Failure:
            self._failures.labels(failure.value)
        self.audit_failures = Counter(
            "headgate_audit_failures",
            "Audit records that could not be added to audit_file and went to the log instead.",
            registry=registry,
        )
        self.certificate_expiry = Gauge(
            "headgate_certificate_expiry_timestamp_seconds",
            "When the certificate of the gRPC port ends, since the Unix epoch; 0 without TLS.",
            registry=registry,
        )
        self.reload_failures = Counter(
            "headgate_callers_reload_failures",
            "Times that the callers file was changed to something that is refused, or callers or "
            "keys could not be looked at; those from before count on.",
            registry=registry,
        )

        self._held_back = Counter(
            "headgate_tenant_contacts_refused",
            "Contacts beyond tenant_contacts_per_s, and calls beyond a tenant's part of those in "
            "flight, by tenant; those of tenants after the first hundred are counted together, as "
            "others.",
            ("tenant",),
            registry=registry,
        )
        self._tenants: set[str] = set()

    def held_back(self, tenant: str) -> None:
        """Count a contact that a tenant was not let in with."""
        if len(self._tenants) < _TENANTS_MAX:
            self._tenants.add(tenant)
        self._held_back.labels(tenant if tenant in self._tenants else "others").inc()

    def failed(self, failure: Failure) -> None:
        """Count a call that was not let in."""
        self._failures.labels(failure.value).inc()
