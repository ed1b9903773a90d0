"""Customers whom a policy may ask: some would rather be called back than wait."""

from functools import partial
from typing import Final

from deploy.examples.bank_day.customers import Customers
from deploy.examples.bank_day.patience import PlannedContact
from deploy.examples.bank_day.stage import Stage
from deploy.examples.bank_day.tally import DayFigures
from engine.policy.arms import draw_of
from headgate.v1.choice_service_pb2 import AcceptChoiceRequest, RefuseChoiceRequest
from headgate.v1.event_pb2 import Event, EventKind
from headgate.v1.gateway_service_pb2 import SessionCommand

# Of a bank's customers who were offered a callback 37 % took it (Hathaway, Emadi and Deshpande,
# "Don't call us, we'll call you", 2021).
ACCEPTED_RATIO: Final = 0.37
# How long a customer listens before pressing a key.
ANSWER_S: Final = 8
# Place of the callback among the options of `relief.yaml`.
CALLBACK: Final = 1


class Callers(Customers):
    """
    The customers that join within the window, asked now and then.

    Attributes
    ----------
    asked
        How many were.
    called_back_s
        From hanging up to the callback, of each who was called, seconds.
    """

    def __init__(
        self, contacts: tuple[PlannedContact, ...], stage: Stage, figures: DayFigures
    ) -> None:
        super().__init__(contacts, stage, figures)
        self.asked = 0
        self.called_back_s: list[float] = []
        # When each who is to be called back hung up.
        self._to_call: dict[str, float] = {}

    @property
    def is_served(self) -> bool:
        """Whether all have joined, none waits and none is to be called back."""
        return super().is_served and not self._to_call

    def take(self, event: Event) -> None:
        """Note what happened to a contact, and answer what it is asked."""
        contact_id, now_s = event.contact_id, self._stage.clock.now_s()
        match event.kind:
            case EventKind.EVENT_KIND_CHOICE_OFFERED:
                self.asked += 1
                self._stage.agenda.at(now_s + ANSWER_S, partial(self._answer, contact_id))
            case EventKind.EVENT_KIND_CHOICE_ACCEPTED if contact_id in self._waiting:
                self._waiting.remove(contact_id)
                self._to_call[contact_id] = now_s
            case EventKind.EVENT_KIND_CONTACT_ASSIGNED if contact_id in self._to_call:
                self.called_back_s.append(now_s - self._to_call.pop(contact_id))
            case EventKind.EVENT_KIND_CONTACT_EXPIRED if contact_id in self._to_call:
                del self._to_call[contact_id]
            case _:
                super().take(event)

    def _answer(self, contact_id: str) -> None:
        if contact_id not in self._waiting:
            return
        request_id = f"{contact_id}:answer"
        if draw_of(contact_id, "accepts") < ACCEPTED_RATIO:
            accept = AcceptChoiceRequest(
                request_id=request_id, contact_id=contact_id, option=CALLBACK
            )
            self._stage.send(SessionCommand(accept_choice=accept))
        else:
            refuse = RefuseChoiceRequest(request_id=request_id, contact_id=contact_id)
            self._stage.send(SessionCommand(refuse_choice=refuse))
