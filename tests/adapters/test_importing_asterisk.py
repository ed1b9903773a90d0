"""Asterisk's queues.conf: what it says, what comes over, and what is told."""

import pytest

from adapters.importing.asterisk import GENERAL_OPTIONS, QUEUE_OPTIONS, import_queues_conf
from adapters.importing.asterisk_conf import parse
from adapters.importing.report import Import, Kind, NotImportable
from headgate.v1.contact_pb2 import Channel
from headgate.v1.queue_pb2 import Strategy, WrapUpMode


def told(found: Import, kind: Kind) -> dict[str, str]:
    """Why, by item."""
    return {item.item: item.why for item in found.findings if item.kind is kind}


def refusal(text: str) -> str:
    """Why a file is refused."""
    with pytest.raises(NotImportable) as refused:
        import_queues_conf(text)
    return str(refused.value)


def test_templates_comments_and_both_arrows_are_read() -> None:
    """The form has its own rules, and people use all of them."""
    sections, directives = parse(
        "\ufeff[base](!)\n"
        "a = 1 ; one\n"
        ";-- left out\nb = 2\n ;-- inner --; --; c => 3\n"
        "[other](!)\nA = 4\n"
        "[q](base, other)\nd = x\\;y\n;--- a plain comment\n"
        "[q](+)\ne=\n"
        '#include "more.conf"\n'
    )
    assert [(item.name, item.is_template) for item in sections] == [
        ("base", True), ("other", True), ("q", False),
    ]  # fmt: skip
    options = [(item.name, item.value) for item in sections[2].options]
    assert options == [("a", "1"), ("c", "3"), ("a", "4"), ("d", "x;y"), ("e", "")]
    assert [item.line for item in sections[2].options] == [2, 5, 7, 9, 12]
    assert directives == [(13, '#include "more.conf"')]


def test_queue_comes_over_with_times_in_milliseconds() -> None:
    """Asterisk counts in seconds."""
    found = import_queues_conf(
        "[q]\nstrategy=rrmemory\ntimeout=12\nretry=3\nwrapuptime=7\nmaxlen=9\nservicelevel=60\n"
    )
    queue = found.queues["q"]
    assert queue.strategy == Strategy.STRATEGY_ROUND_ROBIN
    assert queue.offer_timeout_ms == 12_000
    assert queue.reoffer_delay_only_agent_ms == 3_000
    assert (queue.wrap_up_mode, queue.wrap_up_ms) == (WrapUpMode.WRAP_UP_MODE_TIMED, 7_000)
    assert queue.max_length == 9
    assert queue.service_level.within_ms == 60_000
    assert found.findings == []


def test_defaults_of_asterisk_are_kept_where_ours_differ() -> None:
    """A queue without options rings everybody for 15 seconds there."""
    found = import_queues_conf("[q]\n")
    queue = found.queues["q"]
    assert (queue.offer_timeout_ms, queue.reoffer_delay_only_agent_ms) == (15_000, 5_000)
    item, why = next(iter(told(found, Kind.APPROXIMATE).items()))
    assert item == "[q] strategy, which is not set = ringall"
    assert why.startswith("the 32 who are free the longest ring")
    assert queue.broadcast_max == 32


def test_option_of_the_queue_replaces_that_of_its_template() -> None:
    """The later one counts, and only it is told."""
    found = import_queues_conf("[t](!)\nweight=1001\ntimeout=5\n[q](t)\nweight=2\n")
    queue = found.queues["q"]
    assert (queue.offer_timeout_ms, queue.priority) == (5_000, 2)
    assert not [item for item in told(found, Kind.APPROXIMATE) if "weight" in item]


def test_weight_beyond_our_priorities_is_told() -> None:
    """It is the highest there is here, and may be that of another queue as well."""
    found = import_queues_conf("[q]\nweight=1001\n")
    assert found.queues["q"].priority == 1_000
    assert "line 2, [q] weight = 1001" in told(found, Kind.APPROXIMATE)


def test_retry_is_at_once_or_long() -> None:
    """0 means at once, and more than our longer delay draws that along."""
    assert import_queues_conf("[q]\nretry=0\n").queues["q"].reoffer_delay_only_agent_ms == -1
    queue = import_queues_conf("[q]\nretry=60\n").queues["q"]
    assert (queue.reoffer_delay_ms, queue.reoffer_delay_only_agent_ms) == (60_000, 60_000)


def test_members_of_several_queues_are_one_agent() -> None:
    """An interface is who is rung, whatever queue the call comes from."""
    found = import_queues_conf(
        "[a]\nmember => SIP/1\nmember => SIP/2,0,Bob\n[b]\nmember=SIP/1\nautopause=all\n"
    )
    assert list(found.agents) == ["SIP/1", "SIP/2"]
    first, second = found.agents.values()
    assert list(first.queue_ids) == ["a", "b"]
    assert [item.channel for item in first.channels] == [Channel.CHANNEL_VOICE]
    # The stricter of its queues counts; the other agent never goes away by itself.
    assert (first.missed_offers_max, second.missed_offers_max) == (1, -1)
    assert "line 3, [a] member SIP/2, name = Bob" in told(found, Kind.LEFT_OUT)


def test_penalties_become_levels_in_their_order() -> None:
    """What counts is who comes before whom; there are five levels."""
    members = "".join(f"member => SIP/{n},{n * 10}\n" for n in range(7))
    found = import_queues_conf(f"[q]\n{members}")
    levels = [agent.skills[0].proficiency for agent in found.agents.values()]
    assert levels == [5, 4, 3, 2, 1, 1, 1]
    assert {agent.skills[0].skill for agent in found.agents.values()} == {"q"}
    (why,) = told(found, Kind.AT_ROUTE).values()
    assert "relaxation steps" in why


