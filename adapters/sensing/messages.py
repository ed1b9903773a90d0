"""What is sensed, as messages of the contract."""

from collections.abc import Sequence

import numpy as np

from engine.forecasting.accuracy import Accuracy
from engine.forecasting.anomaly import Anomaly
from engine.forecasting.breach import HORIZONS_S, Quality
from engine.forecasting.windows import WINDOW_NAMES, Figures
from engine.kernels.sensing_columns import BUCKET_S, LEADS
from engine.sensing.picture import Picture
from engine.sensing.recent import Step
from engine.sensing.rows import Key
from headgate.v1 import telemetry_pb2 as pb

_FIGURES = ("service_level", "abandonment", "occupancy", "asa_ms", "aht_ms", "waiting")


def outlook_message(picture: Picture, row: int, *, with_windows: bool) -> pb.QueueOutlook:
    """What is sensed of one queue."""
    key = picture.keys[row]
    assert key is not None
    age_s = picture.age_s(row)
    message = pb.QueueOutlook(
        queue_id=key.name,
        at_ms=1_000 * (picture.second + 1),
        telemetry_age_ms=1_000 * age_s if age_s >= 0 else -1,
        is_stale=bool(picture.is_stale[row]),
        busyness=int(picture.busyness[row]),  # type: ignore[arg-type]
        aht_ms=float(picture.aht_ms[row]),
        aht_contacts=float(picture.aht_contacts[row]),
        breach_risks=[
            pb.BreachRisk(ahead_ms=int(1_000 * ahead_s), risk=risk)
            for ahead_s, risk in zip(HORIZONS_S, picture.risk[row].tolist(), strict=True)
            if risk == risk
        ],
        anomalies=[found.number for found in picture.anomalies if found.row == row],
    )
    for field, value in (
        ("forecast_5m", picture.forecast_5m[row]),
        ("forecast_30m", picture.forecast_30m[row]),
        ("agents_expected", picture.agents_expected[row]),
        ("load_ratio", picture.load_ratio[row]),
        ("service_level_projected", picture.service_level[row]),
        ("service_level_miss", picture.service_level_miss[row]),
    ):
        if not np.isnan(value):
            setattr(message, field, float(value))
    if with_windows:
        for name in WINDOW_NAMES:
            message.windows.append(_window_message(name, picture.windows[name], row))
    return message


def _window_message(name: str, figures: Figures, row: int) -> pb.WindowFigures:
    message = pb.WindowFigures(
        window=name,
        covered_s=int(figures.covered_s[row]),
        offered=int(figures.offered[row]),
        answered=int(figures.answered[row]),
        abandoned=int(figures.abandoned[row]),
    )
    for field in _FIGURES:
        value = float(getattr(figures, field)[row])
        if value == value:
            setattr(message, field, value)
    return message


def accuracy_message(name: str, found: Accuracy, quality: Quality, row: int) -> pb.QueueAccuracy:
    """How good what was told of a queue has been."""
    message = pb.QueueAccuracy(
        queue_id=name, drifts=int(found.drifts[row]), faults=int(found.faults[row])
    )
    for place, lead in enumerate(LEADS):
        told = message.forecasts.add(
            ahead_ms=1_000 * BUCKET_S * lead,
            forecasts=float(found.scored[row, place]),
            method=int(found.in_force[row, place]) + 1,
        )
        for field, values in (
            ("wape", found.wape),
            ("floor", found.floor),
            ("bias", found.bias),
            ("within_80", found.in_80),
            ("within_95", found.in_95),
            ("above_90", found.above_90),
            ("pinball", found.pinball),
        ):
            value = float(values[row, place])
            if value == value:
                setattr(told, field, value)
    for place, ahead_s in enumerate(HORIZONS_S):
        risk = message.breach_risks.add(ahead_ms=int(1_000 * ahead_s))
        brier, error = float(quality.brier[row, place]), float(quality.ece[row, place])
        if brier == brier:
            risk.brier, risk.calibration_error = brier, error
    return message


def add_recent(message: pb.QueueForecast, steps: Sequence[Step]) -> None:
    """Add what came lately to a forecast; before the first step that anything is known of, none."""
    for step in steps:
        is_known, is_forecast = step.contacts >= 0, step.forecast == step.forecast
        if not (is_known or is_forecast or message.recent):
            continue
        told = message.recent.add(begins_at_ms=1_000 * BUCKET_S * step.bucket)
        if is_known:
            told.contacts = step.contacts
        if is_forecast:
            told.forecast = step.forecast


def anomaly_message(found: Anomaly, key: Key | None) -> pb.Anomaly:
    """One anomaly; without a name where its queue is gone."""
    return pb.Anomaly(
        number=found.number,
        kind=int(found.kind),  # type: ignore[arg-type]
        queue_id=key.name if key is not None else "",
        is_group=key is not None and key.is_group,
        began_at_ms=1_000 * found.began_s,
        ended_at_ms=1_000 * found.ended_s if found.ended_s >= 0 else 0,
        window_ms=1_000 * found.window_s,
        excess=found.excess,
        confidence=found.confidence,
    )
