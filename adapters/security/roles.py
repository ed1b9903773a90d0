"""
What each role may do: one table over every method there is. What is not in it nobody may call.

A command of a session stands under the rule of the method it is a command of; to hold the stream
is a method of its own. gRPC's own services stand outside: health is open, for probes carry no
credentials; reflection tells what the contract says, and is there in development only; channelz is
refused where callers prove who they are.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


class Role(enum.StrEnum):
    """What a caller is there for; one may have several."""

    # A channel: brings contacts, answers offers, tells of agents.
    GATEWAY = "gateway"
    # Who runs the floor: sees all, pauses queues, moves contacts, sends agents home.
    OPERATOR = "operator"
    # Who defines queues and agents.
    AUTHOR = "author"
    # Sees all, changes nothing.
    READER = "reader"
    # The engine of another cell, which brings contacts that cross to this one.
    ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class Rule:
    """
    Who may call a method.

    Attributes
    ----------
    roles
        One of them is enough.
    is_audited
        Whether each call leaves an audit record: it changes how contacts are routed from then on.
    """

    roles: frozenset[Role]
    is_audited: bool = False


NOBODY: Final = Rule(frozenset())
_ENGINE: Final = Rule(frozenset({Role.ENGINE}))
# Engines are told of what crosses, and of nothing else.
_ALL: Final = Rule(frozenset(Role) - {Role.ENGINE})
_GATEWAY: Final = Rule(frozenset({Role.GATEWAY}))
_FLOOR: Final = Rule(frozenset({Role.GATEWAY, Role.OPERATOR}))
_AUTHOR_AUDITED: Final = Rule(frozenset({Role.AUTHOR}), is_audited=True)
_OPERATOR_AUDITED: Final = Rule(frozenset({Role.OPERATOR}), is_audited=True)
_TUNING_AUDITED: Final = Rule(frozenset({Role.OPERATOR, Role.AUTHOR}), is_audited=True)
_SIGN_IN_AUDITED: Final = Rule(frozenset({Role.GATEWAY, Role.AUTHOR}), is_audited=True)

# Method, as on the wire without the package.
RULES: Final[Mapping[str, Rule]] = {
    "RoutingService/Route": _GATEWAY,
    "RoutingService/RouteBatch": _GATEWAY,
    "RoutingService/GetContact": _ALL,
    "RoutingService/ListContacts": _ALL,
    "RoutingService/UpdateContact": _FLOOR,
    "RoutingService/RequeueContact": _FLOOR,
    "RoutingService/ScheduleContact": _FLOOR,
    "RoutingService/CancelContact": _FLOOR,
    "RoutingService/EstimateWait": _ALL,
    "RoutingService/WatchContact": _ALL,
    "OfferService/WatchOffers": _ALL,
    "OfferService/AcceptOffer": _GATEWAY,
    "OfferService/DeclineOffer": _GATEWAY,
    "OfferService/CompleteAssignment": _GATEWAY,
    "OfferService/EndWrapUp": _FLOOR,
    "OfferService/OfferContact": _FLOOR,
    "OfferService/FailAttempt": _GATEWAY,
    "OfferService/Consult": _GATEWAY,
    "OfferService/CompleteTransfer": _GATEWAY,
    "OfferService/ReleaseAssignment": _FLOOR,
    "ChoiceService/AcceptChoice": _GATEWAY,
    "ChoiceService/RefuseChoice": _GATEWAY,
    "ChoiceService/ReturnContact": _GATEWAY,
    "ChoiceService/ReportDiversionOutcome": _GATEWAY,
    "CrossingService/ReceiveContact": _ENGINE,
    "CrossingService/RecallContact": _ENGINE,
    "CrossingService/GetTarget": _ENGINE,
    "CrossingService/ListCrossings": _ALL,
    "CrossingService/SettleCrossing": _OPERATOR_AUDITED,
    # Gateways tell who has signed in with which skills.
    "AgentService/UpsertAgent": _SIGN_IN_AUDITED,
    "AgentService/GetAgent": _ALL,
    "AgentService/ListAgents": _ALL,
    "AgentService/DeleteAgent": _AUTHOR_AUDITED,
    "AgentService/SetPresence": _FLOOR,
    "AgentService/DrainAgent": _FLOOR,
    "AgentService/ResetEstimates": _TUNING_AUDITED,
    "AgentService/Heartbeat": _GATEWAY,
    "QueueService/UpsertQueue": _AUTHOR_AUDITED,
    "QueueService/GetQueue": _ALL,
    "QueueService/ListQueues": _ALL,
    "QueueService/DeleteQueue": _AUTHOR_AUDITED,
    "QueueService/PauseQueue": _OPERATOR_AUDITED,
    "QueueService/GetSnapshot": _ALL,
    "QueueService/WatchSnapshots": _ALL,
    "DecisionService/GetDecision": _ALL,
    "DecisionService/ListDecisions": _ALL,
    "DecisionService/Explain": _ALL,
    "EventService/Subscribe": _ALL,
    "TelemetryService/Ingest": _GATEWAY,
    "TelemetryService/GetOutlook": _ALL,
    "TelemetryService/WatchBusyness": _ALL,
    "TelemetryService/GetForecast": _ALL,
    "TelemetryService/GetAccuracy": _ALL,
    "TelemetryService/GetPlanOutcomes": _ALL,
    "TelemetryService/ListAnomalies": _ALL,
    "TelemetryService/ListSources": _ALL,
    "TelemetryService/ImportHistory": _TUNING_AUDITED,
    "TelemetryService/PutEvent": _TUNING_AUDITED,
    "TelemetryService/ListEvents": _ALL,
    "TelemetryService/DeleteEvent": _TUNING_AUDITED,
    "TelemetryService/PutStaffing": _TUNING_AUDITED,
    "TelemetryService/ListStaffing": _ALL,
    "TelemetryService/DeleteStaffing": _TUNING_AUDITED,
    "TelemetryService/PutDriver": _TUNING_AUDITED,
    "TelemetryService/ListDrivers": _ALL,
    "TelemetryService/DeleteDriver": _TUNING_AUDITED,
    "PolicyService/CreateDraft": _AUTHOR_AUDITED,
    "PolicyService/UpdateDraft": _AUTHOR_AUDITED,
    "PolicyService/DeleteDraft": _AUTHOR_AUDITED,
    "PolicyService/ValidatePolicy": _ALL,
    "PolicyService/DiffPolicy": _ALL,
    "PolicyService/PublishPolicy": _AUTHOR_AUDITED,
    "PolicyService/RollbackPolicy": _AUTHOR_AUDITED,
    "PolicyService/RetirePolicy": _AUTHOR_AUDITED,
    "PolicyService/ListPolicies": _ALL,
    "PolicyService/GetPolicy": _ALL,
    # Who runs the floor must be able to stop what goes wrong.
    "PolicyService/OverridePolicy": _TUNING_AUDITED,
    "PolicyService/ListOverrides": _ALL,
    "PolicyService/ListActivations": _ALL,
    "PolicyService/ApproveActivation": _TUNING_AUDITED,
    "PolicyService/ExplainPolicy": _ALL,
    # Each command in it is looked at by itself.
    "GatewayService/Connect": _ALL,
}


def rule_of(method: str) -> Rule:
    """The rule of a method, Service/Method."""
    return RULES.get(method, NOBODY)
