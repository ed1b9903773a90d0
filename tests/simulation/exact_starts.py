"""Floors of the exact cases that begin somewhere and end. Rates are per minute, times minutes."""

import math

from tests.simulation.exact_floors import BY_SKILL, Declared, exponential, minutes, patience


def transient(case: Declared) -> Declared:
    """T: one pool from a given state through steps of rate and staffing."""
    p = case["params"]
    theta = p["theta"]
    stream = {"queue": "q", "handle_time": exponential(p["mu"]), "initial": p["n0"]}
    stream |= patience(theta)
    if "segments_t_end_lam_c" in p:
        segments = p["segments_t_end_lam_c"]
        stream["arrivals"] = {
            "steps": [{"until": minutes(end), "per_minute": lam} for end, lam, _ in segments]
        }
        starts = [0.0, *(end for end, _, _ in segments[:-1])]
        staffing = [
            {"at": minutes(at), "agents": agents}
            for at, (_, _, agents) in zip(starts, segments, strict=True)
        ]
        staffing = [
            step
            for place, step in enumerate(staffing)
            if place == 0 or step["agents"] != staffing[place - 1]["agents"]
        ]
    else:
        # The sine of the rule in steps of five seconds, each at its middle.
        steps = []
        for place in range(12 * 60):
            middle = (place + 0.5) / 12
            rate = 18 * (1 + 0.3 * math.sin(2 * math.pi * middle / 60))
            steps.append({"until": minutes((place + 1) / 12), "per_minute": rate})
        stream["arrivals"] = {"steps": steps}
        staffing = [{"at": 0, "agents": p["c"]}]
    times = sorted({float(key.split(":")[0][1:]) for key in case["values"]})
    leaving = "hand_back" if case["id"] == "T04" else "finish"
    return {
        "horizon": {
            "length": minutes(times[-1]) + 1,
            "until_empty": True,
            "moments": [minutes(at) for at in times],
            "probe": "probe",
        },
        "queues": {"q": {}},
        "groups": {"g0": {"staffing": staffing, "queues": ["q"], "leaving": leaving}},
        "streams": {"0": stream, "probe": {"queue": "q", "handle_time": {"constant": 0}}},
    }


def day(case: Declared) -> Declared:
    """F: a day of eight hours from empty, until all have left."""
    p = case["params"]
    stream = {"queue": "q", "arrivals": {"per_minute": p["lam"]}}
    stream |= {"handle_time": exponential(p["mu"])} | patience(p.get("theta", 0.0))
    return {
        "horizon": {"length": minutes(p["T_end"]), "until_empty": True},
        "queues": {"q": {"max_length": p.get("qcap", 0)}},
        "groups": {"g0": {"agents": p["c"], "queues": ["q"]}},
        "streams": {"0": stream},
    }


# After the doors have closed, X01 is looked at until everybody has long gone.
CLOSED_MINUTES = 360
WATCHED_MINUTES = 420
LOOKS_PER_MINUTE = 4


def busy_days(case: Declared) -> Declared:
    """X01: SSJ's SimpleMSK, a stream for each type and period."""
    p = case["params"]
    looks = range(LOOKS_PER_MINUTE * (WATCHED_MINUTES - CLOSED_MINUTES))
    streams = {}
    for kind in range(3):
        for period in range(3):
            steps = [{"until": minutes(120 * period), "per_minute": 0}] if period else []
            steps.append(
                {"until": minutes(120 * period + 120), "per_minute": p["lam"][kind][period]}
            )
            streams[f"t{kind}p{period}"] = {
                "queue": str(kind),
                "skills": [{"skill": f"own{kind}"}],
                "arrivals": {"steps": steps},
                "busyness": {"gamma": {"shape": 28.7}},
                "handle_time": exponential(p["mu"][period]),
                "patience": exponential(p["nu"][period]),
            }
    serves = [[0, 1], [1, 2]]
    return {
        "horizon": {
            "length": minutes(WATCHED_MINUTES),
            "until_empty": True,
            "moments": [minutes(CLOSED_MINUTES + look / LOOKS_PER_MINUTE) for look in looks],
        },
        "queues": {str(kind): {"weights": BY_SKILL} for kind in range(3)},
        "groups": {
            f"g{g}": {
                "queues": [str(kind) for kind in serves[g]],
                # Type 1 goes to the first group where it can; a freed agent looks at age alone.
                "skills": {f"own{kind}": 5 - g for kind in serves[g]},
                "staffing": [
                    {"at": minutes(120 * period), "agents": p["agents"][g][period]}
                    for period in range(3)
                ],
            }
            for g in range(2)
        },
        "streams": streams,
    }
