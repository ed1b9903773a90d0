"""The examples against a server: each runs as its own README says, to its end."""

import base64
import hmac
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.conftest import Serve
from tests.end_to_end.serving import Served

ROOT = Path(__file__).resolve().parent.parent.parent
EXAMPLES = ROOT / "deploy" / "examples"
# What the others import.
NOT_RUN_ALONE = {
    "history/make_history.py", "node/access.mjs", "node/engines.mjs", "node/headgate.mjs",
    "node/room.mjs",
}  # fmt: skip
# Has tests of its own in tests/examples.
TESTED_BY_ITSELF = "bank_day"
# Of six seconds the last ones may still be open.
TOLD_OF = re.compile(
    r"(second \d: accepted 1, late 0, refused 0, clock [+-]?\d+ ms\n){6}"
    r"hotline: \d+ contacts in the \d+ s that were told of\n$"
)


def run(*command: str | Path, cwd: Path, address: str) -> str:
    """What an example prints; it must succeed and complain of nothing."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "HEADGATE_ADDRESS": address},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def told_twice(script: str, server: Served) -> Iterator[str]:
    """What a Python example prints, and again where the second run finds all there already."""
    for _ in range(2):
        path = EXAMPLES / "python" / script
        yield run(sys.executable, "-W", "error", path, cwd=ROOT, address=server.address)


@pytest.fixture(scope="module")
def node_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Node example with its packages, in a copy, so that the checkout stays as it was."""
    root = tmp_path_factory.mktemp("node")
    folder = root / "deploy" / "examples" / "node"
    left_out = shutil.ignore_patterns("node_modules")
    shutil.copytree(EXAMPLES / "node", folder, ignore=left_out)
    (root / "proto").symlink_to(ROOT / "proto")
    run("npm", "ci", "--silent", "--no-audit", "--no-fund", cwd=folder, address="")
    return folder


def test_python_example_routes_one_contact_to_its_end(server: Served) -> None:
    """The first thing a gateway developer runs; again, because the second run finds all there."""
    for told in told_twice("route.py", server):
        assert re.fullmatch(
            r"contact \S+: CONTACT_STATE_OFFERED to ada\nthen CONTACT_STATE_COMPLETED\n", told
        )


def test_python_session_answers_an_offer_when_its_event_comes(server: Served) -> None:
    """Its breaks are in test_client_examples.py; here it runs again where all is there already."""
    for told in told_twice("session.py", server):
        assert re.search(r"event EVENT_KIND_CONTACT_COMPLETED \S+\n$", told)


def test_python_telemetry_is_sensed(server: Served) -> None:
    """What a gateway tells of a queue of its own is in the outlook of that queue."""
    for told in told_twice("telemetry.py", server):
        assert TOLD_OF.search(told), told


def test_contact_of_the_example_asks_for_less_step_by_step(server: Served) -> None:
    """The agent it knows is away and nobody speaks well enough: the third thing it asks is met."""
    for told in told_twice("last_agent.py", server):
        assert told == (
            "CONTACT_STATE_QUEUED for marie, who is away\n"
            "CONTACT_STATE_OFFERED to paul after 2 steps\n"
        )


def test_caller_of_the_example_is_called_back_at_the_second_attempt(server: Served) -> None:
    """In the place that was kept."""
    for told in told_twice("call_back.py", server):
        assert told == (
            "CONTACT_STATE_QUEUED at position 1\n"
            "off the phone, CONTACT_STATE_QUEUED at position 1\n"
            "emma calls +49 30 1234\nnobody answers: CONTACT_STATE_SCHEDULED\n"
            "emma calls again, after 1 attempt\nCONTACT_STATE_COMPLETED\n"
        )


def test_callers_of_the_example_choose_the_chat_and_one_comes_back(server: Served) -> None:
    """A policy asks, the gateway answers; what was known and how long they waited goes along."""
    asked = (
        "1: OPTION_KIND_WAIT\n2: OPTION_KIND_OTHER_CHANNEL advice-chat\nCONTACT_STATE_DIVERTED\n"
    )
    for told in told_twice("choice.py", server):
        assert told == (
            f"{asked}{asked}Ada is in advice-chat, after 1 hop\n"
            "Ben is back: CONTACT_STATE_QUEUED in advice\n"
        )


