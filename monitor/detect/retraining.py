"""When a model's retraining is asked for: pure, from the days on which drift stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

# What can start a training: an endpoint of one of these kinds.
TRAINERS: Final = ("webhook", "airflow", "databricks", "github")
# Of these, what takes nothing else: no alert is sent there.
TRAINS_ONLY: Final = ("airflow", "databricks", "github")


@dataclass(frozen=True, slots=True)
class Policy:
    """When the retraining of a model is asked for, and how long its trainer may be silent.

    Attributes
    ----------
    open_days, of_days
        On so many of the last `of_days` local days critical drift must have stood.
    cooldown_days
        From one request to the next, in event time.
    daily_budget
        As many requests may the whole service make in 24 hours.
    answer_within_hours
        From a trainer's word to its next one; a message is tried for 76 hours.
    dry_run
        Write down what would be asked for, and send nothing.
    enabled
        False asks for nothing, and keeps the rest.
    """

    open_days: int = 5
    of_days: int = 28
    cooldown_days: int = 28
    daily_budget: int = 10
    answer_within_hours: int = 96
    dry_run: bool = False
    enabled: bool = True

    def to_json(self) -> str:
        """Return the form that is stored."""
        return msgspec.json.encode(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Read the stored form back."""
        return msgspec.json.decode(text, type=cls)
