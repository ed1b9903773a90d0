"""Exact cases as ciw's users write them. Rates are per minute, times minutes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import ciw

from benchmarks.peer_calls import Call, Outcome

Params = Mapping[str, Any]

_OUTCOMES: Final = {"service": Outcome.ANSWERED, "renege": Outcome.ABANDONED}


def one_pool(params: Params, minutes: float, seed: int) -> Sequence[Call]:
    """Agents who are alike; callers wait for as long as it takes."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(params["lam"])],
        service_distributions=[ciw.dists.Exponential(params["mu"])],
        number_of_servers=[params["c"]],
    )
    return _calls(network, minutes, seed)


def impatient(params: Params, minutes: float, seed: int) -> Sequence[Call]:
    """Agents who are alike; callers hang up when their patience ends."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(params["lam"])],
        service_distributions=[ciw.dists.Exponential(params["mu"])],
        reneging_time_distributions=[ciw.dists.Exponential(params["theta"])],
        number_of_servers=[params["c"]],
    )
    return _calls(network, minutes, seed)


def priorities(params: Params, minutes: float, seed: int) -> Sequence[Call]:
    """Two kinds of callers; the first go before the others."""
    kinds = [str(kind) for kind in range(len(params["lam"]))]
    network = ciw.create_network(
        arrival_distributions={
            kind: [ciw.dists.Exponential(rate)]
            for kind, rate in zip(kinds, params["lam"], strict=True)
        },
        service_distributions={kind: [ciw.dists.Exponential(params["mu"])] for kind in kinds},
        priority_classes={kind: place for place, kind in enumerate(kinds)},
        number_of_servers=[params["c"]],
    )
    return _calls(network, minutes, seed)


def _calls(network: ciw.network.Network, minutes: float, seed: int) -> Sequence[Call]:
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(minutes)
    return [
        Call(
            int(record.customer_class) if record.customer_class.isdigit() else 0,
            record.arrival_date,
            record.waiting_time,
            _OUTCOMES[record.record_type],
        )
        for record in simulation.get_all_records()
    ]