def test_call_of_the_example_is_answered_in_another_cell(serve: Serve) -> None:
    """In an engine with two cells, as its head says; again, with all there already."""
    settings = ("--cells", "north,south", "--set", "neighbours=north,south")
    served = serve("--durability", "memory", *settings)
    for told in told_twice("other_cell.py", served):
        assert told == (
            "Ada calls north, where nobody is\n"
            "in north it is over: DIVERSION_OUTCOME_CONTINUED, in cell south\n"
            "in south it is CONTACT_STATE_OFFERED, from cell north\n"
            "sofia has answered\n"
        )


def test_email_of_the_example_is_put_aside_for_a_call_and_goes_on(server: Served) -> None:
    """It stays with its agent all the while."""
    for told in told_twice("call_first.py", server):
        assert told == (
            "the email is CONTACT_STATE_ASSIGNED\n"
            "with a call the email is CONTACT_STATE_INTERRUPTED\n"
            "after it the email is CONTACT_STATE_ASSIGNED\n"
        )


def test_call_of_the_example_is_handed_over_by_who_asked(server: Served) -> None:
    """With what was noted for the one who was asked."""
    for told in told_twice("warm_transfer.py", server):
        assert told == (
            "ruth speaks with Ada\nomar is asked: may she have a refund?\n"
            "omar has the call now, after ruth\n"
        )


def test_weights_of_the_example_change_who_is_offered_contacts(server: Served) -> None:
    """Four times the quicker agent, and then one after the other."""
    for told in told_twice("quicker_agent.py", server):
        learned, turns = told.splitlines()
        assert learned == "learned, both free: quinn quinn quinn quinn"
        assert turns in ("in turn: quinn sloan quinn sloan", "in turn: sloan quinn sloan quinn")


def test_callers_of_the_example_are_served_together(server: Served) -> None:
    """One of two without a window, both with one, and the reason in words."""
    for told in told_twice("best_together.py", server):
        at_once, why, together = told.splitlines()
        assert at_once == "offered at once: ann nobody"
        assert together == "together: bob ann"
        assert "bob was chosen when the queue's matching window ended" in why
        assert "the batch as a whole less" in why


def test_desk_of_the_example_rings_together_and_one_picks_up(server: Served) -> None:
    """And a supervisor's choice rings alone."""
    for told in told_twice("ring_all.py", server):
        assert told == (
            "ringing: iris jude kim\njude picked up\n"
            "CONTACT_STATE_OFFERED to kim alone\nkim picked up\n"
        )


def test_words_of_the_example_tell_why_a_call_waits_and_who_has_it(server: Served) -> None:
    """First why nobody, and why not tess; then why rui."""
    for told in told_twice("why.py", server):
        waiting, offered = told.split("\n\n")
        assert "1 busy or away, 1 without a required skill at its level" in waiting
        assert waiting.endswith(
            "tess cannot be offered it as of now: does not hold every required skill at its level."
        )
        assert "rui was chosen when the agent got room" in offered


def test_queues_of_the_example_take_their_turns(server: Served) -> None:
    """Priority, then age; newest first where it says so; and one too many goes elsewhere."""
    for told in told_twice("which_is_next.py", server):
        assert told == (
            "one order too many waits in overflow\n"
            "next: premium\nnext: old order\nnext: new post\nnext: old post\n"
        )


def test_shop_of_the_example_is_closed_and_has_its_callers_answered(server: Served) -> None:
    """First the reason, then the other queue; whatever day it is."""
    for told in told_twice("closed_today.py", server):
        assert told == (
            "closed\nREJECTION_REASON_HOLIDAY\nCONTACT_STATE_QUEUED in answering_service\n"
        )


@pytest.mark.slow
@pytest.mark.needs_node
@pytest.mark.timeout(300)
def test_node_example_routes_one_contact_to_its_end(server: Served, node_example: Path) -> None:
    """The same over stubs that Node makes from the .proto files."""
    for _ in range(2):
        told = run("node", "route.mjs", cwd=node_example, address=server.address)
        assert re.fullmatch(
            r"contact \S+: CONTACT_STATE_OFFERED to \S+\nthen CONTACT_STATE_COMPLETED\n", told
        )


