"""
Plays a real day of a bank's call centre through the engine, beside the bank's own day.

    python deploy/examples/bank_day/play.py --speed 60

README.md beside this file says where the day comes from and what is measured. Exit codes: 0 played,
1 failed, 2 wrong options, 130 interrupted by SIGINT, SIGTERM or SIGHUP; in every case the engine is
stopped and its folder removed.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from types import FrameType
from typing import Final

if __name__ == "__main__":
    # As a script only this file's own folder is on the path.
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED: Final = 130
SWITCH_S: Final = 0.000_5


class Interruption:
    """
    What a signal does: before the play begins it ends the process, the first one during the play
    cancels it, and any later one finds that being done.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self._is_cancelled = False
        for number in SIGNALS:
            # Started with nohup, SIGHUP is ignored, and stays so.
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._take)

    async def cancels(self, work: Coroutine[object, object, None]) -> None:
        """Do the work until it ends or a signal cancels it."""
        self._task = asyncio.ensure_future(work)
        try:
            await self._task
        finally:
            # What is left takes milliseconds, and must not change the exit code.
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        if self._task is None:
            # Nothing is there yet that has to be taken apart. An exception would not do: raised in
            # the middle of an import it can be swallowed.
            os._exit(INTERRUPTED)
        if not self._is_cancelled:
            self._is_cancelled = True
            # Inside the loop it shows only where the work awaits, so nothing is left half made.
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)


def main() -> int:
    """Play, and turn what happened into an exit code."""
    interruption = Interruption()
    # Imported only now: it takes a second, and an interruption must end that quietly as well.
    from rich.console import Console

    from adapters.kernel_cache import use_kernel_cache

    # What senses beside the play calls the kernels that the engine has compiled.
    use_kernel_cache()
    # Its thread must not keep the loop waiting for 5 ms, as it otherwise may.
    sys.setswitchinterval(SWITCH_S)
    from deploy.examples.bank_day.bank_day import BankDayError
    from deploy.examples.bank_day.engine_process import EngineFailed
    from deploy.examples.bank_day.options import (
        check_surge,
        find_day,
        parse_options,
        window_of,
    )
    from deploy.examples.bank_day.past import weeks_before
    from deploy.examples.bank_day.playing import Play, PlayFailed
    from deploy.examples.bank_day.twice_board import show_twice

    options = parse_options(sys.argv[1:])
    try:
        day = find_day(options.day, options.source)
        window = window_of(day, options)
        check_surge(window, options.surge_s)
        weeks = weeks_before(day.day, options.source)
        if options.policy is not None:
            show_twice(day, weeks, window, options, Console())
            return 0
        play = Play(day, weeks, window, options, Console())
        asyncio.run(interruption.cancels(play.run()))
    except (BankDayError, EngineFailed, PlayFailed) as error:
        print(f"play: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        print("play: interrupted; the engine is stopped", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
