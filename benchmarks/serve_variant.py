"""
`headgate serve`, with what a measurement needs changed and no setting offers.

    python -m benchmarks.serve_variant [--gc default] [--groups-kept N] [--core N] -- serve ...

--gc default leaves the collector as Python has it. --groups-kept N has a log in memory keep fewer
groups for watchers: full, it writes over memory it has instead of asking for more, which a window
of seconds would otherwise never see. --core N is where a pinned loop stands, chosen by the process
id otherwise.
"""

import argparse
import os
import sys
from functools import partial

from adapters import pinning


def main() -> None:
    """Change what is to be changed, then run the command."""
    place = sys.argv.index("--")
    parser = argparse.ArgumentParser()
    parser.add_argument("--gc", choices=("frozen", "default"), default="frozen")
    parser.add_argument("--groups-kept", type=int, default=100_000)
    parser.add_argument("--core", type=int)
    options = parser.parse_args(sys.argv[1:place])
    pin = pinning.pin

    def pin_then_change(setting: str) -> str:
        # Only now: importing the server starts gRPC's threads.
        done = pin(setting)
        if options.core is not None:
            os.sched_setaffinity(0, {options.core})
        _change(options)
        return done

    pinning.pin = pin_then_change
    sys.argv = ["headgate", *sys.argv[place + 1 :]]
    from adapters.cli import main as headgate

    headgate()


def _change(options: argparse.Namespace) -> None:
    from adapters.kernel_cache import use_kernel_cache

    # Before the server is imported, and numba with it.
    use_kernel_cache()
    from adapters import server
    from adapters.memory_log import MemoryStore

    if options.gc == "default":
        server.Server._freeze = lambda self: None  # type: ignore[method-assign]
    # The server makes its store without arguments.
    vars(server)["MemoryStore"] = partial(MemoryStore, groups_kept=options.groups_kept)


if __name__ == "__main__":
    main()
