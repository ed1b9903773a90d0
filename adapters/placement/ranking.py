"""
Which engine should have a cell: the same answer everywhere, from the same heartbeats.

Rendezvous hashing: each engine has a weight for each cell, and the heaviest has the cell. An engine
that joins takes cells only to itself, one that leaves leaves only its own behind, each cell to the
next in its own order. Where engines see different heartbeats for a moment they may disagree; that
costs a wasted try, for the lease decides.
"""

from hashlib import blake2b

from adapters.placement.fleet import Fleet, Heartbeat


def weight(cell: str, engine: str) -> int:
    """Weight of an engine for a cell, 0 to 2^64 - 1, the same on every machine and version."""
    # Names may hold anything that can be printed, which a zero byte is not.
    return int.from_bytes(blake2b(f"{cell}\0{engine}".encode(), digest_size=8).digest())


def ranked(cell: str, fleet: Fleet) -> list[str]:
    """
    Engines that may have a cell, first whose it should be; none where nobody may.

    Left out are those that drain, those that could not open it, and those that could not read what
    its present owner has written. A cell that somebody has put on an engine goes there as long as
    that engine is not left out.
    """
    holder = fleet.holder(cell)
    may_have = [name for name, item in fleet.engines.items() if _may_have(item, cell, holder)]
    names = [name for name in may_have if not fleet.is_drained(name)]
    names.sort(key=lambda name: (weight(cell, name), name), reverse=True)
    move = fleet.moves.get(cell)
    if move is not None and move.engine in names:
        names.remove(move.engine)
        names.insert(0, move.engine)
    return names


def _may_have(engine: Heartbeat, cell: str, holder: Heartbeat | None) -> bool:
    return cell not in engine.refuses and (holder is None or engine.schema >= holder.schema)
