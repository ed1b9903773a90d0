"""`headgate import`: from another system's file to one of ours."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import click

from adapters.exit_code import ExitCode
from adapters.importing.asterisk import import_queues_conf
from adapters.importing.connect import import_routing_profile
from adapters.importing.report import Import, NotImportable
from adapters.importing.taskrouter import import_workspace
from adapters.standard_output import write_text

SYSTEMS: Final[Mapping[str, Callable[[str], Import]]] = {
    "taskrouter": import_workspace,
    "connect": import_routing_profile,
    "asterisk": import_queues_conf,
}


def import_file(system: str, path: Path, output: Path | None) -> int:
    """Write our configuration for a system's file, and tell what is not as it was."""
    try:
        found = SYSTEMS[system](path.read_text(encoding="utf-8"))
    except NotImportable as refused:
        for item in refused.problems:
            click.echo(f"headgate: {path}: {item}", err=True)
        return int(ExitCode.SETTINGS)
    except UnicodeDecodeError:
        click.echo(f"headgate: {path}: expected text in UTF-8", err=True)
        return int(ExitCode.SETTINGS)
    except OSError as error:
        click.echo(f"headgate: {path}: {error.strerror}", err=True)
        return int(ExitCode.SETTINGS)
    found.finish()
    code = write_text(
        found.as_file(f"headgate import {system} {path.name}"), output, "the configuration"
    )
    for line in found.report():
        click.echo(line, err=True)
    click.echo("", err=True)
    counts = f"{len(found.queues)} queues, {len(found.agents)} agents"
    click.echo(f"{counts}; {len(found.findings)} items to look at", err=True)
    return code
