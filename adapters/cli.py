"""The `headgate` command."""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adapters.audit_command.options import audit
from adapters.cells_command.options import cells
from adapters.crossings.options import crossings
from adapters.engine_options import reaches_engine
from adapters.exit_code import ExitCode
from adapters.forecast_command import forecast
from adapters.forward_command import forward
from adapters.history_command import history
from adapters.kernel_cache import is_cold, use_kernel_cache
from adapters.migrate_command import migrate
from adapters.policy_command.options import policy
from adapters.security.token_command import token

if TYPE_CHECKING:
    from adapters.engine_options import EngineAt
    from adapters.logs import LogOutput
    from adapters.settings import Settings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="headgate")
def main() -> None:
    """Headgate routes customer contacts to agents.

    `serve` runs the engine, `forward` sends its events to a webhook. `export`, `apply` and `import`
    deal with the configuration of a cell as a file, `policy` with its policies, `migrate` with
    where it is kept. `history` teaches it what came before, and `forecast` tells what it expects.
    `cells` tells which engine has which cell, and moves them; `crossings` which contacts are on
    their way to other cells. `simulate` tries out a contact
    centre. `token` makes tokens for callers, `audit` tells who changed what, `warm` compiles ahead.
    """


@main.command()
@click.option("--config", type=click.Path(path_type=Path), help="TOML file of settings.")
@click.option("--address", help="Where gRPC listens, HOST:PORT; port 0 picks a free one.")
@click.option("--metrics-address", help="Where /metrics, /healthz and /readyz listen; '' for none.")
@click.option("--data-dir", help="Folder of the sqlite files.")
@click.option("--log", help="sqlite, or the URL of a Redis: redis://HOST:PORT and other forms.")
@click.option("--durability", help="full, normal, memory; of Redis relaxed, replicated, strict.")
@click.option("--cells", help="Cells this process owns or shares, comma-separated.")
@click.option("--callers-file", help="Who may call: hashes of tokens, names of certificates.")
@click.option("--tls-certificate-file", help="Certificate of the gRPC port, PEM.")
@click.option("--tls-key-file", help="Key of that certificate, PEM.")
@click.option("--insecure/--no-insecure", default=None, help="Let the network in unprotected.")
@click.option("--dev/--no-dev", default=None, help="gRPC reflection.")
@click.option("--channelz/--no-channelz", default=None, help="The channelz service.")
@click.option("--log-level", help="debug, info, warning or error.")
@click.option("--log-format", help="json or console.")
@click.option("--grace-s", type=float, help="Seconds that calls in flight may take after SIGTERM.")
@click.option("--pin", help="auto, on or off: one core with SCHED_BATCH.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other setting.")
@click.option("--print-config", is_flag=True, help="Print each setting with its origin, and leave.")
def serve(config: Path | None, settings: tuple[str, ...], print_config: bool, **flags: Any) -> None:
    """Run the routing engine until SIGTERM.

    Every setting may come from a flag, an environment variable HEADGATE_<NAME>, the file, or its
    default, in this order. Exit codes: 0 stopped as asked, 1 a bug, 2 wrong usage or setting, 3 the
    environment refused (port in use, data folder locked or full, Redis out of reach or not fit for
    the durability), 4 a cell was lost: another process took it over, or its file was removed; 128 +
    signal after a second one.
    """
    from adapters import settings as settings_module
    from adapters.complaints import refused
    from adapters.settings_flags import parse_pairs
    from engine.refusals import BadConfiguration

    try:
        loaded, origins = settings_module.load(flags, config, pairs=parse_pairs(settings))
    except BadConfiguration as error:
        sys.exit(refused(*str(error).splitlines()))
    if print_config:
        for name, value, origin in origins:
            shown = ",".join(value) if isinstance(value, tuple) else value
            click.echo(f"{name} = {shown}  ({origin})")
        return
    sys.exit(_serve(loaded))


