"""How many predictions were counted, by hour of event time: what came in, and where it broke off.

Judged windows are what is stored by hour; no rate by the wall clock is. So a log of last
year that is read today shows last year's hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from monitor.storage import reads
from monitor.storage.rows import Gap
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS

DAYS = {"24h": 1, "7d": 7, "30d": 30}
# Counts of what is gone do not shrink: what was counted of a truncated log stays counted.
LOSING = ("retention", "recreated")


@dataclass(frozen=True)
class Rate:
    """Predictions of all models by hour, oldest first and without holes; `gaps` are lost spans.

    `hours` are of UTC; an hour window of a zone that is half an hour off counts where it starts.
    """

    from_ms: int
    hours: tuple[int, ...]
    gaps: tuple[tuple[int, int], ...]

    @property
    def to_ms(self) -> int:
        """Return where the last hour ends."""
        return self.from_ms + len(self.hours) * HOUR_MS


def rate(conn: Connection, *, days: int, gaps: Sequence[Gap] = ()) -> Rate | None:
    """Return the last `days` days of judged hours; None where no hour was judged yet."""
    judged_to_ms = reads.watermark_ms(conn)
    if judged_to_ms is None:
        return None
    to_ms = judged_to_ms - judged_to_ms % HOUR_MS
    from_ms = to_ms - days * DAY_MS
    found = reads.rows_by_window(conn, length="hour", from_ms=from_ms)
    hours = [0] * (days * 24)
    for start_ms, rows in found:
        place = (start_ms - from_ms) // HOUR_MS
        if place < len(hours):
            hours[place] += rows
    if not any(hours):
        return None
    spans = sorted(
        (max(gap.from_ms, from_ms), min(gap.to_ms, to_ms))
        for gap in gaps
        if gap.kind in LOSING
        and gap.from_ms is not None
        and gap.to_ms is not None
        and gap.from_ms < to_ms
        and gap.to_ms >= from_ms
    )
    return Rate(from_ms, tuple(hours), tuple(spans))
