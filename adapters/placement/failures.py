"""Cells that could not be opened here: for how long each is left to other engines."""

from collections.abc import Collection
from typing import Final

from adapters.commit_log import CommitLogError, LogCorrupt, LogUnfit, SchemaTooNew
from engine.refusals import BadConfiguration

# After which a cell is tried again: whoever can have it does meanwhile.
_LEFT_FOR_S: Final = 60.0
# The same where what is wrong passes by itself, as when servers fail over; twice as long each time.
_UNFIT_FOR_S: Final = 2.0
_TOLD: Final = (CommitLogError, BadConfiguration, OSError)
_LASTING: Final = (LogCorrupt, SchemaTooNew, BadConfiguration)


class Failures:
    """
    What went wrong at opening cells.

    Attributes
    ----------
    last
        The last error; None where there was none.
    """

    def __init__(self) -> None:
        self.last: Exception | None = None
        self._until_s: dict[str, float] = {}
        # How often each has failed since it was last open here.
        self._times: dict[str, int] = {}

    def add(self, cell: str, error: Exception, now_s: float) -> float:
        """Note a failure; returns after how many seconds the cell may be tried again."""
        again_in_s = self._again_in_s(cell, error)
        self._until_s[cell] = now_s + again_in_s
        self.last = error
        return again_in_s

    def forget(self, cell: str) -> None:
        """Note that a cell is open."""
        self._times.pop(cell, None)

    def cells(self, now_s: float) -> Collection[str]:
        """Those that are not to be tried now."""
        self._until_s = {
            cell: until_s for cell, until_s in self._until_s.items() if until_s > now_s
        }
        return self._until_s.keys()

    def _again_in_s(self, cell: str, error: Exception) -> float:
        if isinstance(error, LogUnfit):
            # Nothing was taken from anybody.
            return _UNFIT_FOR_S
        if isinstance(error, _LASTING) or is_bug(error):
            return _LEFT_FOR_S
        self._times[cell] = self._times.get(cell, 0) + 1
        return float(min(_UNFIT_FOR_S * 2 ** (self._times[cell] - 1), _LEFT_FOR_S))


def is_bug(error: Exception) -> bool:
    """Whether an error is none that opening a cell tells of in words."""
    return not isinstance(error, _TOLD)
