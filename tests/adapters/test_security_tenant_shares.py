"""Parts of tenants of the calls in flight: by weight, and only while there are many."""

from adapters.security.tenant_shares import TenantShares


def shares(**in_flight: int) -> TenantShares:
    """Calls in flight of tenants; those of `big` weigh three."""
    found = TenantShares({"big": 3.0})
    for tenant, calls in in_flight.items():
        for _ in range(calls):
            found.begin(tenant)
    return found


def test_nobody_is_held_back_while_there_is_room() -> None:
    assert not shares(a=50).is_beyond("a", 50, 100)


def test_who_calls_alone_has_all_of_it() -> None:
    found = shares(a=100)
    assert not found.is_beyond("a", 100, 100)


def test_a_flood_leaves_room_for_others() -> None:
    found = shares(flood=90, calm=1)
    assert found.is_beyond("flood", 91, 100)
    assert not found.is_beyond("calm", 91, 100)
    # One who comes now has a part as well.
    assert not found.is_beyond("new", 91, 100)


def test_parts_go_by_weight_of_those_who_call() -> None:
    found = shares(big=74, small=25)
    assert not found.is_beyond("big", 99, 100)
    assert not found.is_beyond("small", 99, 100)
    found.begin("small")
    assert found.is_beyond("small", 100, 100)
    found = shares(big=76, small=24)
    assert found.is_beyond("big", 100, 100)


def test_who_is_done_counts_no_more() -> None:
    found = shares(flood=90, calm=1)
    found.end("calm")
    assert not found.is_beyond("flood", 90, 100)
    for _ in range(90):
        found.end("flood")
    again = shares()
    assert vars(found) | {"_weights": None} == vars(again) | {"_weights": None}
