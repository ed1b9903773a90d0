"""Settings of `headgate serve` that say what is sensed."""

from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

# What those must be that are neither numbers nor words of a list.
TELEMETRY_SHAPES: Final = {"sensing": "true or false"}


class TelemetrySettings(BaseModel):
    """Those settings, with their bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sensing: bool = Field(
        True, description="Sense queues: take readings in, forecast, tell breach risk."
    )
    sensing_save_s: int = Field(
        900,
        ge=10,
        le=86_400,
        description="Seconds between saves of what sensing has learned, to data_dir.",
    )
    telemetry_queues: Literal["reject", "create"] = Field(
        "reject",
        description="What becomes of a reading of a queue that is not known: it is refused, or "
        "the queue is made, with every default.",
    )
    telemetry_lateness_ms: int = Field(
        2_000,
        ge=0,
        le=15_000,
        description="How much later than its second a reading may come; what is sensed is as old.",
    )
    telemetry_stale_ms: int = Field(
        15_000,
        ge=1_000,
        le=3_600_000,
        description="Age from which a queue's last reading says nothing of the present.",
    )
    anomalies_per_day: float = Field(
        50.0,
        ge=0.1,
        le=100_000,
        description="Surges a cell may tell of in a day; of more the smaller are left out.",
    )