def test_queue_without_penalties_needs_no_skill() -> None:
    """Skills are few: 256 in a cell."""
    found = import_queues_conf("[q]\nmember => SIP/1\nmember => SIP/2,0\n")
    assert [len(agent.skills) for agent in found.agents.values()] == [0, 0]


def test_every_field_of_a_member_is_told() -> None:
    """Seven fields, of which two have an equivalent."""
    found = import_queues_conf("[q]\nmember => SIP/1,0,Ada,hint:1@x,yes,30,yes\n")
    assert [item.split(", ")[-1] for item in told(found, Kind.LEFT_OUT)] == [
        "name = Ada", "state interface = hint:1@x", "ringinuse = yes", "wrapuptime = 30",
        "paused = yes",
    ]  # fmt: skip


def test_member_that_is_there_twice_is_told() -> None:
    """A queue holds each agent once."""
    found = import_queues_conf("[q]\nmember => SIP/1\nmember => SIP/1\n")
    assert list(found.agents["SIP/1"].queue_ids) == ["q"]
    assert "line 3, [q] member = SIP/1" in told(found, Kind.LEFT_OUT)


def test_what_is_off_is_not_missed() -> None:
    """Nobody must read through what never mattered."""
    found = import_queues_conf(
        "[general]\nautofill=yes\nshared_lastcall=yes\n[q]\nstrategy=rrmemory\nweight=0\n"
        "ringinuse=no\njoinempty=yes\nleavewhenempty=no\nautopause=no\nannounce-frequency=0\n"
    )
    assert found.findings == []


def test_other_files_are_not_read_but_told() -> None:
    """What stands in them would be missing without a word."""
    found = import_queues_conf('#include "more.conf"\n[q]\nstrategy=rrmemory\n')
    assert 'line 1 = #include "more.conf"' in told(found, Kind.LEFT_OUT)


def test_unknown_option_is_told_with_what_may_be_meant() -> None:
    """A slip in the file, or an option newer than this table."""
    found = import_queues_conf("[q]\nstrategy=rrmemory\nwrapuptme=5\nqueue_thereare=x\n")
    left = told(found, Kind.LEFT_OUT)
    why = left["line 3, [q] wrapuptme = 5"]
    assert why == "no setting that is known here (did you mean wrapuptime?)"
    assert "line 4, [q] queue_thereare = x" in left


def test_tables_use_one_spelling() -> None:
    """Options are looked up with hyphens; another spelling would never be found."""
    for table in (QUEUE_OPTIONS, GENERAL_OPTIONS):
        assert [name for name in table if "_" in name or name != name.lower()] == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the file: expected at least one queue, got 'none'"),
        ("[general]\n", "the file: expected at least one queue"),
        ("[q](!)\n", "the file: expected at least one queue"),
        ("timeout=5\n[q]\n", "line 1: expected a [section] before any option, got 'timeout=5'"),
        ("[q]\ntimeout\n", "line 2: expected OPTION = VALUE, got 'timeout'"),
        ("[q]\n=5\n", "line 2: expected OPTION = VALUE, got '=5'"),
        ("[q\n", "line 1: expected [name], [name](!) or [name](template), got '[q'"),
        ("[q] x\n", "line 1: expected [name]"),
        ("[q](base)\n", "line 1: expected the name of a template above, got 'base'"),
        (
            "[bse](!)\n[q](base)\n",
            "line 2: expected the name of a template above (did you mean bse?)",
        ),
        ("[q](+)\n", "line 1: expected the name of a section above, got 'q'"),
        ("[q]\n[q]\n", "line 2: expected another name than that of line 1, or [q](+), got 'q'"),
        (";-- \n[q]\n", "line 2: expected --; to end a comment"),
        (
            "[q]\nmaxlen=many\n",
            "line 2, [q] maxlen: expected a whole number of 0 to 2147483647, got 'many'",
        ),
        (
            "[q]\ntimeout=-1\n",
            "line 2, [q] timeout: expected a whole number of 0 to 2147483647, got '-1'",
        ),
        (
            "[q]\nmaxlen=2147483648\n",
            "line 2, [q] maxlen: expected a whole number of 0 to 2147483647",
        ),
        ("[q]\ntimeout=1.5\n", "line 2, [q] timeout: expected a whole number of 0 to 2147483647"),
        (
            "[q]\nretry=²\n",
            "line 2, [q] retry: expected a whole number of 0 to 2147483647, got '²'",
        ),
        ("[q]\nstrategy=rmemory\n", "line 2, [q] strategy: expected one of ringall, leastrecent"),
        (
            "[q]\nautopause=maybe\n",
            "line 2, [q] autopause: expected one of yes, no, all, got 'maybe'",
        ),
        (
            "[q]\nmember => ,5\n",
            "line 2, [q] member: expected INTERFACE[,PENALTY[,NAME...]], got ',5'",
        ),
        (
            "[q]\nmember => SIP/1,low\n",
            "line 2, [q] member SIP/1, penalty: expected a whole number",
        ),
    ],
)
def test_file_that_is_none_is_refused_with_the_line(text: str, why: str) -> None:
    """Whoever wrote it finds the place."""
    assert refusal(text).startswith(why)


def test_every_line_that_cannot_be_read_is_told_at_once() -> None:
    """Nobody corrects a file one run at a time."""
    assert len(refusal("x\n[q\n[q](nobody)\ny\n").splitlines()) == 4
