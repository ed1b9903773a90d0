"""Crossings and targets there and back over the wire, and settings that name neighbours."""

from pathlib import Path

import numpy as np
import pytest

from adapters.crossings.messages import (
    answer_of,
    reading_of,
    recall_command,
    recall_request,
    receive_command,
    receive_request,
    target_message,
)
from adapters.crossings.opening import neighbours_of
from adapters.placement.access import require_access
from adapters.placement.settings import require_neighbours
from adapters.settings import Settings
from engine.commands import (
    RelaxationStep,
    Requirements,
    Route,
    Schedule,
    SkillPreference,
    SkillRequirement,
)
from engine.crossing import CrossingAnswer, RecallContact, ReceiveContact, Sender
from engine.deciding.elsewhere import LADDER_PER_S, Reading, Value
from engine.lifecycle import CancelReason, Channel
from engine.refusals import BadConfiguration
from headgate.v1 import crossing_service_pb2 as pb

ASKED = Requirements(
    (SkillRequirement("french", 3),),
    (SkillPreference("cards", 2.0),),
    ("late",),
    ("a", "b"),
    ("new",),
    ("ann",),
    ("bob",),
)
CONTACT = Route(
    "c",
    "help",
    Channel.CHAT,
    7,
    ASKED,
    {"tier": "gold"},
    5_000,
    90_000,
    (RelaxationStep(1_000, ASKED, 9), RelaxationStep(2_000)),
    Schedule(0, 123_456, 3, 60_000),
)
RISKS = np.linspace(0.1, 0.9, 4 * len(LADDER_PER_S)).reshape(-1, 4)


def test_contact_crosses_the_wire_whole() -> None:
    for contact in (CONTACT, Route("c", "help", Channel.VOICE, max_wait_ms=-1)):
        command = ReceiveContact(Sender("north", "o"), 9, 7, contact, 2)
        request = receive_request(command, "south", "r1")
        assert (request.cell, request.request_id) == ("south", "r1")
        again = pb.ReceiveContactRequest.FromString(request.SerializeToString())
        assert receive_command(again) == command


def test_contact_without_an_id_is_given_none() -> None:
    """Another id each time would be another contact each time."""
    assert receive_command(pb.ReceiveContactRequest()).contact.contact_id == ""


def test_recall_crosses_the_wire_whole() -> None:
    command = RecallContact(Sender("north", "o"), 9, 7, "c", CancelReason.WITHDRAWN)
    request = recall_request(command, "south", "r1")
    assert (
        recall_command(pb.RecallContactRequest.FromString(request.SerializeToString())) == command
    )


def test_answer_that_is_none_is_none() -> None:
    taken = pb.ReceiveContactResponse(answer=pb.CROSSING_ANSWER_TAKEN)
    assert answer_of(taken) is CrossingAnswer.TAKEN
    assert answer_of(pb.RecallContactResponse()) is None


def test_target_crosses_the_wire_whole() -> None:
    risks = RISKS.copy()
    risks[3, 1] = np.nan
    signals: dict[str, Value] = {
        "target.waiting": 3,
        "target.load_15m": 0.5,
        "target.busyness": "idle",
    }
    reading = Reading(1, signals, risks, 0.25)
    message = pb.GetTargetResponse.FromString(target_message(reading).SerializeToString())
    found = reading_of(message, 17)
    assert (found.at_ms, found.signals, found.moved_in_per_s) == (17, signals, 0.25)
    assert {name: type(value) for name, value in found.signals.items()} == {
        "target.waiting": int,
        "target.load_15m": float,
        "target.busyness": str,
    }
    np.testing.assert_array_equal(found.risks, risks)


@pytest.mark.parametrize("wrong", ["fewer", "other", "horizons"])
def test_risks_of_another_kind_are_refused(wrong: str) -> None:
    """An engine of another version may tell them otherwise: then its queue is not known here."""
    message = target_message(Reading(1, {}, RISKS))
    if wrong == "fewer":
        del message.risks[-1]
    elif wrong == "other":
        message.risks[3].more_per_s *= 2
    else:
        del message.risks[0].by_horizon[-1]
    with pytest.raises(ValueError, match=r"risks at|inhomogeneous"):
        reading_of(message, 1)


def test_neighbours_are_cells_or_have_an_address() -> None:
    settings = Settings.model_validate(
        {"cells": ["north", "south"], "neighbours": ["north", "south", "far=h:1"]}
    )
    require_neighbours(settings, settings.cells)
    assert neighbours_of(settings, "north") == ("south", "far")
    assert settings.neighbour_addresses == {"north": "", "south": "", "far": "h:1"}
    with pytest.raises(BadConfiguration, match=r"far=HOST:PORT, or one of .* got 'far'"):
        require_neighbours(Settings.model_validate({"neighbours": ["far"]}), ("default",))
    with pytest.raises(BadConfiguration, match=r"north alone: .* got 'north=h:1'"):
        require_neighbours(Settings.model_validate({"neighbours": ["north=h:1"]}), ("north",))


def test_token_that_cannot_be_shown_is_refused_at_the_start(tmp_path: Path) -> None:
    """Not when the first contact is to cross."""
    token = tmp_path / "token"
    token.write_text("")
    given = {"neighbours": ["far=10.0.0.1:7443"], "neighbour_token_file": str(token)}
    with pytest.raises(BadConfiguration, match="expected a token in"):
        require_access(Settings.model_validate(given))
    token.write_text("t")
    with pytest.raises(BadConfiguration, match="go over the network for all to read"):
        require_access(Settings.model_validate(given))
    require_access(Settings.model_validate(given | {"neighbours": ["far=127.0.0.1:1"]}))
