"""How long a pane is, the smallest slice of event time that is counted by itself.

A pane is an hour of epoch time, or fifteen minutes where the model's zone has (or had) an offset
that is no whole hour: local days then still start on a pane's edge.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from driftline.stats.lengths import HOUR_MS

QUARTER_MS: Final = HOUR_MS // 4


@cache
def pane_ms_of(timezone: str) -> int:
    """Return the pane's length in ms for a model in `timezone`.

    Offsets are looked at from 2000 to 2100, the years an event may have.

    Examples
    --------
    >>> pane_ms_of("America/New_York"), pane_ms_of("Asia/Kolkata")
    (3600000, 900000)
    """
    zone = ZoneInfo(timezone)
    at = datetime(2000, 1, 1, tzinfo=UTC)
    end = datetime(2038, 1, 1, tzinfo=UTC)  # zone files hold no new offset after it
    while at < end:
        offset = at.astimezone(zone).utcoffset() or timedelta()
        if offset.total_seconds() % 3600:
            return QUARTER_MS
        at += timedelta(days=30)
    return HOUR_MS
