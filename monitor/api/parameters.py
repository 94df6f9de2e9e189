"""What may be asked: the types of parameters, each with its words and an example.

A text that no database could hold (half a character) is refused here, so that
no query below ever sees one. A NUL passes: SQLite keeps one, and PostgreSQL,
which does not, is asked and says so.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator

from monitor.api.problems import Problem

# Segments, the longest names there are, have up to 500 characters.
MAX_NAME = 500
# What a database's integer holds.
MIN_INT, MAX_INT = -(1 << 63), (1 << 63) - 1
# The year 2200: no event is admitted that lies before 2000 or beyond 2100.
LAST_MS = 7_258_118_400_000

Length = Annotated[
    Literal["hour", "day", "week", "4weeks"],
    Query(description="How long the windows are", examples=["day"]),
]
State = Literal[
    "firing", "recovering", "resolved", "withdrawn", "expired", "superseded", "pending", "open"
]


def is_storable(text: str) -> bool:
    """Return whether the text has no half of a character in it.

    >>> is_storable("New York"), is_storable("\\ud800")
    (True, False)
    """
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _storable(text: str) -> str:
    if not is_storable(text):
        raise ValueError("no name holds half a character")
    return text


def moment(value: object) -> object:
    """Read RFC 3339; what is no instant is refused with how to write one."""
    if isinstance(value, datetime):
        return value
    text = str(value)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        if _is_plus_lost(text):
            raise ValueError("a + in an address means a space: write it as %2B, or use Z") from None
        raise ValueError("write an instant as 2013-02-08T10:15:00Z") from None
    if found.tzinfo is None:
        raise ValueError("a time without an offset is no instant: write 2013-02-08T10:15:00Z")
    return found


def _is_plus_lost(text: str) -> bool:
    head, _, tail = text.rpartition(" ")
    return "T" in head and len(tail) == 5 and tail[2] == ":"


def _name(description: str, *examples: str, **more: Any) -> Any:
    return Query(max_length=MAX_NAME, description=description, examples=list(examples), **more)


_Text = Annotated[str, AfterValidator(_storable)]
_Moment = Annotated[datetime, BeforeValidator(moment)]

ModelPath = Annotated[
    _Text,
    Path(
        max_length=MAX_NAME,
        description="A model; slashes in its name are part of the path",
        examples=["flight-delay"],
    ),
]
WithArchived = Annotated[
    bool, Query(description="List those that are archived, too", examples=[True])
]
Digest = Annotated[
    _Text,
    Path(
        max_length=MAX_NAME,
        description="A reference, by the digest of its content",
        examples=["c0ffee" + "0" * 58],
    ),
]
Number = Annotated[int, Path(description="An incident's number", examples=[12])]
Model = Annotated[_Text, _name("A model's name", "flight-delay")]
AnyModel = Annotated[_Text | None, _name("Only this model's", "flight-delay")]
AVersion = Annotated[_Text | None, _name("A version's name; the newest unless named", "3")]
AnyVersion = Annotated[_Text | None, _name("Only this version's", "3")]
Feature = Annotated[
    _Text,
    _name("A feature; `prediction` and `prediction.score` are the model's output", "temp"),
]
AnyFeature = Annotated[_Text | None, _name("Only this feature's", "temp")]
Segment = Annotated[
    _Text, _name("`all`, or rows with one value of a dimension", "all", "origin=JFK")
]
AnySegment = Annotated[_Text | None, _name("Only this segment's", "all", "origin=JFK")]
AnyKind = Annotated[
    _Text | None,
    _name(
        "Only this kind of problem: distribution, missing, unseen, type_error ...", "distribution"
    ),
]
Reason = Annotated[_Text | None, _name("Only those with this reason", "bad_json")]
Topic = Annotated[_Text | None, _name("Only this topic's", "driftline.events")]
Words = Annotated[
    _Text, _name("A part of a name, upper and lower case alike", "delay", min_length=1)
]
States = Annotated[
    list[State] | None,
    Query(
        description="Only those in these states; `open` is firing and recovering. Pending ones, "
        "which wait for their second window, come only when they are asked for",
        examples=[["open"]],
    ),
]
From = Annotated[
    _Moment | None,
    Query(
        alias="from", description="RFC 3339 with an offset; inclusive",
        examples=["2013-02-01T05:00:00Z"],
    ),
]  # fmt: skip
To = Annotated[
    _Moment | None,
    Query(description="RFC 3339 with an offset; exclusive", examples=["2013-03-01T05:00:00Z"]),
]
VsFrom = Annotated[
    _Moment | None,
    Query(
        description="The range to compare with: its beginning. The reference unless given",
        examples=["2013-01-01T05:00:00Z"],
    ),
]
VsTo = Annotated[
    _Moment | None,
    Query(description="... and its end, exclusive", examples=["2013-02-01T05:00:00Z"]),
]
Since = Annotated[
    _Moment | None,
    Query(
        description="RFC 3339 with an offset, by the wall clock",
        examples=["2025-06-01T17:00:00Z"],
    ),
]
VsVersion = Annotated[
    _Text | None, _name("Compare with the reference of this version instead", "2")
]
Limit = Annotated[
    int | None,
    Query(
        ge=1, le=10_000, examples=[100],
        description="At most so many items; as CSV, all there are unless it is given",
    ),
]  # fmt: skip
Cursor = Annotated[
    str | None,
    Query(
        max_length=8_000,
        description="`next` of the page before",
        examples=["WzEzNjAzODYwMDAwMDBd"],
    ),
]
Format = Annotated[
    Literal["json", "csv"] | None,
    Query(
        description="`csv`, or `Accept: text/csv`, downloads a table (RFC 4180) of all pages; text "
        "cells that a spreadsheet would run as formulas begin with an apostrophe",
        examples=["csv"],
    ),
]


def to_ms(at: datetime | None) -> int | None:
    """Return epoch milliseconds, no further from all events than a calendar reaches.

    >>> to_ms(datetime(1, 1, 1, tzinfo=UTC)), to_ms(datetime(2013, 2, 8, 10, 15, tzinfo=UTC))
    (0, 1360318500000)
    """
    return min(max(0, round(at.timestamp() * 1000)), LAST_MS) if at is not None else None


def span(
    first: datetime | None, last: datetime | None, names: tuple[str, str] = ("from", "to")
) -> tuple[int | None, int | None]:
    """Return the range in milliseconds.

    Raises
    ------
    Problem
        It is empty.
    """
    if first is not None and last is not None and first >= last:
        raise Problem(
            422, "The range is empty",
            f"`{names[0]}` ({_text(first)}) is not before `{names[1]}` ({_text(last)}).",
            mend=f"`{names[0]}` is the first instant that counts, `{names[1]}` the first that "
            "does not: swap them, or leave one out",
        )  # fmt: skip
    return to_ms(first), to_ms(last)


def _text(at: datetime) -> str:
    try:
        return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return at.isoformat()
