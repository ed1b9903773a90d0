"""The `headgate` command."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from adapters.kernel_cache import use_kernel_cache

if TYPE_CHECKING:
    from adapters.settings import Settings

# Exit codes besides 0 and click's own 2 for wrong usage.
EXIT_SETTINGS: Final = 2
EXIT_ENVIRONMENT: Final = 3


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="headgate")
def main() -> None:
    """Headgate routes customer contacts to agents. Commands: serve, warm."""


@main.command()
@click.option("--config", type=click.Path(path_type=Path), help="TOML file of settings.")
@click.option("--address", help="Where gRPC listens, HOST:PORT; port 0 picks a free one.")
@click.option("--metrics-address", help="Where /metrics, /healthz and /readyz listen; '' for none.")
@click.option("--data-dir", help="Folder of the sqlite files.")
@click.option("--durability", help="full, normal or memory.")
@click.option("--cells", help="Cells this process owns, comma-separated.")
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
    default, in this order. Exit codes: 0 stopped as asked, 2 wrong usage or setting, 3 the
    environment refused (port in use, data folder locked or full), 4 another process took a cell
    over.
    """
    use_kernel_cache()
    from adapters import settings as settings_module
    from engine.refusals import BadConfiguration

    try:
        chosen = {**flags, **_parse_pairs(settings)}
        loaded, origins = settings_module.load(chosen, config)
    except BadConfiguration as error:
        click.echo(f"headgate: {error}", err=True)
        sys.exit(EXIT_SETTINGS)
    if print_config:
        for name, value, origin in origins:
            shown = ",".join(value) if isinstance(value, tuple) else value
            click.echo(f"{name} = {shown}  ({origin})")
        return
    sys.exit(_serve(loaded))


def _parse_pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    from engine.refusals import BadConfiguration

    parsed = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise BadConfiguration("flag --set", pair, "NAME=VALUE")
        parsed[name.replace("-", "_")] = value
    return parsed


def _serve(settings: "Settings") -> int:
    from adapters.logs import configure_logs

    configure_logs(settings.log_level, settings.log_format)
    # Before gRPC is imported, because it starts threads.
    import structlog

    from adapters.pinning import pin

    structlog.get_logger(__name__).info("starting", pinned=pin(settings.pin))
    import uvloop

    from adapters.commit_log import CommitLogError
    from adapters.server import Server

    async def run() -> int:
        return await Server(settings).run()

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(run())
    except (CommitLogError, OSError) as error:
        click.echo(f"headgate: {error}", err=True)
        return EXIT_ENVIRONMENT


@main.command()
def warm() -> None:
    """Compile the kernels into the cache, so that the next start is quick."""
    import time

    folder = use_kernel_cache()
    begun_s = time.perf_counter()
    from engine.engine import Engine

    Engine().take_group()
    click.echo(f"kernels ready in {time.perf_counter() - begun_s:.1f} s, cached in {folder}")


if __name__ == "__main__":
    main()
