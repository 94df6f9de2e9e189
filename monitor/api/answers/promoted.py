"""Promotions: which version was made live when, and what waits for its reference."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from monitor.api.answers.common import Answer, Instant, said

_Version = Annotated[str, Field(min_length=1, max_length=200)]


class PromotionAnswer(Answer):
    """A version that was made live, or that waits for its reference."""

    model: str = said("The model", "flight-delay")
    version: str = said("What was made live", "3")
    replaces: str | None = said("What it replaces; null where nothing was live before", "2")
    state: str = said(
        "live (the last one), planned (no event has come to its time), ended (a later one "
        "followed), or pending: the version has no reference yet, and is promoted once it has",
        "live",
    )
    effective: Instant | None = said(
        "From when on, in event time; null while it is pending", "2025-06-02T08:00:00Z"
    )
    took_over: Instant | None = said(
        "From when on it alone had predictions of the two; null while that is not known",
        "2025-06-02T09:00:00Z",
    )
    source: str = said("registration, api or mlflow", "api")
    by: str = said("Who promoted it", "api:token")
    at: Instant = said("When it was said", "2025-06-02T09:00:00Z")


class PromotionTold(PromotionAnswer):
    """What promoting did."""

    created: bool = said("False where the version was live already", True)


class PromotionBody(BaseModel):
    """Which version is live from when on."""

    model_config = ConfigDict(extra="forbid")

    version: _Version = Field(examples=["3"], description="What is made live")
    replaces: _Version | None = Field(
        None, examples=["2"],
        description="What it replaces; what is live then, where nothing is named",
    )  # fmt: skip
    effective: datetime | None = Field(
        None, examples=["2025-06-02T08:00:00Z"],
        description="From when on, in event time; from the last event that was counted, where "
        "nothing is named",
    )  # fmt: skip
