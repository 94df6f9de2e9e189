"""What people do about incidents, and silences: what is asked and what is told."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from monitor.api.answers.common import Answer, Instant, said
from monitor.api.parameters import MAX_NAME, is_storable, moment

WHO: Final = "M. Keller"
UNTIL: Final = "2025-06-01T08:00:00Z"
# A comment is for people; what is longer belongs where it can be searched.
MOST_TEXT: Final = 4_000


def _line(text: str) -> str:
    text = " ".join(text.split())
    if not is_storable(text) or not text.isprintable():
        raise ValueError("a name is one line of printable characters")
    return text


def _text(text: str) -> str:
    if not is_storable(text) or "\0" in text:
        raise ValueError("no text holds half a character, or a NUL")
    return text.strip()


Line = Annotated[str, Field(max_length=100), AfterValidator(_line)]
_Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_text)]
_Comment = Annotated[str, Field(max_length=MOST_TEXT), AfterValidator(_text)]
_Moment = Annotated[datetime, BeforeValidator(moment)]


def _asked(words: str, example: Any, default: Any = None, **more: Any) -> Any:
    return Field(default, description=words, examples=[example], **more)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    by: Line = _asked("Who says so, as others know them; who was let in unless given", WHO, "")


class _NoteBody(_Body):
    alone: bool = Field(
        False, description="Of this incident alone, not of what is one problem with it"
    )


class DoingBody(_NoteBody):
    """Somebody looks after an incident, or does not any more."""

    comment: _Comment = _asked("What others should know", "a deploy at noon; rolled back", "")


class AssignBody(_NoteBody):
    """Who is to look after an incident."""

    to: Line = _asked("Whom; empty takes it back", "data-platform", ...)


class CommentBody(_NoteBody):
    """Something that others should know."""

    text: _Comment = _asked("The comment", "the sensor was replaced on 3 May", ..., min_length=1)


class FeedbackBody(_NoteBody):
    """Whether it was worth the message."""

    verdict: Literal["useful", "noise", "none"] = _asked(
        "useful, noise, or none to take it back", "useful", ...
    )
    comment: _Comment = _asked("Why", "the model really was worse", "")


class NoteAnswer(Answer):
    """Something that somebody did about an incident."""

    action: str = said(
        "acknowledged, given back, assigned, commented, useful, noise or unjudged", "commented"
    )
    at: Instant = said("By the wall clock", "2025-06-02T08:10:00Z", at="at_ms")
    by: str = said("Who", WHO)
    text: str = said("The comment, or who is assigned", "the sensor was replaced on 3 May")


class MatcherAnswer(Answer):
    """Which incidents are meant: those that are all that is not null."""

    model: str | None = said("Of this model", "flight-delay")
    version: str | None = said("Of this version", None)
    segment: str | None = said("Of this segment", None)
    feature: str | None = said("Of this feature", "temp")
    kind: str | None = said("Of this kind", "missing")
    severity: str | None = said("`warning`: what turns critical is told all the same", None)


class SilenceAnswer(Answer):
    """Of what nobody is told for a while."""

    number: int = said("Its number", 3)
    state: str = said("scheduled, active or over", "active")
    matcher: MatcherAnswer = said("What is meant")
    start: Instant = said("From when", "2025-05-31T08:00:00Z", at="from_ms")
    until: Instant = said("Until when", UNTIL, at="until_ms")
    reason: str = said("Why", "the station is moved")
    by: str = said("Who made it", WHO)
    created: Instant = said("When it was made", "2025-05-31T07:58:00Z", at="created_ms")
    ended: Instant | None = said("When it was ended before its time", None, at="ended_ms")
    ended_by: str | None = said("By whom", None)


class HandlingAnswer(Answer):
    """What was done about an incident, or about what is one problem with it."""

    incidents: list[int] = said("The numbers that this is about", [19, 20])
    acknowledged_by: str | None = said("Who looks after it; null for nobody", WHO)
    acknowledged: Instant | None = said("Since when", "2025-06-02T08:10:00Z")
    assignee: str | None = said("Who is to look after it", "data-platform")
    feedback: str | None = said("useful, noise, or null", "useful")
    silence: SilenceAnswer | None = said("What keeps it quiet now", None)
    notes: list[NoteAnswer] = said("All that was done, the oldest first, the last 200")


class HandlingList(Answer):
    """What was done about several incidents."""

    items: list[HandlingAnswer] = said("One for each number that was asked for, in their order")


class SilenceBody(_Body):
    """What nobody is to be told of, and until when. What is given must all hold."""

    model: _Name | None = _asked("Of this model", "flight-delay")
    version: _Name | None = _asked("Of this version", "3")
    segment: _Name | None = _asked("Of this segment", "origin=JFK")
    feature: _Name | None = _asked("Of this feature", "temp")
    kind: Literal["distribution", "missing", "type_error", "unseen", "volume", "schema"] | None = (
        _asked("Of this kind", "missing")
    )
    severity: Literal["warning", "critical"] | None = _asked(
        "The worst that is meant; `warning` lets through what turns critical", "warning"
    )
    all: bool = Field(False, description="Of everything; needed where nothing else is given")
    start: _Moment | None = _asked("From when; now unless given", "2025-05-31T08:00:00Z")
    until: _Moment | None = _asked("Until when; this or `for_s`", UNTIL)
    for_s: int | None = _asked("For so many seconds from the start", 7_200, ge=60)
    reason: _Comment = _asked("Why: others will wonder", "the station is moved", "")


class UntilBody(_Body):
    """Another end."""

    until: _Moment = _asked("Until when", UNTIL, ...)


class EndBody(_Body):
    """Who ends it."""


class PreviewAnswer(Answer):
    """What a silence would hold back."""

    firing: list[int] = said("Incidents that stand now and are meant", [19])
    past: list[int] = said("Those that opened in the last 30 days of what is judged", [3, 11, 19])
    overlapping: list[int] = said("Silences that mean some of the same meanwhile", [2])
