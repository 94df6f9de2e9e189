"""Routes: which of a model's messages go where."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.api.answers.common import Answer, Instant, said
from monitor.detect.reminders import AT_LEAST_H, AT_MOST_H


class RouteAnswer(Answer):
    """Which of a model's messages go to some endpoints."""

    model: str = said("The model", "flight-delay")
    name: str = said("Its name, among those of its model", "night")
    events: list[str] = said("Types of messages, or the words before their dots", ["drift"])
    severity: str = said("From which severity on: warning or critical", "critical")
    endpoints: list[str] = said("Where they go", ["on-call"])
    quiet: str | None = said(
        "Hours of each day in which nothing below critical is sent", "22:00-07:00"
    )
    timezone: str | None = said("The zone whose clock the quiet hours go by", "Europe/Berlin")
    repeat_hours: int | None = said(
        "After so many hours an alert that still stands is told again; null is never", 24
    )
    created: Instant = said("When it was set first", "2025-06-01T08:00:00Z", at="created_ms")


class RouteGone(Answer):
    """A route that was removed."""

    model: str = said("The model", "flight-delay")
    name: str = said("The name it had", "night")


class RouteBody(BaseModel):
    """What goes where; it takes the place of what the route was before."""

    model_config = ConfigDict(extra="forbid")

    endpoints: list[Annotated[str, Field(max_length=100)]] = Field(
        min_length=1, max_length=50, examples=[["on-call"]], description="Where they go"
    )
    events: list[Annotated[str, Field(max_length=60)]] = Field(
        ["*"], min_length=1, max_length=50, examples=[["drift", "schema.broken"]],
        description="Types of messages, or the words before their dots; * is all",
    )  # fmt: skip
    severity: Literal["warning", "critical"] = Field(
        "warning", description="From which severity on, of the worst that was told of the alert"
    )
    quiet: str | None = Field(
        None, max_length=11, examples=["22:00-07:00"],
        description="Hours of each day in which nothing below critical is sent",
    )  # fmt: skip
    timezone: str | None = Field(
        None, max_length=64, examples=["Europe/Berlin"],
        description="The zone whose clock they go by; the model's where none is given",
    )  # fmt: skip
    repeat_hours: int | None = Field(
        None, ge=AT_LEAST_H, le=AT_MOST_H, examples=[24],
        description="After so many hours without another message an alert that still stands, and "
        "that nobody has acknowledged or silenced, is told again; never where none is given",
    )  # fmt: skip
