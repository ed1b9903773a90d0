"""Who is eligible, looked up and taken apart, against whole conditions evaluated one by one."""

from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.acting.contact_values import WaitingContact
from engine.acting.eligibility import ContactCondition, grouped
from engine.commands import UpdateContact
from engine.policy.compiled import CompiledRelief, values_in_force
from engine.policy.values import Truth, condition
from tests.acting.desk_played import DeskPlayed
from tests.deciding.deciding_played import a_policy
from tests.policy.written import relief

PARTS = (
    'contact.tier == "gold"',
    'contact.priority >= params.least',
    'contact.attributes.product in ["card", "loan"]',
    'has(contact.attributes.product)',
    'contact.priority >= 3',
    'contact.channel == "voice"',
    'contact.id.endsWith("1")',
    '(contact.attributes.product == "card" || contact.wait > duration("5s"))',
    'contact.age < duration("20s")',
    '!("vip" in contact.tags)',
    'time.year == 2026',
    'contact.attributes[contact.tier] == "x"',
)  # fmt: skip
ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "tier": st.sampled_from(["gold", "silver"]),
        "product": st.sampled_from(["card", "loan", "x"]),
        "silver": st.sampled_from(["x", "y"]),
    },
)


def policies(conditions: Sequence[Sequence[str]]) -> list[CompiledRelief]:
    """A policy for each list of parts."""
    return [
        relief(
            a_policy(
                name=f"p{number}",
                more=f"params: {{least: {{value: 2}}}}\neligible: '{' && '.join(parts)}'",
            )
        )
        for number, parts in enumerate(conditions)
    ]


def is_eligible(policy: CompiledRelief, contact: WaitingContact) -> bool:
    """The whole condition, on everything it reads."""
    assert policy.eligible is not None
    params = dict(values_in_force(policy.policy))
    values = {**contact.values(policy.eligible.names), **params}
    return condition(policy.eligible)(values) is Truth.TRUE


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.lists(st.sampled_from(PARTS), min_size=1, max_size=4), min_size=1, max_size=6),
    st.lists(st.tuples(ATTRIBUTES, st.integers(1, 4)), min_size=1, max_size=12),
    ATTRIBUTES,
)
def test_looked_up_is_what_whole_conditions_say(
    conditions: list[list[str]], contacts: list[tuple[dict[str, str], int]], later: dict[str, str]
) -> None:
    """Also of contacts that are like others, and after what is known of one has changed."""
    played = DeskPlayed()
    compiled = policies(conditions)
    own = [ContactCondition(policy) for policy in compiled]
    group_of = grouped(own)

    def check() -> None:
        for number in range(len(contacts)):
            row = played.engine.cell.contact_row(f"c{number}")
            contact = WaitingContact(played.engine.cell, row)
            found = [
                item in group_of[item].open_to(contact) and item.takes(contact) for item in own
            ]
            assert found == [is_eligible(policy, contact) for policy in compiled]

    for number, (attributes, priority) in enumerate(contacts):
        played.route(f"c{number}", attributes=attributes, priority=priority)
        played.now_ms += 3_000
    check()
    played.do(UpdateContact("c0", attributes=later, priority=2))
    check()


def test_conditions_that_read_the_same_are_looked_up_together() -> None:
    """However many policies there are."""
    texts = [
        [f'contact.tier == "t{number}"', 'contact.wait > duration("1s")'] for number in range(9)
    ]
    group_of = grouped(ContactCondition(policy) for policy in policies(texts))
    assert len(set(group_of.values())) == 1
