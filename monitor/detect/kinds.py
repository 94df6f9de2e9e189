"""Which kind of incident a statistic opens, all that is folded included."""

from __future__ import annotations

from typing import Final

from driftline.stats.rule import KIND_OF as OF_RULE
from monitor.detect.absent import ABSENT, SCHEMA

KIND_OF: Final = OF_RULE | {ABSENT: SCHEMA}
