"""Two cells, and what is on its way between them: brought late, twice, or never."""

from typing import NamedTuple

from engine.commands import Recover
from engine.crossing import (
    CrossingAnswer,
    NameOrigin,
    RecallContact,
    ReceiveContact,
    Sender,
    SettleCrossing,
)
from engine.engine import Engine
from engine.handlers.crossing import to_bring
from engine.lifecycle import HAS_ENDED, ContactState
from engine.steering import Subject
from tests.acting.desk_played import DeskPlayed
from tests.deciding.deciding_played import a_policy

NORTH = Sender("north", "o")
SUBJECT = Subject("south", 1, "a")
TO_SOUTH = a_policy(name="south", actions="[{overflow: {queue: b, cell: south}}]")


class Brought(NamedTuple):
    """What a receiving cell said of a crossing."""

    number: int
    answer: CrossingAnswer
    knew: bool = False


class TwoCells:
    """
    North sends to south.

    Attributes
    ----------
    north, south
        The cells; each command is committed as it is run.
    """

    def __init__(self) -> None:
        self.north, self.south = DeskPlayed(), DeskPlayed()
        self.north.use(TO_SOUTH)
        self.north.do(NameOrigin("o"))

    def sent(self, *, recalls: bool = False) -> list[ReceiveContact | RecallContact]:
        """What north has to bring now."""
        cell, now_ms = self.north.engine.cell, self.north.now_ms
        return [
            to_bring(cell, item, "north", now_ms, recalls=recalls) for item in cell.crossings.open()
        ]

    @property
    def the_one(self) -> ReceiveContact | RecallContact:
        """The same, where it is one."""
        (command,) = self.sent()
        return command

    def receive(self, command: ReceiveContact | RecallContact) -> Brought:
        """Have south take a crossing in, or not."""
        self.south.do(command)
        answer = self.south.engine.cell.received.find(command.sender, command.number)
        assert answer is not None
        return Brought(
            command.number, answer, isinstance(command, RecallContact) and command.left > 0
        )

    def settle(self, brought: Brought) -> None:
        """Tell north what south said."""
        self.north.do(SettleCrossing(*brought))

    def bring_all(self) -> list[Brought]:
        """Bring all there is, and settle it."""
        answers = [self.receive(command) for command in self.sent()]
        for brought in answers:
            self.settle(brought)
        return answers

    def state(self, cell: DeskPlayed, contact_id: str = "c") -> ContactState | None:
        """State of a contact in a cell, None where it is not known."""
        row = cell.engine.cell.contacts.slots.row_of(contact_id)
        if row < 0:
            return None
        return ContactState(int(cell.engine.cell.store.columns.contacts.state[row]))

    def is_in(self, cell: DeskPlayed, contact_id: str = "c") -> bool:
        """Whether agents of a cell can have a contact, or have it."""
        state = self.state(cell, contact_id)
        return state not in (None, ContactState.DIVERTED) and not HAS_ENDED[state]

    def route(self, contact_id: str = "c", **fields: object) -> None:
        """Have a contact come to north, and be sent on."""
        self.north.route(contact_id, **fields)  # type: ignore[arg-type]
        if not self.north.engine.cell.activations.open():
            self.north.on(SUBJECT)
        self.north.look()


def restarted(cell: DeskPlayed, *policies: str) -> None:
    """Lose a cell's memory, and make it anew of its rows."""
    cell.engine = Engine()
    cell.engine.load(list(cell.rows.values()))
    cell.use(*policies)
    cell.do(Recover())
