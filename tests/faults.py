"""Every call that an ingest process makes, numbered, and one of them that goes wrong.

A call of the broker or of the database fails before it was made, fails after it was made (nobody
knows what was done then), or is the moment at which the process ends.
"""

from __future__ import annotations

import functools
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from consumers.source import Change, Identity, Record, Source
from driftline.errors import BrokerUnavailable, StreamError

# What can befall a call.
HOWS: Final = ("fails before", "fails after", "dies before", "dies after")
# Calls after which nobody knows what was done.
DANGEROUS: Final = ("poll", "sql COMMIT")
# Calls of the broker that may raise, and what they raise; the others never do.
RAISES: Final[Mapping[str, Callable[[str], Exception]]] = {
    "identity": BrokerUnavailable,
    "bounds": BrokerUnavailable,
    "poll": StreamError,
    "position": StreamError,
}


class Died(BaseException):
    """The process ended here: nothing after it was done."""


class Calls:
    """Numbers the calls of all members, and lets one of them go wrong.

    Attributes
    ----------
    made
        What was called, in order.
    happened
        How often which call went wrong how, as ("dies after", "sql COMMIT").
    is_down
        Whether no statement reaches the database.
    """

    def __init__(self, engine: Engine) -> None:
        self.made: list[str] = []
        self.happened: Counter[tuple[str, str]] = Counter()
        self.is_down = False
        self._engine = engine
        self._at, self._how, self._next, self._from = -1, HOWS[0], "", 0
        self._is_on = False
        self._commit_of_driver = engine.dialect.do_commit

    def __enter__(self) -> Calls:
        sa.event.listen(self._engine, "before_cursor_execute", self._before_sql)
        sa.event.listen(self._engine, "after_cursor_execute", self._after_sql)
        if self._engine.dialect.name == "postgresql":  # there COMMIT is a call of the driver's
            self._engine.dialect.do_commit = self._commit  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        sa.event.remove(self._engine, "before_cursor_execute", self._before_sql)
        sa.event.remove(self._engine, "after_cursor_execute", self._after_sql)
        self._engine.dialect.do_commit = self._commit_of_driver  # type: ignore[method-assign]

    @contextmanager
    def on(self) -> Iterator[None]:
        """Number the calls of this block: those of a member, not those of the test."""
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False

    def arm(self, number: int, how: str) -> None:
        """Let call `number` from now go wrong (0: the next), in one of the `HOWS`."""
        self._at, self._how, self._next = len(self.made) + number, how, ""

    def arm_next(self, what: str, how: str, after: int = 0) -> None:
        """Let the next call of this name go wrong, but for so many calls of any name before."""
        self._at, self._how, self._next = -1, how, what
        self._from = len(self.made) + after

    def disarm(self) -> None:
        """Let nothing go wrong any more."""
        self._at, self._next, self.is_down = -1, "", False

    def before(self, what: str) -> None:
        """A call is about to be made."""
        number = len(self.made)
        self.made.append(what)
        if self.is_down and what.startswith("sql "):
            self._fail("fails while down", what)
        if what == self._next and number >= self._from:
            self._at, self._next = number, ""
        if number == self._at and self._how.startswith("fails") and not _may_fail(what):
            self._at += 1  # it never raises: the next one does
        if number == self._at and self._how.endswith("before"):
            self._strike(what)

    def after(self, what: str) -> None:
        """The call that was announced last was made."""
        if len(self.made) - 1 == self._at and self._how.endswith("after"):
            self._strike(what)

    @property
    def is_armed(self) -> bool:
        """Whether something will go wrong."""
        return self._at >= len(self.made) or bool(self._next)

    def _strike(self, what: str) -> None:
        self._at = -1
        if self._how.startswith("fails"):
            self._fail(self._how, what)
        self.happened[self._how, what] += 1
        self.end(self._how, what)

    def end(self, how: str, what: str) -> None:
        """End the process here."""
        raise Died(f"{how} {what}")

    def _fail(self, how: str, what: str) -> None:
        self.happened[how, what] += 1
        if what.startswith("sql "):
            raise sa.exc.OperationalError(what, {}, sqlite3.OperationalError("cut"))
        raise RAISES[what](f"{what} fails")

    def _before_sql(self, _conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._is_on and statement != "ROLLBACK":
            self.before(_named(statement))

    def _after_sql(self, _conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._is_on and statement != "ROLLBACK":
            self.after(_named(statement))

    def _commit(self, dbapi: Any) -> None:
        self._before_sql(None, None, "COMMIT")
        self._commit_of_driver(dbapi)
        self._after_sql(None, None, "COMMIT")


def _may_fail(what: str) -> bool:
    return what in RAISES or what.startswith("sql ")


@functools.cache
def _named(statement: str) -> str:
    """A statement by its verb and its table, as in "sql UPDATE stream_position"."""
    words = statement.replace('"', "").split()
    before = {"SELECT": "FROM", "INSERT": "INTO", "DELETE": "FROM", "UPDATE": "UPDATE"}
    before["WITH"] = "JOIN"  # what is sought, with what it is sought in
    place = words.index(before[words[0]]) + 1 if before.get(words[0]) in words else 0
    return f"sql {words[0]} {words[place]}" if place else f"sql {words[0]}"


class Tapped:
    """A source whose calls are numbered."""

    def __init__(self, calls: Calls, source: Source) -> None:
        self._calls, self._source = calls, source

    def identity(self) -> Identity | None:
        found: Identity | None = self._tapped("identity")
        return found

    def bounds(self) -> dict[int, tuple[int, int]]:
        found: dict[int, tuple[int, int]] = self._tapped("bounds")
        return found

    def poll(self, timeout_s: float) -> Mapping[int, Sequence[Record]]:
        # One that fails after it was made has moved positions past what it never returned.
        found: Mapping[int, Sequence[Record]] = self._tapped("poll", timeout_s)
        return found

    def changes(self) -> list[Change]:
        return self._source.changes()

    def position(self, partition: int) -> int:
        found: int = self._tapped("position", partition)
        return found

    def seek(self, partition: int, offset: int) -> None:
        self._tapped("seek", partition, offset)

    def pause(self, partitions: Iterable[int]) -> None:
        self._source.pause(partitions)

    def resume(self, partitions: Iterable[int]) -> None:
        self._tapped("resume", partitions)

    def commit(self, offsets: Mapping[int, int]) -> None:
        self._tapped("commit", offsets)

    def close(self) -> None:
        self._source.close()

    def _tapped(self, what: str, *given: Any) -> Any:
        self._calls.before(what)
        found = getattr(self._source, what)(*given)
        self._calls.after(what)
        return found
