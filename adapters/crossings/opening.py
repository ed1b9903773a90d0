"""What brings contacts to other cells, as the settings say."""

from collections.abc import Coroutine

from adapters.calls import Cells
from adapters.crossings.carrier import Carrier
from adapters.crossings.links import Links
from adapters.crossings.metrics import CrossingMetrics
from adapters.crossings.targets import TargetWatch
from adapters.dispatch_loop import DispatchLoop
from adapters.placement.access import access_to_engines
from adapters.sensing.thread import SensingThread
from adapters.settings import Settings


def open_links(settings: Settings, cells: Cells) -> Links:
    """How cells of this process ask others."""
    access = access_to_engines(settings, settings.neighbour_token_file)
    return Links(cells, settings.neighbour_addresses, access)


def neighbours_of(settings: Settings, cell: str) -> tuple[str, ...]:
    """Cells that contacts of a cell may cross to."""
    return tuple(name for name in settings.neighbour_addresses if name != cell)


def carry(
    loop: DispatchLoop, links: Links, metrics: CrossingMetrics, thread: SensingThread | None
) -> list[Coroutine[None, None, None]]:
    """
    What is to run while a cell is here. It carries without neighbours as well: a contact that left
    when there were some is not to be left between.
    """
    work = [Carrier(loop, links, metrics).run()]
    if thread is not None and thread.policies is not None:
        watch = TargetWatch(loop, links, thread.policies.targets, thread.hand, metrics)
        work.append(watch.run())
    return work
