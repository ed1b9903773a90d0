"""Agents who serve queues that are not theirs, for as long as their group is opened to them."""

from engine.state.names import Names
from engine.state.slots import members_of, set_member
from engine.state.store import Store


class Lending:
    """
    Groups of agents opened to queues. A group are the agents who carry a tag.

    Nothing of it is kept over a restart: whoever opened a group opens it again.
    """

    def __init__(self, store: Store, names: Names) -> None:
        self._store = store
        self._names = names
        # Agents lent, by queue and tag: those whose definition names the queue are not.
        self._lent: dict[tuple[int, str], set[int]] = {}

    @property
    def opened(self) -> set[tuple[int, str]]:
        """Rows of queues and tags of the groups opened to them."""
        return set(self._lent)

    def lent_to(self, queue_row: int) -> int:
        """How many agents serve a queue that is not theirs."""
        return sum(len(rows) for (queue, _), rows in self._lent.items() if queue == queue_row)

    def open(self, queue_row: int, tag: str) -> list[int]:
        """Open a group to a queue; returns rows of the agents who now serve it as well."""
        lent = self._lent.setdefault((queue_row, tag), set())
        bitsets = self._store.columns.bitsets
        number = self._names.tags.number_of(tag)
        if number < 0:
            return []
        others = bitsets.tag_agents[number] & ~bitsets.queue_agents[queue_row]
        rows: list[int] = members_of(others).tolist()
        for row in rows:
            self._set(queue_row, row, is_member=True)
        lent.update(rows)
        return rows

    def close(self, queue_row: int, tag: str) -> None:
        """Close a group to a queue again; other groups that are open to it stay."""
        for row in self._lent.pop((queue_row, tag), ()):
            self._set(queue_row, row, is_member=False)
        for queue, other in list(self._lent):
            if queue == queue_row:
                self.open(queue, other)

    def left(self, row: int) -> None:
        """An agent has left every set."""
        for rows in self._lent.values():
            rows.discard(row)

    def joined(self, row: int, tags: tuple[str, ...], queue_rows: set[int]) -> None:
        """An agent has joined the sets of its definition, with these tags and queues."""
        for (queue_row, tag), rows in self._lent.items():
            if tag in tags and queue_row not in queue_rows:
                queue_rows.add(queue_row)
                self._set(queue_row, row, is_member=True)
                rows.add(row)

    def _set(self, queue_row: int, row: int, *, is_member: bool) -> None:
        bitsets = self._store.columns.bitsets
        set_member(bitsets.queue_agents[queue_row], row, is_member=is_member)
        set_member(bitsets.agent_queues[row], queue_row, is_member=is_member)