@main.command()
@click.argument("scenario", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--replications", type=click.IntRange(1), help="Runs, instead of the scenario's.")
@click.option("--seed", type=click.IntRange(0), help="Seed, instead of the scenario's.")
@click.option(
    "--output", type=click.Choice(["table", "json", "html"]), default="table", show_default=True,
    help="A table to read, every figure as JSON, or a page with plots, for a file or a pipe.",
)  # fmt: skip
def simulate(scenario: Path, replications: int | None, seed: int | None, output: str) -> None:
    """Simulate a contact centre that a YAML file describes.

    The engine's own transitions run under made-up callers, agents and time; figures come with
    standard errors. `--output html > report.html` makes one file to hand on: it needs no network.
    Exit codes: 0 done, 2 wrong usage or a scenario that is refused, 3 the environment refused (no
    room for the report or for compiled kernels).
    """
    # Before numba is imported: without a folder of their own, kernels are taken from a cache beside
    # the sources that may be of older ones.
    try:
        cache = use_kernel_cache()
    except OSError as error:
        click.echo(f"headgate: {error}", err=True)
        sys.exit(ExitCode.ENVIRONMENT)
    if is_cold(cache):
        click.echo("headgate: compiling kernels, once per version and CPU: some minutes", err=True)
    from adapters.simulation_command import simulate_file

    sys.exit(simulate_file(scenario, replications, seed, output))


_address = click.option(
    "--address", default="127.0.0.1:7443", show_default=True, envvar="HEADGATE_ADDRESS",
    show_envvar=True, help="HOST:PORT of the engine.",
)  # fmt: skip
_cell = click.option("--cell", default="default", show_default=True, help="Which of its cells.")
_output = click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; standard output without it.",
)  # fmt: skip


@main.command()
@_address
@reaches_engine
@_cell
@_output
def export(engine: "EngineAt", cell: str, output: Path | None) -> None:
    """Write the whole configuration of a cell as YAML.

    Queues and agents as they are defined, every field, under the names of the contract and always
    in the same order; not what they are doing. Keep it under version control, and give it to
    `headgate apply`. Exit codes: 0 done, 2 wrong usage or no such cell, 3 no engine answers, or the
    file cannot be written.
    """
    from adapters.configuration.commands import export_cell

    sys.exit(export_cell(engine, cell, output))


@main.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_address
@reaches_engine
@_cell
@click.option("--dry-run", is_flag=True, help="Only tell what would change.")
@click.option("--prune", is_flag=True, help="Delete what only the cell has.")
def apply(file: Path, engine: "EngineAt", cell: str, dry_run: bool, prune: bool) -> None:
    """Bring the configuration of a cell to what FILE says.

    All of the file is checked before anything changes. Then what differs is printed, and written:
    queues before the agents who serve them, each only if nobody else has changed it meanwhile.
    Fields that the file leaves out get their default. A list that the file leaves out (queues,
    agents) is left alone, also by --prune; [] means none.

    Exit codes: 0 the cell is as the file says; 2 wrong usage, or a file that is refused; 3 no
    engine answers; 5 with --dry-run, there are differences (where `terraform plan
    -detailed-exitcode` has 2); 6 the engine refused some of the changes, run again to see what is
    left.
    """
    from adapters.configuration.commands import apply_file

    sys.exit(apply_file(file, engine, cell, is_dry_run=dry_run, is_pruned=prune))


@main.command()
@click.argument("contact_id")
@click.option("--agent", default="", help="Why this agent, or why not.")
@_address
@reaches_engine
@_cell
def explain(contact_id: str, agent: str, engine: "EngineAt", cell: str) -> None:
    """Explain in words why a contact is where it is.

    Who was chosen, when, and by which terms of the score; who could not be offered it and for which
    reason; why it still waits, and what changes next. Exit codes: 0 done, 2 no such contact, agent
    or cell, 3 no engine answers.
    """
    from adapters.explain_command import explain_contact

    sys.exit(explain_contact(contact_id, agent, engine, cell))


