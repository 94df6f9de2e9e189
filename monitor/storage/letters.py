"""Dead letters that are sent again: which can be, who sends them, and where they lie then.

A letter is taken in one transaction, sent, and noted as sent in another. Whoever is killed between
the two leaves a letter of which nobody knows whether it arrived: it is "in doubt", and is not
sent by itself. So a letter is sent at most once, unless a person asks for those in doubt.

Functions take a connection inside `engine.transaction`, or `engine.reading` where they only read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from monitor.storage import schema as t
from monitor.storage.rows import DeadLetter

Key = tuple[int, int, int, int]

# Somebody may be sending it still: longer than anybody waits for Kafka.
BEING_SENT_MS: Final = 60_000
_ARROW_MAGIC: Final = b"\xff\xff\xff\xff"
_MODEL: Final = re.compile(rb'"model"\s*:\s*("(?:[^"\\]|\\.){0,400}")')


class Verdict(StrEnum):
    """Whether a letter can be sent again, or why not."""

    POSSIBLE = "possible"
    SENT = "sent"
    IN_DOUBT = "in_doubt"
    WITHHELD = "withheld"
    TRUNCATED = "truncated"
    DAMAGED = "damaged"
    ARROW_ROW = "arrow_row"
    UNKNOWN_FORM = "unknown_form"


# What a person reads of each.
WORDS: Final = {
    Verdict.POSSIBLE: "can be sent again",
    Verdict.SENT: "was sent again already",
    Verdict.IN_DOUBT: "was being sent when something broke: nobody knows whether it arrived",
    Verdict.WITHHELD: "its bytes were not kept (ingest.keep_payload)",
    Verdict.TRUNCATED: "only its beginning was kept",
    Verdict.DAMAGED: "what was kept is not what its hash was made of",
    Verdict.ARROW_ROW: "a row of an Arrow stream, kept as text and not as it came",
    Verdict.UNKNOWN_FORM: "kept by an earlier release, which did not note its form",
}


@dataclass(frozen=True)
class Selection:
    """Which letters; what is left out does not matter. Empty = all.

    Attributes
    ----------
    keys
        Stream, partition, offset and line of each that is named.
    model
        As the kept bytes name it: a letter that names none is not of it.
    from_ms, to_ms
        When they were set aside, `[from, to)`.
    """

    keys: tuple[Key, ...] = ()
    reason: str | None = None
    topic: str | None = None
    model: str | None = None
    from_ms: int | None = None
    to_ms: int | None = None


def scan(
    conn: Connection, wanted: Selection, *, after: Key | None = None, limit: int = 500
) -> tuple[list[DeadLetter], Key | None]:
    """Return letters in the order of the log, and where to go on (None = that is all).

    At most `limit` rows are looked at; of them those of another model are left out.
    """
    c = t.dead_letter.c
    key = (c.stream_id, c.partition, c.offset, c.line)
    columns = [c[name] for name in DeadLetter.__slots__ if name != "topic"]
    query = (
        sa.select(t.stream.c.topic, *columns)
        .join(t.stream, t.stream.c.id == c.stream_id)
        .order_by(*key)
        .limit(limit)
    )
    if wanted.keys:
        query = query.where(sa.tuple_(*key).in_(wanted.keys))
    if wanted.reason is not None:
        query = query.where(c.reason == wanted.reason)
    if wanted.topic is not None:
        query = query.where(t.stream.c.topic == wanted.topic)
    if wanted.from_ms is not None:
        query = query.where(c.created_ms >= wanted.from_ms)
    if wanted.to_ms is not None:
        query = query.where(c.created_ms < wanted.to_ms)
    if after is not None:
        query = query.where(sa.tuple_(*key) > sa.tuple_(*after))
    found = [DeadLetter(**row._mapping) for row in conn.execute(query)]
    last = found[-1].key if len(found) == limit else None
    if wanted.model is not None:
        found = [letter for letter in found if model_of(letter.payload) == wanted.model]
    return found, last


def verdict(letter: DeadLetter) -> Verdict:
    """Return whether a letter, read with its payload, can be sent again as it came."""
    if letter.replayed_offset is not None:
        return Verdict.SENT
    if letter.replay_ms is not None:
        return Verdict.IN_DOUBT
    return wholeness(letter)


def wholeness(letter: DeadLetter) -> Verdict:
    """Return whether all bytes are there as they came, whatever was sent of them."""
    if letter.payload is None:
        return Verdict.WITHHELD
    if letter.form == "row":
        return Verdict.ARROW_ROW
    if letter.form is None and (letter.line or letter.payload.startswith(_ARROW_MAGIC)):
        return Verdict.UNKNOWN_FORM
    if len(letter.payload) < letter.size_bytes:
        return Verdict.TRUNCATED
    if hashlib.sha256(letter.payload).hexdigest() != letter.payload_sha256:
        return Verdict.DAMAGED
    return Verdict.POSSIBLE


class _Named(msgspec.Struct):
    model: str | None = None


def model_of(payload: bytes | None) -> str | None:
    """Return the model that a record names, as far as it can be read.

    >>> model_of(b'{"model": "churn", "time": 1}'), model_of(b'{"model": "churn", "ti'), \
model_of(b"x")
    ('churn', 'churn', None)
    """
    if payload is None:
        return None
    try:
        return msgspec.json.decode(payload, type=_Named).model
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    named = _MODEL.search(payload)
    try:
        return None if named is None else msgspec.json.decode(named[1], type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def take(conn: Connection, letters: Sequence[DeadLetter], now_ms: int) -> list[DeadLetter]:
    """Take letters to send them; return those that nobody else took meanwhile."""
    c = t.dead_letter.c
    taken = []
    for letter in letters:
        was = c.replay_ms.is_(None) if letter.replay_ms is None else c.replay_ms == letter.replay_ms
        moved = conn.execute(
            sa.update(t.dead_letter)
            .where(_at(letter), was, c.replayed_offset.is_(None))
            .values(replay_ms=now_ms)
        ).rowcount
        if moved == 1:
            taken.append(letter)
    return taken


def give_back(conn: Connection, letters: Sequence[DeadLetter], now_ms: int) -> None:
    """Undo `take` of letters that are known not to have been written."""
    c = t.dead_letter.c
    for letter in letters:
        conn.execute(
            sa.update(t.dead_letter)
            .where(_at(letter), c.replay_ms == now_ms, c.replayed_offset.is_(None))
            .values(replay_ms=letter.replay_ms)
        )


def note_sent(conn: Connection, letter: DeadLetter, partition: int, offset: int) -> None:
    """Note where the new record lies."""
    conn.execute(
        sa.update(t.dead_letter)
        .where(_at(letter))
        .values(replayed_partition=partition, replayed_offset=offset)
    )


def _at(letter: DeadLetter) -> sa.ColumnElement[bool]:
    c = t.dead_letter.c
    return sa.and_(
        c.stream_id == letter.stream_id,
        c.partition == letter.partition,
        c.offset == letter.offset,
        c.line == letter.line,
    )
