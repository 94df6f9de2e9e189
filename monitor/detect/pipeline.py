"""What is wrong with the way from the log to the verdicts: facts in, troubles out.

A trouble is named by what it is and where, and since when: by what the database says, never by
when somebody looked. So two processes that look find one and the same, and so does one that looks
at a database that was restored. Whether a trouble stands for long enough to be told is its
watcher's to say (`monitor.storage.pipeline_watch`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final, Protocol

from monitor.detect.message_types import PIPELINE_GAP, PIPELINE_STALLED

GAP, STALLED, UNREADABLE = "gap", "stalled", "unreadable"
EVALUATE, DELIVER = "evaluate", "deliver"
# Of a topic; the other two are of a whole role.
OF_TOPIC: Final = (GAP, STALLED, UNREADABLE)
# Ten times the usual time between two checkpoints, and more than any rebalance or restart takes.
STALLED_MS: Final = 5 * 60_000
# A log that loses more is a loss that goes on; the next one after so long a pause is another.
GAP_OVER_MS: Final = 60 * 60_000
# As long as a model's silence is waited for: a topic that nobody reads any more is not missed.
FORGOTTEN_MS: Final = 28 * 86_400_000
# What a table's column holds.
_SUBJECT: Final = 200
_NAMED: Final = 8


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that keeps records from being counted or judged, or messages from being sent.

    Attributes
    ----------
    reason
        gap, stalled, unreadable, evaluate or deliver.
    subject
        What one incident is about at a time; `name` is what people call it.
    event
        The type of the message that tells it.
    since_ms
        When it began, by what the database says.
    is_fact
        Whether it is written down for good: then nobody waits to see whether it lasts.
    """

    reason: str
    subject: str
    name: str
    event: str
    severity: str
    since_ms: int
    summary: str
    is_fact: bool = False
    more: Mapping[str, Any] = field(default_factory=dict)


class Place(Protocol):
    """Where one partition of a topic stands."""

    @property
    def topic(self) -> str:
        """Its topic."""

    @property
    def partition(self) -> int:
        """Its number."""

    @property
    def lag(self) -> int:
        """Records that wait, at the last look."""

    @property
    def seen_ms(self) -> int | None:
        """The last sign of life of who reads it."""

    @property
    def checkpointed_ms(self) -> int | None:
        """When something of it was counted last."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A range of offsets that a partition lost; `kind` is retention, truncation or recreated."""

    topic: str
    partition: int
    kind: str
    offsets: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Beating:
    """A process of a role: when it was seen last, and since when its work stands still, if so."""

    role: str
    beat_ms: int
    is_alive: bool
    still_since_ms: int | None = None


def subject_of(reason: str, topic: str) -> str:
    """Return what an incident of a topic is about: its name, where that is not too long.

    Examples
    --------
    >>> subject_of("gap", "driftline.events")
    'gap driftline.events'
    >>> len(subject_of("gap", "x" * 249))
    200
    """
    found = f"{reason} {topic}"
    if len(found) <= _SUBJECT:
        return found
    digest = blake2b(topic.encode(), digest_size=16).hexdigest()
    return f"{found[: _SUBJECT - 33]}~{digest}"


def stalled(places: Iterable[Place], now_ms: int, *, after_ms: int = STALLED_MS) -> list[Trouble]:
    """Return the topics of which partitions are read by nobody, or not counted though some wait.

    Since the last sign of life of the one that has been still for longest. `after_ms` is more than
    the longest time between two checkpoints.
    """
    by_topic: dict[str, list[Place]] = {}
    for place in places:
        by_topic.setdefault(place.topic, []).append(place)
    found = []
    for topic, all_of_it in by_topic.items():
        still = [(since, p) for p in all_of_it if (since := _still_since(p, now_ms, after_ms))]
        if not still:
            continue
        since_ms = min(since for since, _ in still)
        waits = sum(place.lag for _, place in still)
        which = _partitions([place.partition for _, place in still], len(all_of_it))
        records = f"; {waits:,} records waited at the last look" if waits else ""
        found.append(
            Trouble(
                STALLED, subject_of(STALLED, topic), topic, PIPELINE_STALLED, "critical", since_ms,
                f"{topic}: {which} not counted since {_at(since_ms)}{records}. Windows "
                f"wait for them.",
                more={"topic": topic, "partitions": sorted({p.partition for _, p in still})},
            )
        )  # fmt: skip
    return found


