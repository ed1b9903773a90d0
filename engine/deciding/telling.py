"""What this cell tells of a queue of its own to cells whose policies move contacts there."""

from typing import Final

import numpy as np

from engine.deciding.elsewhere import LADDER_PER_S, Reading, Value
from engine.deciding.moment import Moment, Real, queues_of
from engine.deciding.signals import OF_TARGET, TEXTS, Signals
from engine.policy.program import UNKNOWN
from engine.policy.signals import RISK_HORIZONS, SIGNALS
from engine.policy.vocabulary import Vocabulary
from engine.sensing.sensing import Sensing

_TOLD: Final = tuple(name for name in SIGNALS if name.startswith("target."))


def read_queue(sensing: Sensing, queue_id: str, now_ms: int) -> Reading | None:
    """What this cell tells others of a queue; None where it has none of that name."""
    queues = queues_of(sensing)
    if queue_id not in queues.ids:
        return None
    place = queues.ids.index(queue_id)
    alone = queues._replace(
        ids=(queue_id,),
        rows=queues.rows[[place]],
        own=queues.own[[place]],
        profiles=(queues.profiles[place],),
    )
    moment = Moment(sensing, alone, now_ms)
    signals = Signals(moment, Vocabulary())
    found: dict[str, Value] = {}
    for name in _TOLD:
        of_queue = OF_TARGET.get(name, name)
        if of_queue in TEXTS:
            found[name] = TEXTS[of_queue](moment)[0]
            continue
        value = signals.column(of_queue)[0].item()
        if np.isfinite(value) and value != UNKNOWN:
            found[name] = value
    moved = sensing.own.moved_in_per_s.get(queue_id, 0.0)
    return Reading(now_ms, found, _risks(moment), moved)


def _risks(moment: Moment) -> Real:
    """Risks of the one queue of a moment at every rung."""
    rungs = len(LADDER_PER_S)
    if moment.ahead is None:
        return np.full((rungs, len(RISK_HORIZONS)), np.nan)
    rows = np.full(rungs, moment.queues.rows[0])
    more = np.array(LADDER_PER_S)
    return moment.sensing.parts.outlook.risk_without(moment.ahead, rows, -more)
