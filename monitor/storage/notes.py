"""The SQL of what people do about incidents: a list that only grows, and what it comes to.

An incident that is acknowledged has somebody who looks after it. That ends by itself when it
turns worse: an acknowledgement is of what was known then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.engine import insert_rows
from monitor.storage.evaluation import IN_AT_MOST

ACKNOWLEDGED: Final = "acknowledged"
GIVEN_BACK: Final = "given back"
ASSIGNED: Final = "assigned"
COMMENTED: Final = "commented"
USEFUL: Final = "useful"
NOISE: Final = "noise"
UNJUDGED: Final = "unjudged"
ACTIONS: Final = (ACKNOWLEDGED, GIVEN_BACK, ASSIGNED, COMMENTED, USEFUL, NOISE, UNJUDGED)
# After these an incident is not what somebody acknowledged.
_WORSE: Final = ("opened", "escalated", "reopened")


@dataclass(frozen=True, slots=True)
class Note:
    """Something that somebody did; `text` is the comment, or the assignee ("" for nobody)."""

    number: int
    action: str
    at_ms: int
    by: str
    actor: str
    text: str


@dataclass(frozen=True, slots=True)
class Handling:
    """What notes come to.

    Attributes
    ----------
    acknowledged
        The acknowledgement that holds, if one does.
    assignee
        Who was assigned last; "" for nobody.
    feedback
        useful, noise, or None where nobody said or it was taken back.
    notes
        All of them, the oldest first; one that was made of several incidents at once is one.
    """

    acknowledged: Note | None = None
    assignee: str = ""
    feedback: str | None = None
    notes: tuple[Note, ...] = ()


def add(
    conn: Connection,
    numbers: Iterable[int],
    action: str,
    *,
    by: str,
    actor: str,
    now_ms: int,
    text: str = "",
) -> None:
    """Write down what somebody did about some incidents."""
    insert_rows(
        conn,
        t.incident_note,
        [
            {
                "incident_number": number,
                "action": action,
                "at_ms": now_ms,
                "author": by,
                "actor": actor,
                "text": text,
            }
            for number in sorted(numbers)
        ],
    )


def notes_of(conn: Connection, numbers: Collection[int]) -> dict[int, list[Note]]:
    """Return the notes of incidents by number, each list's oldest first."""
    c = t.incident_note.c
    query = sa.select(c.incident_number, c.action, c.at_ms, c.author, c.actor, c.text)
    found: dict[int, list[Note]] = {}
    for some in _in_parts(numbers):
        for row in conn.execute(query.where(c.incident_number.in_(some)).order_by(c.id)):
            found.setdefault(row[0], []).append(Note(*row))
    return found


def worsened_ms(conn: Connection, numbers: Collection[int]) -> dict[int, int]:
    """Return when it was last recorded of each incident that it opened or turned worse."""
    c = t.incident_event.c
    query = (
        sa.select(c.incident_number, sa.func.max(c.recorded_ms))
        .where(c.event.in_(_WORSE))
        .group_by(c.incident_number)
    )
    return {
        row[0]: row[1]
        for some in _in_parts(numbers)
        for row in conn.execute(query.where(c.incident_number.in_(some)))
    }


def handling(conn: Connection, numbers: Collection[int]) -> dict[int, Handling]:
    """Return what was done about incidents, by the number of those of which there are notes."""
    notes = notes_of(conn, numbers)
    worse = worsened_ms(conn, notes) if notes else {}
    return {number: what_stands(found, worse.get(number, 0)) for number, found in notes.items()}


def what_stands(notes: Sequence[Note], worsened_ms: int) -> Handling:
    """Return what notes of one incident come to, of which each overrides those before.

    Examples
    --------
    >>> notes = [Note(1, ACKNOWLEDGED, 20, "Mo", "api:token", ""), Note(1, NOISE, 30, "Li", "", "")]
    >>> what_stands(notes, 10).acknowledged.by, what_stands(notes, 10).feedback
    ('Mo', 'noise')
    >>> what_stands(notes, 25).acknowledged is None
    True
    """
    acknowledged, assignee, feedback = None, "", None
    for note in notes:
        match note.action:
            case "acknowledged":
                acknowledged = note
            case "given back":
                acknowledged = None
            case "assigned":
                assignee = note.text
            case "useful" | "noise":
                feedback = note.action
            case "unjudged":
                feedback = None
    if acknowledged is not None and acknowledged.at_ms < worsened_ms:
        acknowledged = None
    return Handling(acknowledged, assignee, feedback, tuple(notes))


def of_group(
    members: Iterable[int], standing: Collection[int], by_number: Mapping[int, Handling]
) -> Handling:
    """Return what was done about incidents that are one problem, the last word of each kind.

    It is acknowledged where every one that stands is.
    """
    notes = sorted(
        {
            (note.at_ms, note.action, note.by, note.text): note
            for number in members
            if number in by_number
            for note in by_number[number].notes
        }.values(),
        key=lambda note: note.at_ms,
    )
    last = what_stands(notes, 0)
    held = [by_number[n].acknowledged if n in by_number else None for n in standing]
    acknowledged = None
    if held and None not in held:
        acknowledged = max((n for n in held if n is not None), key=lambda note: note.at_ms)
    return Handling(acknowledged, last.assignee, last.feedback, tuple(notes))


def _in_parts(numbers: Collection[int]) -> Iterator[list[int]]:
    """Yield what fits into one IN (...)."""
    ordered = sorted(numbers)
    for place in range(0, len(ordered), IN_AT_MOST):
        yield ordered[place : place + IN_AT_MOST]
