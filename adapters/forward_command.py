"""`headgate forward`: its options, and what is wrong with them."""

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from adapters.engine_options import reaches_engine
from adapters.exit_code import ExitCode

if TYPE_CHECKING:
    from adapters.forward_process import ForwardOptions

_FILE: Final = click.Path(path_type=Path, dir_okay=False)
_ON_FAILURE: Final = click.Choice(["stop", "dead-letter"])


class _Seconds(click.FloatRange):
    """A number within bounds, which "nan" would pass: it is neither below nor above any."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number", param, ctx)
        return number


def _kinds(_context: click.Context, _option: click.Parameter, words: tuple[str, ...]) -> list[int]:
    """Numbers of kinds of events, from words such as contact_completed, comma-separated."""
    from headgate.v1.event_pb2 import EventKind

    kinds: list[int] = []
    for word in (part.strip() for item in words for part in item.split(",")):
        name = f"EVENT_KIND_{word.upper().removeprefix('EVENT_KIND_')}"
        if name not in EventKind.keys() or name == "EVENT_KIND_UNSPECIFIED":  # noqa: SIM118
            known = ", ".join(kind[11:].lower() for kind in EventKind.keys()[1:])
            raise click.BadParameter(f"{word!r} is no kind of event; expected some of {known}")
        kinds.append(EventKind.Value(name))
    return kinds


def _address(_context: click.Context, _option: click.Parameter, value: str) -> str:
    from adapters.addresses import split_address

    try:
        if value or _option.name != "metrics_address":
            split_address(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}; expected an IPv6 host in brackets") from None
    return value


def _cell(_context: click.Context, _option: click.Parameter, value: str) -> str:
    if not (value.isascii() and value.replace("-", "").replace("_", "").isalnum()):
        raise click.BadParameter(f"{value!r}; expected letters, digits, - and _")
    return value


@click.command(short_help="Send events to a webhook.")
@click.option("--to", required=True, metavar="URL", help="Endpoint that takes deliveries by POST.")
@click.option(
    "--secret-file",
    type=_FILE,
    required=True,
    help="File of secrets to sign with, whsec_<base64>, one a line: each gives a signature.",
)
@click.option(
    "--cursor-file",
    type=_FILE,
    default=Path("headgate-forward.json"),
    show_default=True,
    help="Where progress is kept; one for each forwarder.",
)
@click.option(
    "--address",
    default="127.0.0.1:7443",
    show_default=True,
    envvar="HEADGATE_ADDRESS",
    show_envvar=True,
    callback=_address,
    metavar="HOST:PORT",
    help="Where the engine is.",
)
@reaches_engine
@click.option(
    "--cell",
    default="default",
    show_default=True,
    callback=_cell,
    metavar="NAME",
    help="Cell whose events are forwarded.",
)
@click.option(
    "--kinds",
    multiple=True,
    callback=_kinds,
    metavar="KIND,...",
    help="Only these kinds, such as contact_completed,offer_issued.",
)
@click.option(
    "--queue-id", "queue_ids", multiple=True, metavar="ID", help="Only this queue; may be repeated."
)
@click.option(
    "--agent-id", "agent_ids", multiple=True, metavar="ID", help="Only this agent; may be repeated."
)
@click.option(
    "--from-beginning",
    is_flag=True,
    help="Where there is no cursor file yet: begin with all the log holds, not from now on.",
)
@click.option(
    "--skip-lost",
    is_flag=True,
    help="Where the log no longer holds what comes next: go on with the oldest it holds.",
)
@click.option(
    "--events-max",
    type=click.IntRange(1, 1_000),
    default=100,
    show_default=True,
    help="Most events of one delivery.",
)
@click.option(
    "--bytes-max",
    type=click.IntRange(1_024, 1_048_576),
    default=65_536,
    show_default=True,
    help="Most bytes of events of one delivery; a larger event goes alone.",
)
@click.option(
    "--timeout-s",
    type=_Seconds(0.1, 300),
    default=15.0,
    show_default=True,
    help="How long one attempt may take.",
)
@click.option(
    "--pause-first-s",
    type=_Seconds(0.01, 60),
    default=0.5,
    show_default=True,
    help="Longest pause after the first attempt; doubled after each.",
)
@click.option(
    "--pause-max-s",
    type=_Seconds(0.01, 3_600),
    default=60.0,
    show_default=True,
    help="Longest pause between attempts.",
)
@click.option(
    "--retry-after-max-s",
    type=_Seconds(0, 86_400),
    default=600.0,
    show_default=True,
    help="Longest pause that a Retry-After may ask for.",
)
@click.option(
    "--give-up-after-s",
    type=_Seconds(0, 2_592_000),
    default=86_400.0,
    show_default=True,
    help="When to give a delivery up that the endpoint does not take.",
)
@click.option(
    "--on-refusal",
    type=_ON_FAILURE,
    default="stop",
    show_default=True,
    help="What to do on a status that another attempt would not change.",
)
@click.option(
    "--on-give-up",
    type=_ON_FAILURE,
    default="stop",
    show_default=True,
    help="What to do with a delivery that is given up.",
)
@click.option(
    "--dead-letter-file", type=_FILE, help="JSON lines of the deliveries that could not be made."
)
@click.option(
    "--ca-file", type=_FILE, help="PEM file of the authorities to trust instead of the system's."
)
@click.option("--allow-http", is_flag=True, help="Let events leave this machine unencrypted.")
@click.option(
    "--metrics-address",
    default="127.0.0.1:7445",
    show_default=True,
    callback=_address,
    metavar="HOST:PORT",
    help="Where /metrics, /healthz and /readyz listen; '' for none.",
)
@click.option(
    "--grace-s",
    type=_Seconds(0, 600),
    default=10.0,
    show_default=True,
    help="Seconds that an attempt under way may take after SIGTERM.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="Least severe log line that is written.",
)
@click.option(
    "--log-format",
    type=click.Choice(["json", "console"]),
    default="json",
    show_default=True,
    help="Form of log lines on standard error.",
)
def forward(**options: Any) -> None:
    """Send a cell's events to a webhook until SIGTERM.

    A process of its own, so that a slow endpoint never touches the engine. Events go as JSON by
    POST, in the order of the log and at least once, signed as Standard Webhooks has it. Whoever
    sees a webhook-id for the second time may drop the delivery.

    Exit codes: 0 stopped as asked, 1 a bug, 2 wrong usage or option, 3 the environment refused
    (cursor file damaged, held or not writable, dead-letter file full, port in use, cell unknown),
    7 events were lost (see --skip-lost), 8 the endpoint refused, is gone, or did not answer for
    too long; 128 + signal after a second one.
    """
    from engine.refusals import BadConfiguration

    try:
        sys.exit(_run(options))
    except BadConfiguration as error:
        click.echo(f"headgate: {error}", err=True)
        sys.exit(ExitCode.SETTINGS)


def _run(options: dict[str, Any]) -> int:
    """Check what the options name, then run the process to its end."""
    import asyncio

    from adapters.forward_process import forward_until_stopped
    from adapters.logs import configure_logs

    checked = _checked(options)
    output = configure_logs(options["log_level"], options["log_format"])
    _warn_of_readers(options["secret_file"])
    return asyncio.run(forward_until_stopped(checked, lambda: output.lines_dropped))


def _checked(options: dict[str, Any]) -> "ForwardOptions":
    from adapters.courier import OnFailure
    from adapters.endpoint import check_url, trusting
    from adapters.event_source import OLDEST
    from adapters.forward_process import ForwardOptions, wanted_events
    from adapters.forwarding import Bounds
    from adapters.retrying import RetryPolicy
    from adapters.webhook import read_secrets
    from engine.refusals import BadConfiguration

    check_url(options["to"], may_be_plain=options["allow_http"])
    keeps = OnFailure.DEAD_LETTER.value in (options["on_refusal"], options["on_give_up"])
    if keeps != (options["dead_letter_file"] is not None):
        expected = "a file where --on-refusal or --on-give-up is dead-letter, and only there"
        raise BadConfiguration("--dead-letter-file", options["dead_letter_file"], expected)
    wanted = wanted_events(
        options["cell"], options["kinds"], options["queue_ids"], options["agent_ids"]
    )
    wanted.cursor = OLDEST if options["from_beginning"] else ""
    return ForwardOptions(
        to=options["to"],
        secrets=read_secrets(options["secret_file"]),
        tls=trusting(options["ca_file"]),
        wanted=wanted,
        engine=options["engine"],
        cursor_file=options["cursor_file"],
        skip_lost=options["skip_lost"],
        bounds=Bounds(options["events_max"], options["bytes_max"]),
        timeout_s=options["timeout_s"],
        retries=RetryPolicy(
            pause_first_s=options["pause_first_s"],
            pause_max_s=options["pause_max_s"],
            retry_after_max_s=options["retry_after_max_s"],
            give_up_after_s=options["give_up_after_s"],
        ),
        on_refusal=OnFailure(options["on_refusal"]),
        on_give_up=OnFailure(options["on_give_up"]),
        dead_letter_file=options["dead_letter_file"],
        metrics_address=options["metrics_address"],
        grace_s=options["grace_s"],
    )


def _warn_of_readers(secret_file: Path) -> None:
    import structlog

    from adapters.webhook import is_read_by_all

    if is_read_by_all(secret_file):
        log = structlog.get_logger(__name__)
        log.warning("secret_file_is_public", path=str(secret_file), expected="mode 0600")
