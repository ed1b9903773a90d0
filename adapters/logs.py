"""Structured logs on standard error: one JSON object a line, or coloured lines for a person."""

import sys

import orjson
import structlog


def configure_logs(level: str, form: str) -> None:
    """Set the least severe level that is written, and the form of lines: json or console."""
    renderer: structlog.typing.Processor
    if form == "json":
        renderer = structlog.processors.JSONRenderer(serializer=_to_json)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def _to_json(value: object, **_: object) -> str:
    return orjson.dumps(value, default=str).decode()