@pytest.mark.slow
@pytest.mark.needs_node
@pytest.mark.timeout(300)
def test_node_telemetry_is_sensed(server: Served, node_example: Path) -> None:
    """The same from Node."""
    for _ in range(2):
        told = run("node", "telemetry.mjs", cwd=node_example, address=server.address)
        assert TOLD_OF.search(told), told


@pytest.mark.slow
@pytest.mark.needs_node
@pytest.mark.timeout(300)
def test_node_session_answers_an_offer_when_its_event_comes(
    server: Served, node_example: Path
) -> None:
    """Every command is answered by its name, the contact's story is told in order, and it ends."""
    for _ in range(2):
        lines = run("node", "session.mjs", cwd=node_example, address=server.address).splitlines()
        replies = [line.split()[1] for line in lines if line.startswith("reply ")]
        assert replies == [
            "upsert_agent",
            "set_presence",
            "route",
            "accept_offer",
            "complete_assignment",
        ]
        events = [line.split() for line in lines if line.startswith("event ")]
        kinds = [kind.removeprefix("EVENT_KIND_") for _, kind, *of_contact in events if of_contact]
        assert kinds == [
            "CONTACT_RECEIVED",
            "OFFER_ISSUED",
            "OFFER_ACCEPTED",
            "CONTACT_ASSIGNED",
            "CONTACT_COMPLETED",
        ]


def test_webhook_receiver_takes_what_is_genuine_and_fresh_and_handles_it_once(
    tmp_path: Path,
) -> None:
    """Signed here by hand; with a forwarder before it, it is in test_forward.py."""
    old, new = b"o" * 24, b"n" * 32
    secrets = tmp_path / "secrets"
    texts = [f"whsec_{base64.b64encode(secret).decode()}" for secret in (new, old)]
    secrets.write_text("# new, old\n" + "\n".join(texts))
    script = EXAMPLES / "python" / "webhook_receiver.py"
    process = subprocess.Popen(
        (sys.executable, "-W", "error", str(script), str(secrets), "0"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[-1])
        now_s = int(time.time())
        assert [
            post(port, "a", now_s, old),
            post(port, "a", now_s + 1, new),  # again, signed anew
            post(port, "b", now_s, b"x" * 24),  # by somebody else
            post(port, "b", now_s - 301, new),  # long ago
            post(port, "b", now_s, new, signed_id="a"),  # for another delivery
            post(port, "b", now_s, new),
        ] == [204, 204, 401, 401, 401, 204]
        assert post(port, "c", now_s, new, length="much") == 413
        event = "event 1.1 EVENT_KIND_CONTACT_RECEIVED c"
        told = [process.stdout.readline().rstrip("\n") for _ in range(5)]
        assert told == [event, "done a", "again a", event, "done b"]
    finally:
        process.kill()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


def post(port: int, webhook_id: str, at_s: int, secret: bytes, **wrong: str) -> int:
    """Send a delivery as Standard Webhooks has it, but for what is wrong; returns the status."""
    event = {"cursor": "1.1", "kind": "EVENT_KIND_CONTACT_RECEIVED", "contact_id": "c"}
    body = json.dumps({"events": [event]}).encode()
    signed = f"{wrong.get('signed_id', webhook_id)}.{at_s}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1a,AAAA v1,{signature}",
        "content-length": wrong.get("length", str(len(body))),
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_every_example_is_run_by_a_test() -> None:
    """An example that is added and not run goes stale."""
    scripts = {
        str(path.relative_to(EXAMPLES))
        for path in EXAMPLES.glob("*/*")
        if path.suffix in {".py", ".mjs", ".js", ".sh"} and path.parent.name != TESTED_BY_ITSELF
    }
    here = Path(__file__).read_text(encoding="utf-8")
    left = {name for name in scripts - NOT_RUN_ALONE if f'"{Path(name).name}"' not in here}
    assert left == set()
