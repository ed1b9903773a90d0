"""What is counted at the door."""

from prometheus_client import CollectorRegistry, Counter, Gauge

from adapters.security.refusals import Failure


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
            "Times that the callers file was changed to something that is refused; the one before "
            "counts on.",
            registry=registry,
        )

    def failed(self, failure: Failure) -> None:
        """Count a call that was not let in."""
        self._failures.labels(failure.value).inc()
