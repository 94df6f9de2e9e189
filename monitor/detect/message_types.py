"""The types of the messages about incidents, by what they are about.

All messages of one alert are of one row of `TYPES`, so their types begin with the same word.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from monitor.detect.kinds import Subject


@dataclass(frozen=True, slots=True)
class Types:
    """What the messages of one alert are called.

    Attributes
    ----------
    opened, updated
        It stands; and more is known of it.
    over
        It ended.
    gone
        It ended without anybody finding that it is over: nobody waits any longer.
    withdrawn
        Late events took its ground away.
    """

    opened: str
    updated: str
    over: str
    gone: str
    withdrawn: str


DETECTED, UPDATED = "drift.detected", "drift.updated"
RESOLVED, WITHDRAWN = "drift.resolved", "drift.withdrawn"
SILENT, RECOVERED, ENDED = "model.silent", "model.recovered", "model.ended"
SILENCE_WITHDRAWN = "model.silence_withdrawn"
BROKEN, SCHEMA_UPDATED = "schema.broken", "schema.updated"
SCHEMA_RESOLVED, SCHEMA_WITHDRAWN = "schema.resolved", "schema.withdrawn"
# Of the way from the log to the verdicts, whatever the model.
PIPELINE_GAP, PIPELINE_STALLED = "pipeline.gap", "pipeline.stalled"
PIPELINE_RECOVERED = "pipeline.recovered"
PIPELINE: Final = (PIPELINE_GAP, PIPELINE_STALLED, PIPELINE_RECOVERED)
# Of a retraining that was asked for in vain.
RETRAIN_FAILED, RETRAIN_RECOVERED = "retrain.failed", "retrain.recovered"
RETRAIN: Final = (RETRAIN_FAILED, RETRAIN_RECOVERED)

TYPES: Final[Mapping[Subject, Types]] = {
    "drift": Types(DETECTED, UPDATED, RESOLVED, RESOLVED, WITHDRAWN),
    # A silence has no parts: what changes of it is that it began at another time.
    "silence": Types(SILENT, SILENT, RECOVERED, ENDED, SILENCE_WITHDRAWN),
    "schema": Types(BROKEN, SCHEMA_UPDATED, SCHEMA_RESOLVED, SCHEMA_RESOLVED, SCHEMA_WITHDRAWN),
}
STANDING: Final = {name for types in TYPES.values() for name in (types.opened, types.updated)}
WITHDRAWALS: Final = {types.withdrawn for types in TYPES.values()}
