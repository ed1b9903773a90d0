"""Laws of durations as a scenario declares them: a key names the form, its value is the rest."""

import math
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from engine.durations import parse_duration
from engine.kernels import floor_columns as forms

# Milliseconds; in a file a text with units.
Duration = Annotated[float, BeforeValidator(parse_duration)]
Positive = Annotated[Duration, Field(gt=0, le=86_400e3 * 400)]


class Declared(BaseModel):
    """A part of a scenario; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Lognormal(Declared):
    """Mean, and coefficient of variation."""

    mean: Positive
    cv: float = Field(gt=0, le=20)


class Erlang(Declared):
    """Mean, and number of exponential stages."""

    mean: Positive
    stages: int = Field(ge=1, le=100)


class Branch(Declared):
    """One branch of a hyperexponential law."""

    share: float = Field(gt=0, le=1)
    mean: Positive


class Weibull(Declared):
    """Scale, and shape: below 1 those who waited long are likely to go on waiting."""

    scale: Positive
    shape: float = Field(gt=0.05, le=50)


class SurvivalStep(Declared):
    """After so long, this share is still there."""

    after: Duration = Field(ge=0)
    share: float = Field(ge=0, le=1)


class Law(Declared):
    """
    A law of durations: exactly one of its forms.

    Attributes
    ----------
    constant, exponential
        The duration, and the mean.
    lognormal, erlang, hyperexponential, weibull
        With their parameters.
    empirical
        Durations that were observed, each as likely.
    kaplan_meier
        A survival curve, such as patience is estimated by; those left at its end never leave.
    """

    constant: Annotated[Duration, Field(ge=0)] | None = None
    exponential: Positive | None = None
    lognormal: Lognormal | None = None
    erlang: Erlang | None = None
    hyperexponential: tuple[Branch, ...] | None = Field(default=None, min_length=1, max_length=100)
    weibull: Weibull | None = None
    empirical: tuple[Annotated[Duration, Field(ge=0)], ...] | None = Field(
        default=None, min_length=1, max_length=1_000_000
    )
    kaplan_meier: tuple[SurvivalStep, ...] | None = Field(
        default=None, min_length=1, max_length=100_000
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        named = [name for name in Law.model_fields if getattr(self, name) is not None]
        if len(named) != 1:
            message = f"exactly one of {', '.join(Law.model_fields)}"
            raise ValueError(message)
        if self.hyperexponential is not None:
            total = sum(branch.share for branch in self.hyperexponential)
            if abs(total - 1.0) > 1e-9:
                message = f"shares that add up to 1, not {total:g}"
                raise ValueError(message)
        if self.kaplan_meier is not None:
            after = [step.after for step in self.kaplan_meier]
            shares = [step.share for step in self.kaplan_meier]
            if after != sorted(set(after)) or shares != sorted(shares, reverse=True):
                message = "steps of ascending `after` and falling `share`"
                raise ValueError(message)
        return self

    @property
    def mean_ms(self) -> float:
        """Mean, milliseconds; inf where some never end."""
        if self.constant is not None:
            return self.constant
        if self.exponential is not None:
            return self.exponential
        if self.lognormal is not None:
            return self.lognormal.mean
        if self.erlang is not None:
            return self.erlang.mean
        if self.hyperexponential is not None:
            return sum(branch.share * branch.mean for branch in self.hyperexponential)
        if self.weibull is not None:
            return self.weibull.scale * math.gamma(1.0 + 1.0 / self.weibull.shape)
        if self.empirical is not None:
            return sum(self.empirical) / len(self.empirical)
        return math.inf


class Gamma(Declared):
    """Shape of a gamma law of mean 1: its variance is 1 / shape."""

    shape: float = Field(ge=1, le=1e6)


class LawTable:
    """Laws as the kernels read them, gathered while a floor is built."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float, float, int, int]] = []
        self.points: list[tuple[float, float]] = []
        self._row_of: dict[Law | Gamma, int] = {}

    def row(self, law: Law | Gamma | None) -> int:
        """Row of a law, -1 for none."""
        if law is None:
            return -1
        if law not in self._row_of:
            self._row_of[law] = len(self.rows)
            self.rows.append(self._encoded(law))
        return self._row_of[law]

    def add_points(self, points: list[tuple[float, float]]) -> tuple[int, int]:
        """Append points; returns the first and how many."""
        first = len(self.points)
        self.points += points
        return first, len(points)

    def _encoded(self, law: Law | Gamma) -> tuple[int, float, float, int, int]:
        if isinstance(law, Gamma):
            return forms.GAMMA, 1.0, law.shape, 0, 0
        if law.constant is not None:
            return forms.CONSTANT, law.constant, 0.0, 0, 0
        if law.exponential is not None:
            return forms.EXPONENTIAL, law.exponential, 0.0, 0, 0
        if law.lognormal is not None:
            sigma = math.sqrt(math.log1p(law.lognormal.cv**2))
            return forms.LOGNORMAL, law.lognormal.mean, sigma, 0, 0
        if law.erlang is not None:
            return forms.ERLANG, law.erlang.mean, float(law.erlang.stages), 0, 0
        if law.weibull is not None:
            return forms.WEIBULL, law.weibull.scale, law.weibull.shape, 0, 0
        if law.hyperexponential is not None:
            total = np.cumsum([branch.share for branch in law.hyperexponential]).tolist()
            means = [branch.mean for branch in law.hyperexponential]
            first, count = self.add_points(list(zip([*total[:-1], 1.0], means, strict=True)))
            return forms.HYPEREXPONENTIAL, 0.0, 0.0, first, count
        if law.empirical is not None:
            values = sorted(law.empirical)
            n = len(values)
            first, count = self.add_points([((i + 1) / n, v) for i, v in enumerate(values)])
            return forms.STEPS, 0.0, 0.0, first, count
        assert law.kaplan_meier is not None
        points = [(1.0 - step.share, step.after) for step in law.kaplan_meier]
        if points[-1][0] < 1.0:
            points.append((1.0, math.inf))
        first, count = self.add_points(points)
        return forms.STEPS, 0.0, 0.0, first, count