def gaps(lost: Iterable[Lost], now_ms: int) -> list[Trouble]:
    """Return the topics whose log lost records lately, since the first of losses in a row."""
    by_topic: dict[str, list[Lost]] = {}
    for one in lost:
        by_topic.setdefault(one.topic, []).append(one)
    found = []
    for topic, every in by_topic.items():
        row: list[Lost] = []
        for one in sorted(every, key=lambda one: -one.at_ms):
            if (row[-1].at_ms if row else now_ms) - one.at_ms > GAP_OVER_MS:
                break
            row.append(one)
        if not row:
            continue
        which = _partitions([one.partition for one in row], None)
        what = ", ".join(
            f"{sum(one.offsets for one in row if one.kind == kind):,} {words}"
            for kind, words in _LOST.items()
            if any(one.kind == kind for one in row)
        )
        found.append(
            Trouble(
                GAP, subject_of(GAP, topic), topic, PIPELINE_GAP, "warning", row[-1].at_ms,
                f"{topic}: {what} ({which}). Their windows are incomplete.",
                is_fact=True,
                more={
                    "topic": topic,
                    "partitions": sorted({one.partition for one in row}),
                    "offsets": sum(one.offsets for one in row),
                },
            )
        )  # fmt: skip
    return found


def unreadable(
    topic: str, since_ms: int, events: int, undecodable: int, reasons: Sequence[str]
) -> Trouble:
    """Return the trouble of consumers that stopped because most of what comes cannot be read."""
    why = f" ({', '.join(reasons[:3])})" if reasons else ""
    return Trouble(
        UNREADABLE, subject_of(UNREADABLE, topic), topic, PIPELINE_STALLED, "critical", since_ms,
        f"{topic}: reading has stopped since {_at(since_ms)}: of the last {events:,} "
        f"events {undecodable:,} cannot be read{why}. Nothing is lost; mend the producer, or let "
        f"them go on as dead letters.",
        more={"topic": topic, "dead_letters": list(reasons)},
    )  # fmt: skip


def idle_roles(beats: Iterable[Beating], now_ms: int) -> list[Trouble]:
    """Return the roles of which every process is gone without a word, or stands still.

    One that ended in order, or never ran, is nobody's trouble here.
    """
    found = []
    by_role: dict[str, list[Beating]] = {}
    for beat in beats:
        by_role.setdefault(beat.role, []).append(beat)
    for role, words in _ROLES.items():
        mine = by_role.get(role, [])
        alive = [beat for beat in mine if beat.is_alive]
        if not mine or any(beat.still_since_ms is None for beat in alive):
            continue
        since_ms = max(
            [beat.still_since_ms or 0 for beat in alive] or [beat.beat_ms for beat in mine]
        )
        if not alive and now_ms - since_ms < STALLED_MS:
            continue
        how = "stands still" if alive else "was last seen and is gone"
        found.append(
            Trouble(
                role, role, role, PIPELINE_STALLED, "critical", since_ms,
                f"driftline {role} {how} since {_at(since_ms)}: {words}.",
                more={"role": role},
            )
        )  # fmt: skip
    return found


def over_words(reason: str, name: str, *, is_forgotten: bool = False) -> str:
    """Return the sentence that tells that a trouble is over."""
    if is_forgotten:
        return f"{name}: not looked for any longer after 28 days."
    return {
        GAP: f"{name}: nothing more was lost for an hour; what was lost stays lost.",
        STALLED: f"{name}: every partition is counted again.",
        UNREADABLE: f"{name}: reading goes on.",
    }.get(reason, f"driftline {name} works again, or was ended in order.")


_LOST: Final = {
    "retention": "offsets were deleted from the log before they were counted",
    "truncation": "offsets are missing in the log that were counted",
    "recreated": "offsets were not counted before the topic was made anew",
}
_ROLES: Final = {EVALUATE: "nothing is judged", DELIVER: "no alert is sent"}


def _at(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _still_since(place: Place, now_ms: int, after_ms: int) -> int | None:
    """Return since when nobody counts a partition, None where somebody does."""
    seen_ms = place.seen_ms
    if seen_ms is None:
        return None
    if now_ms - seen_ms > after_ms:
        return seen_ms
    counted_ms = place.checkpointed_ms
    if place.lag and counted_ms is not None and now_ms - counted_ms > after_ms:
        return counted_ms
    return None


def _partitions(numbers: Iterable[int], of: int | None) -> str:
    some = sorted(set(numbers))
    if len(some) == of and of > 1:
        return f"all {of} partitions are"
    shown = ", ".join(map(str, some[:_NAMED]))
    more = f" and {len(some) - _NAMED} more" if len(some) > _NAMED else ""
    is_one = len(some) == 1
    named = f"partition{'' if is_one else 's'} {shown}{more}"
    return named if of is None else f"{named} {'is' if is_one else 'are'}"
