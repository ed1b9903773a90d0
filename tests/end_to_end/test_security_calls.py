"""Every method of the contract, with every credential that should not do."""

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from adapters.calls import METHODS
from adapters.methods import Method
from adapters.security.roles import RULES, Role
from adapters.security.tokens import new_token
from headgate.v1 import gateway_service_pb2 as gateway
from headgate.v1.queue_pb2 import Queue
from headgate.v1.queue_service_pb2 import ListQueuesRequest, ListQueuesResponse, UpsertQueueRequest
from headgate.v1.routing_service_pb2 import RouteBatchRequest, RouteRequest
from tests.end_to_end.contract import Rpc, rpcs
from tests.end_to_end.credentials import CallersFile, Issuer
from tests.end_to_end.raw_calls import Metadata, bearer, call, counted
from tests.end_to_end.serving import Served, start

RPCS = rpcs()
NAMES = [rpc.full_name for rpc in RPCS]
# What a request that is let in may meet: it holds nothing but the cell.
LET_IN = {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}


class Guarded(NamedTuple):
    """A server that asks who calls, and credentials of all kinds."""

    served: Served
    channel: grpc.Channel
    issuer: Issuer
    tokens: dict[str, str]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One for all tests here: two cells, a caller for each role and one for the other cell."""
    folder = tmp_path_factory.mktemp("guarded")
    callers, issuer = CallersFile(folder / "callers"), Issuer(folder / "keys.json")
    every = " ".join(Role)
    tokens = {
        **{role.value: callers.add(role.value, role.value) for role in Role},
        "everything": callers.add("everything", every),
        "elsewhere": callers.add("elsewhere", every, "other"),
        "expired": callers.add("expired", every, until="2020-01-01T00:00:00Z"),
    }
    served = start(
        folder, "--durability", "memory", "--cells", "default,other",
        "--callers-file", str(callers.path), *issuer.flags(),
    )  # fmt: skip
    try:
        served.until_ready()
        with grpc.insecure_channel(served.address) as channel:
            yield Guarded(served, channel, issuer, tokens)
    finally:
        served.kill()


def unsigned(issuer: Issuer) -> str:
    """A token signed by nobody."""
    parts = ({"alg": "none", "typ": "JWT"}, issuer.claims())
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join((*(text.rstrip("=") for text in texts), ""))


def bad_credentials(guarded: Guarded) -> dict[str, tuple[Metadata, str]]:
    """Metadata that prove nothing, and the reason that is told."""
    known = guarded.tokens["everything"]
    issuer = guarded.issuer
    stranger = Issuer(guarded.issuer.path.with_name("stranger.json"))
    return {
        "none": ((), "CREDENTIAL_MISSING"),
        "only talk": ((("x-tenant", "acme"), ("tenant", "acme")), "CREDENTIAL_MISSING"),
        "empty": (bearer(""), "CREDENTIAL_INVALID"),
        "basic": ((("authorization", "Basic dTpw"),), "CREDENTIAL_INVALID"),
        "unknown": (bearer(new_token()), "CREDENTIAL_INVALID"),
        "forged": (bearer(known[:-1] + ("x" if known[-1] != "x" else "y")), "CREDENTIAL_INVALID"),
        "two": ((*bearer(known), *bearer(known)), "CREDENTIAL_INVALID"),
        "expired": (bearer(guarded.tokens["expired"]), "CREDENTIAL_EXPIRED"),
        "jwt expired": (bearer(issuer.token(exp=1)), "CREDENTIAL_EXPIRED"),
        "jwt alg none": (bearer(unsigned(issuer)), "CREDENTIAL_INVALID"),
        "jwt stranger": (bearer(stranger.token()), "CREDENTIAL_INVALID"),
        "jwt issuer": (bearer(issuer.token(iss="https://x")), "CREDENTIAL_INVALID"),
        "jwt audience": (bearer(issuer.token(aud="x")), "CREDENTIAL_INVALID"),
    }


@pytest.fixture(scope="module")
def bad(guarded: Guarded) -> dict[str, tuple[Metadata, str]]:
    """Made once: keys take a moment."""
    return bad_credentials(guarded)


@pytest.mark.parametrize("rpc", RPCS, ids=NAMES)
def test_method_is_refused_to_whoever_proves_nothing(
    guarded: Guarded, bad: dict[str, tuple[Metadata, str]], rpc: Rpc
) -> None:
    """Before its request is read; the words tell nothing of what was wrong."""
    for name, (metadata, reason) in bad.items():
        # Bytes that are no message: whoever is let in is told so.
        found = call(guarded.channel, rpc, b"\xff", metadata)
        assert (name, found.code, found.reason) == (name, "UNAUTHENTICATED", reason)
        assert found.replies == []


@pytest.mark.parametrize("rpc", RPCS, ids=NAMES)
def test_method_is_for_its_roles_and_for_no_others(guarded: Guarded, rpc: Rpc) -> None:
    """Each role by itself, by both kinds of token."""
    raw = rpc.in_cell("default")
    for role in Role:
        by_web_token = guarded.issuer.token(roles=[role.value], sub=f"web {role}")
        for token in (guarded.tokens[role.value], by_web_token):
            found = call(guarded.channel, rpc, raw, bearer(token))
            if role in RULES[rpc.full_name].roles:
                assert found.code in LET_IN, (role, found)
            else:
                assert (found.code, found.reason) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")
    nobody = guarded.issuer.token(roles=["admin", "root"])
    found = call(guarded.channel, rpc, raw, bearer(nobody))
    assert (found.code, found.reason) == ("PERMISSION_DENIED", "ROLE_NOT_ALLOWED")


@pytest.mark.parametrize("rpc", RPCS, ids=NAMES)
def test_method_is_refused_in_the_cell_of_another_tenant(guarded: Guarded, rpc: Rpc) -> None:
    """Whether the cell is there is told to nobody whose it is not."""
    roles = [role.value for role in Role]
    nowhere = guarded.issuer.token(roles=roles, cells=None)
    cases = [
        (guarded.tokens["everything"], "other"),
        (guarded.tokens["everything"], "nonexistent"),
        (guarded.tokens["elsewhere"], ""),
        (guarded.tokens["elsewhere"], "default"),
        (nowhere, "default"),
    ]
    for token, cell in cases:
        metadata = (*bearer(token), ("x-tenant", "tenant of other"), ("cell", "other"))
        if rpc.name == "RouteBatch":
            # It is looked at before the cell is.
            continue
        found = call(guarded.channel, rpc, rpc.in_cell(cell), metadata)
        assert (found.code, found.reason) == ("PERMISSION_DENIED", "CELL_NOT_ALLOWED"), cell
        assert "other" not in found.message.replace(f"{cell!r}", "")


def test_batch_is_refused_in_the_cell_of_another_tenant(guarded: Guarded) -> None:
    """The batch's own cell counts, and its requests may name no other."""

    (rpc,) = [rpc for rpc in RPCS if rpc.name == "RouteBatch"]
    metadata = bearer(guarded.tokens["everything"])
    request = RouteBatchRequest(cell="other", requests=[RouteRequest()])
    found = call(guarded.channel, rpc, request.SerializeToString(), metadata)
    assert found.reason == "CELL_NOT_ALLOWED"
    request = RouteBatchRequest(requests=[RouteRequest(cell="other")])
    found = call(guarded.channel, rpc, request.SerializeToString(), metadata)
    assert found.code == "INVALID_ARGUMENT"


