"""Floors of the exact cases that are about the long run. Rates are per minute, times minutes."""

from typing import Any

MINUTE_MS = 60_000.0
# Longer than any wait: a point of priority decides alone.
STRICT = "24h"
# The skill's weight decides, idle time breaks ties.
BY_SKILL = {"preferred_skills": 0.0, "skill": 1e6, "idle": 1.0}
Declared = dict[str, Any]


def exponential(rate: float) -> Declared:
    """Law of a rate per minute."""
    return {"exponential": MINUTE_MS / rate}


def minutes(value: float) -> float:
    """Milliseconds of minutes."""
    return value * MINUTE_MS


def handling(params: Declared) -> Declared:
    """Law of handling times of a case of one class."""
    if "mu" in params:
        return exponential(params["mu"])
    if "talk" in params:
        return {"exponential": minutes(params["talk"])}
    if "means" in params:
        branches = zip(params["p"], params["means"], strict=True)
        return {"hyperexponential": [{"share": p, "mean": minutes(m)} for p, m in branches]}
    if "cv" not in params:
        return {"exponential": minutes(params["aht"])}
    if params["cv"] == 0:
        return {"constant": minutes(params["aht"])}
    return {"lognormal": {"mean": minutes(params["aht"]), "cv": params["cv"]}}


def patience(theta: float) -> Declared:
    """Patience of a stream, where there is abandonment."""
    return {"patience": exponential(theta)} if theta > 0 else {}


def one_class(case: Declared) -> Declared:
    """E, A, S, D, C: one queue, one group."""
    p = case["params"]
    stream = {"queue": "q", "arrivals": {"per_minute": p["lam"]}, "handle_time": handling(p)}
    theta = p.get("theta", p.get("th", 0.0))
    stream |= patience(theta)
    if "D" in p:
        stream["patience"] = {"constant": minutes(p["D"])}
    if "wrap" in p:
        stream["wrap_up"] = {"exponential": minutes(p["wrap"])}
    queue: Declared = {}
    if p.get("K", 0) > p["c"]:
        queue["max_length"] = p["K"] - p["c"]
    elif p.get("K") == p["c"]:
        # Nowhere to wait: gone with the next tick of the clock.
        queue["max_wait"] = 1
    if "p" in p and "Kon" in p:
        stream["divert"] = {
            "from_waiting": p["Kon"], "until_waiting": p["Koff"], "accepted": p["p"],
        }  # fmt: skip
    elif case["id"] in ("D01", "D02"):
        stream["divert"] = {"from_waiting": p["K"], "accepted": p["p"]}
    group: Declared = {"agents": p["c"], "queues": ["q"]}
    if "m" in p:
        group |= {"capacity": p["m"], "speeds": p["speed"]}
        queue["strategy"] = "least_occupied"
    streams = {"0": stream}
    horizon = {}
    if any("offered_wait" in name for name in case["values"]):
        # Contacts that only wait see how long one would.
        horizon["probe"] = "probe"
        streams["probe"] = {
            "queue": "q", "arrivals": {"per_minute": p["lam"] / 10}, "handle_time": {"constant": 0},
        }  # fmt: skip
    return {
        "horizon": horizon, "queues": {"q": queue}, "groups": {"g0": group}, "streams": streams,
    }  # fmt: skip


def own_groups(case: Declared) -> Declared:
    """E10: dedicated groups behind shared trunks."""
    p = case["params"]
    names = [str(number) for number in range(p["groups"])]
    return {
        "trunks": p["trunks"],
        "queues": {name: {} for name in names},
        "groups": {f"g{name}": {"agents": p["c_each"], "queues": [name]} for name in names},
        "streams": {
            name: {
                "queue": name,
                "arrivals": {"per_minute": p["lam_each"]},
                "handle_time": exponential(p["mu"]),
            }
            for name in names
        },
    }


def priorities(case: Declared) -> Declared:
    """P: classes of one pool, the first before the others."""
    p = case["params"]
    classes = len(p["lam"])
    streams = {}
    for k in range(classes):
        rate = p["mu"][k] if isinstance(p["mu"], list) else p["mu"]
        streams[str(k)] = {
            "queue": "q",
            "priority": classes - k,
            "arrivals": {"per_minute": p["lam"][k]},
            "handle_time": exponential(rate),
        } | patience(p["theta"][k] if "theta" in p else 0.0)
    return {
        "queues": {"q": {"priority_age": STRICT}},
        "groups": {"g0": {"agents": p["c"], "queues": ["q"]}},
        "streams": streams,
    }


def skills(case: Declared) -> Declared:
    """K01 to K06: who may do what, first come first served, longest idle first."""
    p = case["params"]
    types = range(len(p["lam"]))
    held = p["skills"]
    if held == "all":
        held = [list(types)] * len(p["mus"])
    return {
        "queues": {str(k): {} for k in types},
        "groups": {
            f"s{agent}": {
                "agents": 1,
                "queues": [str(k) for k in held[agent]],
                "speed": p["mus"][agent],
            }
            for agent in range(len(held))
        },
        "streams": {
            str(k): {
                "queue": str(k),
                "arrivals": {"per_minute": p["lam"][k]},
                "handle_time": {"exponential": MINUTE_MS},
            }
            for k in types
        },
    }


