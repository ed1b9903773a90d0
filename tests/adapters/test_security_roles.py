"""The table of roles against the contract: nothing that can be called is forgotten in it."""

import pytest

from adapters.calls import METHOD_BY_NAME, METHODS, Cells
from adapters.errors import CallRefused
from adapters.listener import Listener
from adapters.metrics import Metrics
from adapters.security.callers import Caller
from adapters.security.door import Admission, Door
from adapters.security.roles import NOBODY, RULES, Role, rule_of
from adapters.settings import Settings
from headgate.v1 import gateway_service_pb2
from tests.end_to_end.contract import rpcs, rpcs_in_text

# Who may call what, once more and by hand: a slip in the table is a slip in security.
MAY = {
    "Route": "gateway",
    "RouteBatch": "gateway",
    "UpdateContact": "gateway operator",
    "RequeueContact": "gateway operator",
    "ScheduleContact": "gateway operator",
    "CancelContact": "gateway operator",
    "AcceptOffer": "gateway",
    "DeclineOffer": "gateway",
    "CompleteAssignment": "gateway",
    "EndWrapUp": "gateway operator",
    "OfferContact": "gateway operator",
    "FailAttempt": "gateway",
    "Consult": "gateway",
    "CompleteTransfer": "gateway",
    "ReleaseAssignment": "gateway operator",
    "AcceptChoice": "gateway",
    "RefuseChoice": "gateway",
    "ReturnContact": "gateway",
    "ReportDiversionOutcome": "gateway",
    "ReceiveContact": "engine",
    "RecallContact": "engine",
    "GetTarget": "engine",
    "SettleCrossing": "operator",
    "UpsertAgent": "gateway author",
    "DeleteAgent": "author",
    "SetPresence": "gateway operator",
    "DrainAgent": "gateway operator",
    "ResetEstimates": "operator author",
    "Heartbeat": "gateway",
    "UpsertQueue": "author",
    "DeleteQueue": "author",
    "PauseQueue": "operator",
    "Ingest": "gateway",
    "ImportHistory": "operator author",
    "PutEvent": "operator author",
    "DeleteEvent": "operator author",
    "PutStaffing": "operator author",
    "DeleteStaffing": "operator author",
    "PutDriver": "operator author",
    "DeleteDriver": "operator author",
    "CreateDraft": "author",
    "UpdateDraft": "author",
    "DeleteDraft": "author",
    "PublishPolicy": "author",
    "RollbackPolicy": "author",
    "RetirePolicy": "author",
    "OverridePolicy": "operator author",
    "ApproveActivation": "operator author",
}


def test_every_method_of_the_contract_has_a_rule_and_nothing_else_has() -> None:
    """A method that is added and forgotten here nobody may call; one that is gone has no rule."""
    listed = [rpc.full_name for rpc in rpcs()]
    assert sorted(listed) == sorted(rpcs_in_text())
    assert sorted(RULES) == sorted(listed)
    assert all(rule.roles for rule in RULES.values())


def test_method_that_is_not_listed_is_for_nobody() -> None:
    """Forgetting shuts a door, it opens none."""
    assert rule_of("RoutingService/Teleport") is NOBODY
    assert not NOBODY.roles


@pytest.mark.parametrize("full_name", RULES)
def test_method_is_for_these_roles(full_name: str) -> None:
    """Whatever changes something is for few; whatever only tells is for all."""
    name = full_name.partition("/")[2]
    people_and_channels = set(Role) - {Role.ENGINE}
    expected = set(MAY[name].split()) if name in MAY else people_and_channels
    assert set(RULES[full_name].roles) == expected


def test_writes_and_only_writes_are_kept_from_readers() -> None:
    """A reader changes nothing, whichever method is added."""
    for method in METHODS:
        is_for_readers = Role.READER in rule_of(method.full_name).roles
        assert is_for_readers == (not method.is_write and method.name != "Heartbeat"), method.name


def test_changes_of_configuration_are_audited() -> None:
    """What authors define, and what steers contacts from then on."""
    audited = {name.partition("/")[2] for name, rule in RULES.items() if rule.is_audited}
    assert audited == {
        "UpsertQueue", "DeleteQueue", "PauseQueue", "UpsertAgent", "DeleteAgent", "ResetEstimates",
        "PutEvent", "DeleteEvent", "PutStaffing", "DeleteStaffing", "PutDriver", "DeleteDriver",
        "ImportHistory", "CreateDraft", "UpdateDraft", "DeleteDraft", "PublishPolicy",
        "RollbackPolicy", "RetirePolicy", "OverridePolicy", "ApproveActivation", "SettleCrossing",
    }  # fmt: skip


@pytest.mark.parametrize(
    "command",
    [
        field.name
        for field in gateway_service_pb2.SessionCommand.DESCRIPTOR.oneofs_by_name["command"].fields
    ],
)
def test_command_of_a_session_stands_under_the_rule_of_its_method(command: str) -> None:
    """The stream is no way round the table."""
    (method,) = [item for item in METHODS if item.session_field == command]
    nobody = Caller("x", "t", frozenset(), frozenset({"*"}))
    settings = Settings.model_validate({})
    admission = Admission(Cells({}), nobody, Door(settings, Cells({}), Metrics().access))
    with pytest.raises(CallRefused) as caught:
        admission.require(method.full_name)
    assert caught.value.reason == "ROLE_NOT_ALLOWED"
    assert METHOD_BY_NAME[method.name] is method


async def test_server_offers_nothing_beside_the_contract() -> None:
    """Each handler of the listener is one of the table's."""
    listener = Listener(Cells({}), Settings.model_validate({}), Metrics())
    offered = {
        f"{service}/{name}"
        for service, handlers in listener._handlers().items()
        for name in handlers
    }
    assert offered == set(RULES)
