"""Structured logs on standard error: one JSON object a line, or coloured lines for a person."""

import io
import json
import os
import sys

import orjson
import structlog

from adapters.security.redaction import redact


class LogOutput(io.TextIOBase):
    """
    Lines to a descriptor, each in one write. What cannot be written is dropped: a full disk or a
    reader that has gone must not stop calls from being routed.

    Parameters
    ----------
    descriptor
        Where lines go; None when the process has no standard error, and every line is dropped.

    Attributes
    ----------
    lines_dropped
        How many could not be written.
    """

    def __init__(self, descriptor: int | None) -> None:
        super().__init__()
        self._descriptor = descriptor
        self.lines_dropped = 0

    def write(self, line: str) -> int:
        """Write a line, or count it as dropped."""
        try:
            if self._descriptor is None:
                raise BrokenPipeError
            left = memoryview(line.encode(errors="backslashreplace"))
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError:
            self.lines_dropped += 1
        return len(line)


def configure_logs(level: str, form: str) -> LogOutput:
    """
    Set the least severe level that is written, and the form of lines: json or console; returns
    where they go.
    """
    renderer: structlog.typing.Processor
    if form == "json":
        renderer = structlog.processors.JSONRenderer(serializer=_to_json)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr is not None and os.isatty(2))
    output = LogOutput(_standard_error())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=output),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )
    return output


def _standard_error() -> int | None:
    """Python has none when the process was started with it closed; 2 is another file then."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def _to_json(value: object, **_: object) -> str:
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:  # a path that is not UTF-8, or a number beyond 64 bits
        return json.dumps(value, default=str)