@pytest.mark.parametrize("method", [m for m in METHODS if m.session_field], ids=lambda m: m.name)
def test_command_of_a_session_is_for_the_roles_of_its_method(
    guarded: Guarded, method: object
) -> None:
    """A stream that was let in is no way round; the other commands of the frame go on."""

    assert isinstance(method, Method)
    (connect,) = [rpc for rpc in RPCS if rpc.name == "Connect"]
    command = gateway.SessionCommand()
    getattr(command, method.session_field).SetInParent()
    frame = gateway.ConnectRequest(
        commands=[command], watch=gateway.SessionWatch(replies_only=True)
    ).SerializeToString()
    for role in Role:
        metadata = bearer(guarded.tokens[role.value])
        found = call(guarded.channel, connect, frame, metadata)
        if role not in RULES[connect.full_name].roles:
            assert found.reason == "ROLE_NOT_ALLOWED"
            continue
        replies = [
            reply
            for raw in found.replies
            for reply in gateway.ConnectResponse.FromString(raw).replies
        ]
        (reply,) = replies
        is_refused = reply.error.reason == "ROLE_NOT_ALLOWED"
        assert is_refused == (role not in RULES[method.full_name].roles), (role, reply)


def test_tenants_have_only_what_is_in_their_cells(guarded: Guarded) -> None:
    """Queues of one are not among those of the other, though both are called alike."""

    by_name = {rpc.name: rpc for rpc in RPCS}
    for token, cell, wait_ms in (("everything", "default", 1), ("elsewhere", "other", 2)):
        queue = Queue(queue_id="same", max_wait_ms=wait_ms * 1_000)
        request = UpsertQueueRequest(cell=cell, request_id="same", queue=queue)
        metadata = bearer(guarded.tokens[token])
        raw = request.SerializeToString()
        assert call(guarded.channel, by_name["UpsertQueue"], raw, metadata).code == "OK"
    for token, cell, wait_ms in (("everything", "", 1), ("elsewhere", "other", 2)):
        raw = ListQueuesRequest(cell=cell).SerializeToString()
        metadata = bearer(guarded.tokens[token])
        found = call(guarded.channel, by_name["ListQueues"], raw, metadata)
        queues = ListQueuesResponse.FromString(found.replies[0]).queues
        assert [queue.max_wait_ms for queue in queues] == [wait_ms * 1_000]