def two_pools(case: Declared) -> Declared:
    """K07 to K10: own class first, then the other, by the weight of one skill."""
    p = case["params"]
    cross = "mu_g_k" in p
    rates = p["mu_g_k"] if cross else [[p["mu"][g]] * 2 for g in range(2)]
    serves = [[0, 1], [0, 1]] if cross else [[0], [0, 1]]
    return {
        "queues": {str(k): {"weights": BY_SKILL} for k in range(2)},
        "groups": {
            f"g{g}": {
                "agents": p["c"][g],
                "queues": [str(k) for k in serves[g] if not (g == 1 and k == 0 and p.get("thr"))],
                "overflow": [{"queue": "0", "from_waiting": p["thr"]}]
                if g == 1 and p.get("thr")
                else [],
                "skills": {f"own{k}": 5 if k == g else 1 for k in serves[g]},
                "handle_time": {str(k): exponential(rates[g][k]) for k in serves[g]},
            }
            for g in range(2)
        },
        "streams": {
            str(k): {
                "queue": str(k),
                "skills": [{"skill": f"own{k}"}],
                "arrivals": {"per_minute": p["lam"][k]},
                "handle_time": exponential(rates[k][k]),
            }
            | patience(p["theta"][k])
            for k in range(2)
        },
    }


def longer_queue_first(case: Declared) -> Declared:
    """K10: as K09, but the weight grows with the queue, and one's own class only breaks ties."""
    declared = two_pools(case)
    for k in range(2):
        # One's own class counts for 1 part in 40 more: less than one contact, up to 40 waiting.
        declared["queues"][str(k)] = {"weights": BY_SKILL, "skill_per_waiting": 1e6}
        declared["streams"][str(k)]["skills"] = [
            {"skill": f"own{k}"}, *({"skill": f"all{n}"} for n in range(7)),
        ]  # fmt: skip
        levels = {f"own{other}": 5 if other == k else 4 for other in range(2)}
        declared["groups"][f"g{k}"]["skills"] = levels | {f"all{n}": 5 for n in range(7)}
    return declared


def callbacks(case: Declared) -> Declared:
    """D05: who finds many waiting may be called back, by agents that are not needed."""
    p = case["params"]
    live = {
        "queue": "live",
        "arrivals": {"per_minute": p["lam"]},
        "handle_time": exponential(p["mu"]),
        "divert": {"from_waiting": p["K"], "accepted": p["p"], "to": "callback"},
    } | patience(p["th"])
    later = {"queue": "callback", "handle_time": exponential(p["mu"])}
    rule = {"queue": "callback", "keep_idle": p["r"]}
    return {
        "queues": {"live": {}, "callback": {}},
        "groups": {"g0": {"agents": p["c"], "queues": ["live"], "overflow": [rule]}},
        "streams": {"live": live, "callback": later},
    }


def unequal_agents(case: Declared) -> Declared:
    """K11 to K13: fast and slow agents, in an order or by idle time."""
    p = case["params"]
    order = {"g0": (5, 1), "g1": (1, 5), "random": (1, 1)}[p["order"]]
    return {
        "queues": {"q": {"weights": BY_SKILL}},
        "groups": {
            f"g{g}": {
                "agents": p["c"][g], "queues": ["q"], "speed": p["mu"][g],
                "skills": {"rank": order[g]},
            }
            for g in range(2)
        },
        "streams": {
            "0": {
                "queue": "q",
                "skills": [{"skill": "rank"}],
                "arrivals": {"per_minute": p["lam"]},
                "handle_time": {"exponential": MINUTE_MS},
            }
        },
    }  # fmt: skip


def skill_lists(case: Declared) -> Declared:
    """X02 and X03: Wallace and Whitt's agents, each with a list of skills in order."""
    groups = {}
    for agent, listed in enumerate(listed_skills(case["params"]["k"])):
        # Two skills per type: the sum of their levels falls with the place in the list.
        levels = {f"a{kind}": 5 - place // 2 for place, kind in enumerate(listed)}
        levels |= {f"b{kind}": 5 - (place + 1) // 2 for place, kind in enumerate(listed)}
        groups[f"{agent}"] = {
            "agents": 1, "queues": [str(kind) for kind in listed], "skills": levels,
        }  # fmt: skip
    return {
        "trunks": 120,
        "queues": {str(kind): {"weights": BY_SKILL} for kind in range(6)},
        "groups": groups,
        "streams": {
            str(kind): {
                "queue": str(kind),
                "skills": [{"skill": f"a{kind}"}, {"skill": f"b{kind}"}],
                "arrivals": {"per_minute": 1.4},
                "handle_time": {"exponential": 10 * MINUTE_MS},
            }
            for kind in range(6)
        },
        "thresholds": ["30s"],
    }


def listed_skills(first: int) -> list[list[int]]:
    """The first so many skills of each of Wallace and Whitt's 90 agents, own type before others."""
    lists = []
    for agent in range(90):
        own, turn = agent // 15, agent % 15
        others = [(own + 1 + i) % 6 for i in range(5)]
        lists.append(([own] + [others[(turn + i) % 5] for i in range(5)])[:first])
    return lists
