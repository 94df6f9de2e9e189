"""Uploads: history that was counted elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Upload:
    """History that was counted elsewhere, and how far its upload is.

    `state` is open or counted. `first` and `end` are the time of its panes; `rows` are those of
    all segments together. `also_streamed` says of how many panes a stream has counted later
    events, too; None in lists.
    """

    upload: str
    model: str
    version: str
    gridset: str
    state: str
    chunks: int
    digest: str
    panes: int
    rows: int
    first: datetime | None
    end: datetime | None
    created: datetime
    touched: datetime
    counted: datetime | None
    also_streamed: int | None = None
