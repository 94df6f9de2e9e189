"""What became of every record: where each partition stands, and what could not be counted.

The words per partition (reading, behind, idle, stalled) are decided here once, from
two clocks and the position rows alone; sentences about them are the reader's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy.engine import Connection

from monitor.storage import breakers, lanes, reads
from monitor.storage.breakers import Stop
from monitor.storage.lanes import UnderWay
from monitor.storage.reads import uploaded
from monitor.storage.rows import DeadLetter, Deficit, Gap, Late, Position, Tally
from monitor.storage.upload_rows import Upload

# A position row that nobody renewed for so many checkpoints has lost its owner.
STALLED_CHECKPOINTS = 3
# Below this, a missed checkpoint or two says nothing.
STALLED_AT_LEAST_MS = 10_000
# Caught up for so long: nothing came, rather than nothing came just now.
IDLE_MS = 60_000
# Two checkpoints: whoever waits for the next one is not behind.
BEHIND_CHECKPOINTS = 2
# Below this, two checkpoints are no time to speak of.
BEHIND_AT_LEAST_MS = 10_000
# Letters on a page of the list.
LETTERS = 12
GAPS = 50
DEFICITS = 50
UPLOADS = 10

Place = tuple[int, int, int, int, int]
LetterKey = tuple[int, int, int, int]


class State(StrEnum):
    """What a partition is doing."""

    READING = "reading"
    CAUGHT_UP = "caught_up"
    IDLE = "idle"
    BEHIND = "behind"
    STALLED = "stalled"


@dataclass(frozen=True)
class Partition:
    """One partition, and what it is doing.

    Attributes
    ----------
    behind_ms
        Kafka time between the last look at the log's end and the last record counted;
        0 = caught up, None = records wait and none was counted yet.
    seen_ago_ms
        Since the last sign of life; None = never.
    """

    position: Position
    state: State
    behind_ms: int | None
    seen_ago_ms: int | None


@dataclass(frozen=True)
class Reason:
    """Dead letters of one reason; `kept` of the `count` can be looked at."""

    name: str
    count: int
    kept: int
    partitions: tuple[tuple[str, int], ...]  # (topic, partition), where they came from


@dataclass(frozen=True)
class Missing:
    """Records of a version that were read before it had a reference.

    `is_registered` tells whether it has one by now: then later records are counted.
    """

    deficit: Deficit
    is_registered: bool


@dataclass(frozen=True)
class Uploaded:
    """History that was counted elsewhere; `by` let it count, None where it does not yet."""

    upload: Upload
    by: str | None


@dataclass(frozen=True)
class Pipeline:
    """Everything the page of the pipeline shows, of one topic or of all.

    Attributes
    ----------
    topics
        All that are or were read; `topic` is the chosen one, None = all.
    outcomes
        Events by how they ended, over everything ever read.
    reasons
        Dead letters by reason, most frequent first; they add up to `dead`.
    letters
        The newest kept dead letters of `reason`, without payload; `older` continues them.
    letter
        The opened one, with its payload.
    gaps, lost
        The newest gaps; and how many there are, and how many offsets they cover.
    deficits, n_deficits
        Most records first; and how many there are.
    late
        The versions of which events came late, most of them first.
    stops
        Why consumers stopped that were not let go on.
    replays
        Those that are not done.
    uploads, n_uploads
        Those that were begun last, newest first, whatever the topic; and how many there are.
    """

    topics: tuple[str, ...]
    topic: str | None
    partitions: tuple[Partition, ...]
    outcomes: dict[str, int]
    reasons: tuple[Reason, ...]
    reason: str | None
    letters: tuple[DeadLetter, ...]
    older: Place | None
    letter: DeadLetter | None
    gaps: tuple[Gap, ...]
    lost: tuple[int, int]
    deficits: tuple[Missing, ...]
    n_deficits: int
    late: tuple[Late, ...] = ()
    stops: tuple[Stop, ...] = ()
    replays: tuple[UnderWay, ...] = ()
    uploads: tuple[Uploaded, ...] = ()
    n_uploads: int = 0

    @property
    def counted(self) -> int:
        """Return how many events were read and are accounted for as events."""
        return sum(self.outcomes.get(name, 0) for name in ("prediction", "label", "unmonitored"))

    @property
    def dead(self) -> int:
        """Return how many records or lines could not be read as events."""
        return sum(reason.count for reason in self.reasons)

    @property
    def lag(self) -> int:
        """Return how many records wait, at the last look."""
        return sum(p.position.lag for p in self.partitions)

    @property
    def behind_ms(self) -> int:
        """Return how far the furthest behind of the living partitions is."""
        living = [p.behind_ms or 0 for p in self.partitions if p.state != State.STALLED]
        return max(living, default=0)

    def in_state(self, *states: State) -> tuple[Partition, ...]:
        """Return the partitions that are in one of `states`."""
        return tuple(p for p in self.partitions if p.state in states)


def read(
    conn: Connection,
    *,
    now_ms: int,
    checkpoint_interval_s: float,
    topic: str | None = None,
    reason: str | None = None,
    letter: LetterKey | None = None,
    before: Place | None = None,
    n_letters: int = LETTERS,
) -> Pipeline:
    """Read the pipeline as it stands; a topic or a reason that is not there shows nothing.

    `letter` is (stream, partition, offset, line); without one the newest is opened.
    """
    tallies = reads.tallies(conn, topic=topic)
    kept = reads.kept_letters(conn, topic=topic)
    letters = reads.dead_letters(
        conn, topic=topic, reason=reason, before=before, limit=n_letters + 1, with_payload=False
    )
    page = letters[:n_letters]
    if letter is None and page:
        newest = page[0]
        letter = (newest.stream_id, newest.partition, newest.offset, newest.line)
    deficits = reads.deficits(conn, topic=topic)
    monitored = reads.monitored(conn)
    uploads, n_uploads = uploaded.newest(conn, UPLOADS)
    by = uploaded.counted_by(conn, uploads)
    return Pipeline(
        topics=tuple(reads.topics(conn)),
        topic=topic,
        partitions=tuple(
            partition(p, now_ms=now_ms, interval_ms=checkpoint_interval_s * 1000)
            for p in reads.positions(conn, topic=topic)
        ),
        outcomes=_outcomes(tallies),
        reasons=_reasons(tallies, kept),
        reason=reason,
        letters=tuple(page),
        older=page[-1].place if len(letters) > n_letters else None,
        letter=None if letter is None else reads.find_letter(conn, *letter),
        gaps=tuple(reads.gaps(conn, topic=topic, limit=GAPS)),
        lost=reads.lost(conn, topic=topic),
        deficits=tuple(Missing(d, (d.model, d.version) in monitored) for d in deficits[:DEFICITS]),
        n_deficits=len(deficits),
        late=tuple(reads.late(conn, topic=topic)),
        stops=tuple(breakers.standing(conn, topic=topic)),
        replays=tuple(lanes.under_way(conn, topic=topic)),
        uploads=tuple(Uploaded(each, by.get(each.name)) for each in uploads),
        n_uploads=n_uploads,
    )


def partition(position: Position, *, now_ms: int, interval_ms: float) -> Partition:
    """Return what a partition is doing, and how far behind it is."""
    seen = position.seen_ms
    ago = None if seen is None else max(0, now_ms - seen)
    behind = behind_ms(position)
    if ago is None or ago > max(STALLED_CHECKPOINTS * interval_ms, STALLED_AT_LEAST_MS):
        state = State.STALLED
    elif position.lag and (behind is None or behind > behind_after_ms(interval_ms)):
        state = State.BEHIND
    elif position.lag or position.end_offset is None:
        state = State.READING
    elif position.caught_up_for_ms >= IDLE_MS:
        state = State.IDLE
    else:
        state = State.CAUGHT_UP
    return Partition(position, state, behind, ago)


def behind_after_ms(interval_ms: float) -> float:
    """Return how far a partition may be from the log's end before that is called behind."""
    return max(BEHIND_CHECKPOINTS * interval_ms, BEHIND_AT_LEAST_MS)


def behind_ms(position: Position) -> int | None:
    """Return Kafka time between the last look at the log's end and the last record counted."""
    if not position.lag:
        return 0
    if position.last_counted_kafka_ms is None or position.fetched_ms is None:
        return None
    return max(0, position.fetched_ms - position.last_counted_kafka_ms)


def _outcomes(tallies: Sequence[Tally]) -> dict[str, int]:
    found: dict[str, int] = {}
    for tally in tallies:
        found[tally.outcome] = found.get(tally.outcome, 0) + tally.events
    return found


def _reasons(tallies: Sequence[Tally], kept: dict[str, int]) -> tuple[Reason, ...]:
    counts: dict[str, int] = {}
    places: dict[str, list[tuple[str, int]]] = {}
    for tally in tallies:
        if not tally.outcome.startswith(reads.DEAD) or not tally.events:
            continue
        name = tally.outcome.removeprefix(reads.DEAD)
        counts[name] = counts.get(name, 0) + tally.events
        places.setdefault(name, []).append((tally.topic, tally.partition))
    ranked = sorted(counts, key=lambda name: (-counts[name], name))
    return tuple(
        Reason(name, counts[name], kept.get(name, 0), tuple(places[name])) for name in ranked
    )
