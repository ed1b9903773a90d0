"""Settings of `headgate serve` that say where policies come from."""

import os
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

# What those must be that are neither numbers nor words of a list.
POLICY_SHAPES: Final = {"policy_directory": "a folder that can be read, or nothing"}


class PolicySettings(BaseModel):
    """Those settings, with their bounds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    policy_directory: str = Field(
        "",
        description="Folder of policies, *.yaml and *.yml, that are published as they change; of "
        "each cell the folder in it that has the cell's name, where there is one. Empty for none.",
    )

    @field_validator("policy_directory")
    @classmethod
    def _check_folder(cls, value: str) -> str:
        if value and not (Path(value).is_dir() and os.access(value, os.R_OK | os.X_OK)):
            raise ValueError
        return value
