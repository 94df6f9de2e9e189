"""Uploads: history that was counted elsewhere."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.api.answers.common import Answer, Instant, said
from monitor.api.answers.registered import MODEL

UPLOAD = "h-5d41402abc4b2a76b9719d911017c592"
GRIDSET = "9" * 64


class UploadAnswer(Answer):
    """An upload, and how far it is."""

    upload: str = said("Its name", UPLOAD, at="name")
    model: str = said("The model", MODEL)
    version: str = said("The version", "3")
    gridset: str = said("On which gridset it was counted", GRIDSET)
    state: Literal["open", "counted"] = said("counted: its panes count like any others", "counted")
    chunks: int = said("How many chunks are here", 12)
    digest: str = said("Of all chunks together; empty before the first", "5" * 64)
    panes: int = said("How many panes, of all segments", 8_784)
    rows: int = said("How many rows are in them", 27_004)
    first: Instant | None = said(
        "Start of the first pane; null before the first chunk", "2013-01-01T05:00:00Z",
        at="first_ms",
    )  # fmt: skip
    end: Instant | None = said("End of the last pane", "2013-02-01T05:00:00Z", at="end_ms")
    created: Instant = said("When it was begun", "2025-06-01T09:30:00Z", at="created_ms")
    touched: Instant = said("When a chunk came last", "2025-06-01T09:31:00Z", at="touched_ms")
    counted: Instant | None = said(
        "Since when it counts; null where it is not whole yet", "2025-06-01T09:31:10Z",
        at="counted_ms",
    )  # fmt: skip
    also_streamed: int | None = said(
        "Its panes that a stream has counted since, too: later events of that time; null in lists",
        0, default=None,
    )  # fmt: skip


class UploadBody(BaseModel):
    """What an upload is of."""

    model_config = ConfigDict(extra="forbid")

    model: str = Field(
        min_length=1, max_length=200, description="The model", examples=["flight-delay"]
    )
    version: str = Field(min_length=1, max_length=200, description="The version", examples=["3"])
    gridset: str = Field(
        pattern="^[0-9a-f]{64}$",
        description="`gridset` of the reference it was counted on",
        examples=[GRIDSET],
    )
    pane_ms: int = Field(
        ge=1, le=1 << 40, description="How long its panes are", examples=[3_600_000]
    )


class CountBody(BaseModel):
    """What is meant to be counted: nothing else is."""

    model_config = ConfigDict(extra="forbid")

    chunks: int = Field(ge=1, le=1_000_000, description="How many chunks", examples=[12])
    digest: str = Field(
        pattern="^[0-9a-f]{64}$", description="Of all of them together", examples=["5" * 64]
    )
