"""What all answers share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
)

T = TypeVar("T")


def instant_of(value: object) -> object:
    """Return epoch milliseconds as an aware datetime; anything else as it is."""
    if isinstance(value, int):
        return datetime.fromtimestamp(value / 1000, UTC)
    return value


def instant_text(value: datetime) -> str:
    """Return RFC 3339 in UTC, to the millisecond where there is one.

    >>> instant_text(datetime(2013, 2, 8, 10, 15, tzinfo=UTC))
    '2013-02-08T10:15:00Z'
    """
    precision = "milliseconds" if value.microsecond else "seconds"
    return value.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


Instant = Annotated[
    datetime,
    BeforeValidator(instant_of),
    PlainSerializer(instant_text, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


def said(words: str, example: Any = ..., *, at: str | None = None, default: Any = ...) -> Any:
    """Return a field with its description and an example; `at` is its name below the API."""
    examples = None if example is ... else [example]
    return Field(default, validation_alias=at, description=words, examples=examples)


class Answer(BaseModel):
    """What all answers share: they are made from rows."""

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)


class Page(BaseModel, Generic[T]):
    """A page of a list."""

    items: list[T] = said("At most `limit` of them")
    next: str | None = said(
        "The `cursor` of the following page; null at the end", "WzEzNjAzODYwMDAwMDBd", default=None
    )


class Alive(BaseModel):
    """The process answers."""

    status: str = said("Always `alive` or `ready`", "alive")


class ProblemAnswer(BaseModel):
    """What went wrong, and what mends it (RFC 9457)."""

    model_config = ConfigDict(title="Problem")

    type: str = said("No pages describe the kinds: the title does", "about:blank")
    title: str = said("The kind, in words", "There is no such model")
    status: int = said("The HTTP status", 404)
    detail: str | None = said("What is wrong here", "Nothing is called 'flight'.", default=None)
    mend: str | None = said(
        "What to do about it", "did you mean flight-delay? GET /api/v1/models lists all",
        default=None,
    )  # fmt: skip
    faults: list[dict[str, str | int]] | None = said(
        "Of events that cannot be counted the first 20: line, reason, detail",
        [{"line": 2, "reason": "time_no_offset", "detail": "2013-02-08T10:15:00"}],
        default=None,
    )
