"""The breaker: when most of what comes cannot be read, the consumer stops before it counts it.

Dead letters are for the few records that nobody can read. When most are like that, something
else is wrong: another format, another topic, a producer gone mad. To go on would move the
position past all of it, and keep the first 10,000 of each partition. So the consumer stops, says
why, and leaves the position where it was: nothing is lost, and a person decides.

It looks at the last events of this process, in the order in which they were read; whether an
accepted flood is over, at those of the partition where it was noticed. A record of
many counts as many; what is read again counts once. A time that cannot be (`time_*`) is no fault of
decoding: one clock gone wrong must not stop the others' counts.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from sqlalchemy.engine import Connection, Engine

from consumers.admit import Rules, admit
from consumers.ledger import Ledger, letter_of
from consumers.source import Record, Unread
from driftline.errors import DeadLetterLimit
from driftline.events import REASONS
from monitor.storage import breakers
from monitor.storage.breakers import Stop
from monitor.storage.checkpoint import Stream
from monitor.storage.delta import CounterKey
from monitor.storage.engine import transaction

# Reasons for which an event is none that can be read.
UNDECODABLE: Final = tuple(reason for reason in REASONS if not reason.startswith("time_"))
# Shown of a flood, and how many of the last records are looked at for them.
SAMPLES: Final = 5
_LOOKED_AT: Final = 200

Held = tuple[int, Counter[str]]


def held(ledger: Ledger) -> Held:
    """Return how many events a ledger holds, and what it refused by reason."""
    counters = ledger.delta.counters
    dead = {reason: counters.get(CounterKey("", "", f"dead:{reason}"), 0) for reason in REASONS}
    return ledger.rows, Counter(dead)


class _Last:
    """The last events that were read, at least so many of them."""

    def __init__(self, least: int) -> None:
        self._least = least
        # Pieces of what was read: how many events, and those that are none by reason.
        self._pieces: deque[tuple[int, Counter[str]]] = deque()
        self.events = self.bad = 0

    def add(self, events: int, bad: Counter[str]) -> None:
        """Add the next ones, and forget what lies too far back."""
        self._pieces.append((events, bad))
        self.events += events
        self.bad += bad.total()
        while self._pieces and self.events - self._pieces[0][0] >= self._least:
            oldest, its_bad = self._pieces.popleft()
            self.events -= oldest
            self.bad -= its_bad.total()

    def is_flooded(self, ratio: float) -> bool:
        """Whether there are enough, of which most cannot be read."""
        return self.events >= self._least and self.bad > ratio * self.events

    def is_clear(self, ratio: float) -> bool:
        """Whether there are enough, of which most can be read."""
        return self.events >= self._least and self.bad <= ratio * self.events

    def reasons(self) -> Counter[str]:
        """Return why those that cannot be read cannot."""
        return sum((bad for _, bad in self._pieces), Counter[str]())


class Breaker:
    """Watches what one consumer reads.

    Parameters
    ----------
    is_on
        Whether it ever stops anything.
    ratio
        It trips when more than this share of the last events cannot be read ...
    events
        ... of at least so many.
    """

    def __init__(self, *, is_on: bool, ratio: float, events: int) -> None:
        self._is_on, self._ratio, self._least = is_on, ratio, events
        self._last = _Last(events)
        # Partition -> offset up to which records were looked at.
        self._seen: dict[int, int] = {}
        # A flood that was accepted, by the partition where it was noticed, and the last events of
        # that one: a poll brings many of one partition in a row, and others say nothing of it.
        self._let_through: int | None = None
        self._last_there = _Last(events)

    @property
    def is_tripped(self) -> bool:
        """Whether most of the last events cannot be read, and nobody has accepted that."""
        return self._is_on and self._let_through is None and self._last.is_flooded(self._ratio)

    def heed(self, conn: Connection, stream: Stream, now_ms: int) -> None:
        """Look at what stands in the database, before anything is read.

        Raises
        ------
        DeadLetterLimit
            The consumers of this stream have stopped, and nobody has accepted it.
        """
        stop = breakers.find(conn, stream.id)
        if stop is None:
            return
        if stop.stands:
            if self._is_on:
                raise limit(stop)
            breakers.accept(conn, actor="ingest.breaker=false", now_ms=now_ms, topic=stream.topic)
        if stop.is_let_through:
            self._let(stop.partition)
        else:
            self._let_through = None

    def look(self, records: Sequence[Record], ledger: Ledger, before: Held) -> None:
        """Add what a ledger took of one partition; `before` is what it held until then."""
        partition, first = ledger.claim.partition, records[0].offset
        if first < self._seen.get(partition, first):
            return  # read again, after it was dropped
        self._seen[partition] = records[-1].offset + 1
        rows, dead = held(ledger)
        bad = Counter({r: n for r in UNDECODABLE if (n := dead[r] - before[1][r]) > 0})
        n = rows - before[0] + dead.total() - before[1].total()
        self._last.add(n, bad)
        if partition == self._let_through:
            self._last_there.add(n, bad)

    def act(
        self,
        db: Engine,
        stream: Stream,
        ledger: Ledger,
        records: Sequence[Record],
        rules: Rules,
        now_ms: int,
        owned: Sequence[int],
    ) -> None:
        """Stop when it is tripped; arm it again when an accepted flood is over.

        Raises
        ------
        DeadLetterLimit
            The consumer must stop: the database says why by then.
        """
        if self.is_tripped:
            stop = self._stop(stream, ledger, records, rules, now_ms)
            with transaction(db) as conn:
                stands = breakers.trip(conn, stop)
            if stands:
                raise limit(stop)
            self._let(stop.partition)
        elif (there := self._let_through) in owned and self._last_there.is_clear(self._ratio):
            assert there is not None
            with transaction(db) as conn:
                breakers.over(conn, stream.id, there, now_ms)
            self._let_through = None

    def _let(self, partition: int) -> None:
        """Let the flood go by that was noticed there."""
        if self._let_through != partition:
            self._let_through, self._last_there = partition, _Last(self._least)

    def _stop(
        self, stream: Stream, ledger: Ledger, records: Sequence[Record], rules: Rules, now_ms: int
    ) -> Stop:
        looked_at = records[-_LOOKED_AT:]
        letters = admit([x for x in looked_at if not isinstance(x, Unread)], rules).letters
        letters += [letter_of(x, rules) for x in looked_at if isinstance(x, Unread)]
        letters.sort(key=lambda letter: (letter.offset, letter.line))
        shown = [letter for letter in letters if letter.reason in UNDECODABLE][-SAMPLES:]
        return Stop(
            stream_id=stream.id,
            topic=stream.topic,
            partition=ledger.claim.partition,
            next_offset=ledger.claim.next_offset,
            tripped_ms=now_ms,
            events=self._last.events,
            undecodable=self._last.bad,
            reasons=dict(self._last.reasons().most_common()),
            samples=[
                {"offset": one.offset, "line": one.line, "reason": one.reason, "detail": one.detail}
                for one in shown
            ],
        )


def limit(stop: Stop) -> DeadLetterLimit:
    """Return a stop as what ends the consumer."""
    return DeadLetterLimit(
        stop.topic, stop.partition, stop.next_offset, stop.undecodable, stop.events, stop.reasons,
        stop.samples,
    )  # fmt: skip
