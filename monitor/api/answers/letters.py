"""Dead letters that are sent again: what is asked, and what became of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from monitor.api.answers.common import said
from monitor.api.parameters import MAX_NAME, is_storable, moment

# A request's share: 500 records of 2 KB are acknowledged well within its time.
MOST: Final = 500


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("no name holds half a character")
    return text


_Text = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_storable)]
_Moment = Annotated[datetime, BeforeValidator(moment)]


def _asked(words: str, example: Any, **more: Any) -> Any:
    return Field(None, description=words, examples=[example], **more)


class ReplayBody(BaseModel):
    """Which dead letters to send again; what is given must all hold."""

    model_config = ConfigDict(extra="forbid")

    ids: list[Annotated[str, Field(max_length=100)]] | None = _asked(
        "These, by their `id`", ["1-1-40-0"], min_length=1, max_length=MOST
    )
    reason: _Text | None = _asked("Those with this reason", "time_in_future")
    topic: _Text | None = _asked("Those of this topic", "driftline.events")
    model: _Text | None = _asked("Those that name this model", "flight-delay")
    from_: _Moment | None = _asked("Set aside from then on", "2025-06-02T07:00:00Z", alias="from")
    to: _Moment | None = _asked("Set aside before then", "2025-06-02T08:00:00Z")
    all: bool = Field(False, description="Every one; needed where nothing else is given")
    in_doubt: bool = Field(
        False,
        description="Those, too, that were being sent when something broke: if one had arrived, "
        "it is in the topic twice then",
    )
    dry_run: bool = Field(False, description="Tell what would be sent, and send nothing")
    limit: int = Field(
        MOST, ge=1, le=MOST, description="Look at so many; `next` goes on after them"
    )
    cursor: str | None = _asked(
        "`next` of the answer before", "WzEsIDAsIDQwLCAwXQ", max_length=8_000
    )


class SentAnswer(BaseModel):
    """A dead letter that is a new record now."""

    id: str = said("The dead letter", "1-1-40-0")
    partition: int = said("Where the new record lies", 2)
    offset: int = said("... and at which offset", 48_290)


class ReplayAnswer(BaseModel):
    """What became of the dead letters that were asked for."""

    topic: str = said("Where the new records are written", "driftline.events")
    selected: int = said("How many were looked at", 12)
    sent: int = said("How many of them were sent; with `dry_run` would be", 10)
    refused: dict[str, int] = said(
        "The others by why not: sent, in_doubt, withheld, truncated, damaged, arrow_row, "
        "unknown_form, other_topic, or not_written, where the broker would not take it",
        {"truncated": 2},
    )
    letters: list[SentAnswer] = said("Each that was sent")
    is_dry_run: bool = said("Whether nothing was sent", False)
    next: str | None = said("The `cursor` of the following ones; null at the end", None)