def test_health_is_open_to_probes_and_reflection_is_not_there(guarded: Guarded) -> None:
    """Probes carry no credentials; who asks what there is to call is told nothing."""
    health = health_pb2_grpc.HealthStub(guarded.channel)
    found = health.Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert found.status == health_pb2.HealthCheckResponse.SERVING
    reflection = reflection_pb2_grpc.ServerReflectionStub(guarded.channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    with pytest.raises(grpc.RpcError) as caught:
        list(reflection.ServerReflectionInfo(asked, timeout=10))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_refusals_are_counted_and_logged_without_the_secret(
    guarded: Guarded, tmp_path: Path
) -> None:
    """Whoever looks for the intruder must find it, and the log must help no other."""
    (rpc,) = [rpc for rpc in RPCS if rpc.name == "ListQueues"]
    unknown, web_token = new_token(), guarded.issuer.token(aud="elsewhere")
    before = guarded.served.get("/metrics")[1]
    for token in (unknown, web_token):
        call(guarded.channel, rpc, b"", bearer(token))
    page = guarded.served.get("/metrics")[1]
    for reason in ("unknown_token", "audience"):
        assert counted(page, reason) == counted(before, reason) + 1
    # Of a flood only some are logged: again, until this one is.
    logged: list[dict[str, object]] = []
    give_up_at = time.monotonic() + 20
    while not logged and time.monotonic() < give_up_at:
        call(guarded.channel, rpc, b"", bearer(web_token))
        logged = [line for line in guarded.served.log() if line.get("reason") == "audience"]
    assert {"event", "method", "peer", "detail"} <= set(logged[0])
    told = guarded.served.told() + page
    for token in (*guarded.tokens.values(), unknown):
        assert token not in told
        assert token.split("_", 2)[2] not in told
    assert web_token.rpartition(".")[2] not in told