@main.command("import")
@click.argument("system", type=click.Choice(["taskrouter", "connect", "asterisk"]))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_output
def import_(system: str, file: Path, output: Path | None) -> None:
    """Bring the configuration of another system over.

    FILE is what the system itself gives: of Twilio TaskRouter the lists of its REST API in one JSON
    object (task_queues, workers, workflows), of Amazon Connect the answers of
    DescribeRoutingProfile and ListRoutingProfileQueues in one (and lists Queues, Users), of
    Asterisk its queues.conf. What comes out is a file for `headgate apply`. Everything in FILE that
    has no equivalent, or not quite, is listed with its place and what to do instead, on standard
    error and at the head of the file.

    Exit codes: 0 done, 2 wrong usage or a file that is refused, 3 the output cannot be written.
    """
    from adapters.importing.command import import_file

    sys.exit(import_file(system, file, output))


main.add_command(forward)
main.add_command(migrate)
main.add_command(token)
main.add_command(history)
main.add_command(forecast)
main.add_command(policy)
main.add_command(cells)
main.add_command(audit)
main.add_command(crossings)


def _serve(settings: "Settings") -> int:
    from adapters.logs import configure_logs

    output = configure_logs(settings.log_level, settings.log_format)
    # Handshakes that fail would be told in lines that are no JSON, as many as anybody likes.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    # Before gRPC is imported, because it starts threads.
    import structlog

    from adapters.pinning import pin

    log = structlog.get_logger(__name__)
    try:
        log.info("starting", pinned=pin(settings.pin))
        cache = use_kernel_cache(lambda text: log.warning("kernel_cache", message=text))
        if is_cold(cache):
            text = "compiling kernels, once per version and CPU: some minutes"
            log.info("compiling", message=text, cache=str(cache))
        return _run(settings, output)
    except OSError as error:
        return _failed(error, ExitCode.ENVIRONMENT)


def _run(settings: "Settings", output: "LogOutput") -> int:
    import uvloop

    from adapters.placement.access import require_access
    from adapters.placement.settings import require_neighbours, require_shareable
    from adapters.security.protection import require_protection
    from engine.refusals import BadConfiguration

    try:
        require_protection(settings, settings.address, channelz=settings.channelz)
        require_shareable(settings, settings.log, settings.address)
        require_neighbours(settings, settings.cells)
        require_access(settings)
    except BadConfiguration as error:
        return _failed(error, ExitCode.SETTINGS)
    # Only now: it has the kernels loaded, or compiled.
    from adapters.server import REFUSALS, Server, exit_code_of

    async def run() -> int:
        return await Server(settings, lambda: output.lines_dropped).run()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run())
    except REFUSALS as error:
        return _failed(error, exit_code_of(error))


def _failed(error: Exception, exit_code: int) -> int:
    """Say why there was no start, for programs and for whoever typed the command."""
    import structlog

    log = structlog.get_logger(__name__)
    log.error("start_failed", error=str(error), exit_code=int(exit_code))
    with contextlib.suppress(OSError):
        click.echo(f"headgate: {error}", err=True)
    return exit_code


@main.command()
def warm() -> None:
    """Compile the kernels into the cache, so that starts and simulations are quick."""
    import time

    try:
        folder = use_kernel_cache()
    except OSError as error:
        click.echo(f"headgate: {error}", err=True)
        sys.exit(ExitCode.ENVIRONMENT)
    begun_s = time.perf_counter()
    from engine.engine import Engine
    from engine.sensing.compiling import compile_sensing
    from engine.simulation.simulator import compile_simulation

    Engine().take_group()
    compile_simulation()
    compile_sensing()
    click.echo(f"kernels ready in {time.perf_counter() - begun_s:.1f} s, cached in {folder}")


if __name__ == "__main__":
    main()
