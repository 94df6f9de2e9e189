"""What the pipeline's page says: its title, its figures, and what mends each fault. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo

from dashboard.parts import Kpi
from dashboard.words import NBSP, cut, duration, moment, percent, plural, reason_word, short, whole
from driftline.events import REASONS
from driftline.program import command
from monitor.storage.lanes import UnderWay
from monitor.storage.rows import DeadLetter, Gap, Late
from monitor.views.pipeline import Missing, Partition, Pipeline, Reason, State, Uploaded
from monitor.views.rate import Rate

# Why -> what its producer changes; the reason itself is told in `driftline.events`.
MENDS = {
    "oversized": "Send fewer events in one record, or raise ingest.max_record_bytes.",
    "empty": "A record without a value says nothing: send events, or leave it out.",
    "too_deep": "Flatten what is nested: features are values by name.",
    "bad_json": "Send one JSON object, or one a line, as UTF-8; let a JSON encoder write it.",
    "bad_arrow": "Let an Arrow library write the stream whole; do not call JSON Arrow.",
    "column_invalid": "Give the column the type that the event contract names for it.",
    "not_an_object": "Wrap the value: an event is a JSON object.",
    "type_missing": 'Add "type": "prediction" or "label".',
    "type_unknown": 'Set "type" to "prediction" or "label".',
    "model_missing": 'Add "model", the name that its reference was registered under.',
    "model_invalid": "Name the model with 1 to 200 printable characters.",
    "version_missing": 'Add "version", the one that its reference was registered under.',
    "version_invalid": "Name the version with text or an integer of 1 to 200 characters.",
    "time_missing": 'Add "time": when it was predicted, as RFC 3339 or epoch milliseconds.',
    "time_no_offset": 'Add the offset from UTC to "time", such as Z or +02:00.',
    "time_invalid": 'Write "time" as 2025-02-08T10:15:00Z, or as integer milliseconds.',
    "time_out_of_range": "Check the unit: an integer is milliseconds, not seconds.",
    "time_in_future": "Set the producer's clock, or check the time zone it writes.",
    "features_invalid": 'Send "features" as an object: values by name.',
    "id_missing": 'Give a label the "id" of its prediction.',
    "label_missing": 'Give a label its "label", the outcome.',
    "internal_error": "Report it with the record's beginning; the record itself may be fine.",
}


@dataclass(frozen=True)
class Title:
    """The page's answer; `tone` is its status, `note` one more sentence."""

    words: str
    tone: str
    icon: str
    note: str = ""


@dataclass(frozen=True)
class Told:
    """How instants are told: in which zone, and what is this year."""

    zone: tzinfo = UTC
    word: str = "UTC"
    year: int | None = None

    def instant(self, ms: int) -> str:
        """Return a day and a time, without the zone (a column's head says it)."""
        return moment(ms, self.zone, year=self.year)

    def when(self, first_ms: int, last_ms: int) -> str:
        """Return a stretch of time with its zone; one instant where both are told the same."""
        first, last = self.instant(first_ms), self.instant(last_ms)
        if first == last:
            return f"at {first}{NBSP}{self.word}"
        return f"between {first} and {last}{NBSP}{self.word}"


def title(view: Pipeline) -> Title:
    """Return whether everything is counted, in one sentence."""
    n = len(view.partitions)
    if not n:
        waits = "no consumer has read a partition yet."
        return Title(
            f"Nothing is being counted: {waits}",
            "idle",
            "circle-dashed",
            f"Start one: {command('ingest')}, or {command('up')} for everything.",
        )
    if view.stops:
        stop = view.stops[0]
        reasons = ", ".join(reason_word(name) for name in list(stop.reasons)[:2])
        last = stop.samples[-1] if stop.samples else None
        shown = "" if last is None else (
            f" The last one: partition {stop.partition}, offset {whole(last['offset'])}"
            + (f" ({cut(str(last['detail']), 120)})." if last["detail"] else ".")
        )  # fmt: skip
        return Title(
            f"Counting has stopped: {whole(stop.undecodable)} of the last {whole(stop.events)} "
            f"events cannot be read ({reasons})",
            "crit",
            "circle-slash",
            f"Nothing is lost: {cut(stop.topic, 60)} waits in Kafka.{shown} Mend the producer, or "
            f"let them go by as dead letters: {command('dead-letter accept')}.",
        )
    stalled = view.in_state(State.STALLED)
    behind = view.in_state(State.BEHIND)
    if len(stalled) == n:
        seen = [p.seen_ago_ms for p in stalled if p.seen_ago_ms is not None]
        since = f"no sign of life for {spoken(min(seen))}" if seen else "no consumer was seen yet"
        return Title(
            f"Nothing is being counted: {since}",
            "crit",
            "circle-slash",
            f"Events wait in Kafka; nothing is lost while it keeps them. See that a consumer "
            f"runs: {command('ingest')}.",
        )
    if stalled:
        seen = [p.seen_ago_ms for p in stalled if p.seen_ago_ms is not None]
        since = f" for {spoken(max(seen))}" if seen else ""
        return Title(
            f"{_of(stalled, n)} {'is' if len(stalled) == 1 else 'are'} stalled{since}",
            "crit",
            "circle-slash",
            "Their windows wait for them, an hour at most; then they are judged incomplete.",
        )
    if behind:
        known = [p.behind_ms for p in behind if p.behind_ms is not None]
        by = f" {spoken(max(known))}" if known else ""
        return Title(
            f"Counting is{by} behind on {_of(behind, n)}",
            "warn",
            "triangle-alert",
            f"{plural(view.lag, 'record')} to count. {faster(view)}",
        )
    if view.behind_ms >= 1_000:
        return Title(
            f"Everything is counted, {spoken(view.behind_ms)} behind", "ok", "circle-check"
        )
    if all(p.state is State.IDLE for p in view.partitions):
        idle = min(p.position.caught_up_for_ms for p in view.partitions)
        return Title(f"Everything is counted; nothing new for {spoken(idle)}", "ok", "circle-check")
    of = f" of {cut(view.topic, 60)}" if view.topic is not None else ""
    return Title(f"Everything{of} is counted", "ok", "circle-check")


def replay_title(replay: UnderWay, told: Told) -> str:
    """Return what is counted again, and how much of it is done."""
    named = [cut(name, 60) for name in (replay.model, replay.version) if name is not None]
    since = (
        ""
        if replay.start_ms is None
        else f" from {told.instant(replay.start_ms)}{NBSP}{told.word} on"
    )
    what = f"{' '.join(named) or 'all models'}{since}"
    # Not done before it stands: what is left is not rounded away.
    done = percent(min(replay.share, 0.999))
    return f"Replay of {what}: {done} counted again."


def replay_sentence(replay: UnderWay, told: Told, now_ms: int) -> str:
    """Return since when and by whom, and what a reader sees meanwhile."""
    who = f"by {cut(replay.process, 60)}"
    if replay.is_stale(now_ms):
        ago = spoken(now_ms - replay.seen_ms)
        return (
            f"It has stood still for {ago} ({who}): the command that began it goes on with it, "
            "this one gives it up. Nothing shown is changed by it."
        )
    began = f"{told.instant(replay.begun_ms)}{NBSP}{told.word}"
    return f"Since {began} {who}. What is shown changes when it is done, all at once."


def upload_title(found: Uploaded) -> str:
    """Return whose history it is."""
    upload = found.upload
    return f"{cut(upload.model, 80)} {cut(upload.version, 40)}"


def upload_sentence(found: Uploaded, told: Told) -> str:
    """Return of which time it is, how much, and since when and by whom it counts."""
    upload = found.upload
    extent = plural(upload.rows, "row")
    if upload.first_ms is not None and upload.end_ms is not None:
        first, end = told.instant(upload.first_ms), told.instant(upload.end_ms)
        extent += f", {first} to {end}{NBSP}{told.word}"
    if upload.counted_ms is None:
        touched = f"{told.instant(upload.touched_ms)}{NBSP}{told.word}"
        return (
            f"{extent}: does not count yet; a chunk came last {touched}. Upload the same file "
            "again to go on; what nobody goes on with for two days is given up."
        )
    by = "" if found.by is None else f" by {cut(found.by, 60)}"
    return f"{extent}: counts since {told.instant(upload.counted_ms)}{NBSP}{told.word}{by}."


def faster(view: Pipeline) -> str:
    """Return what makes counting faster: who counts now is in the positions."""
    living = [p for p in view.partitions if p.state is not State.STALLED]
    owners = {p.position.owner for p in living if p.position.owner}
    if len(living) == 1:
        return "One consumer reads a partition; more partitions can be read by more."
    if len(owners) >= len(living):
        return "Every partition has a consumer of its own; more of both would share the work."
    who = "One consumer counts" if len(owners) < 2 else f"{len(owners)} consumers count"
    return (
        f"{who} {_every(len(living))}; if it does not catch up, start another: {command('ingest')}."
    )


def _every(n: int) -> str:
    return "both partitions" if n == 2 else f"all {n} partitions"


def spoken(ms: float) -> str:
    r"""Return a length of time as a title says it, its unit in full.

    >>> spoken(4_200), spoken(60_000), spoken(2_580_000), spoken(15_780_000)
    ('4\xa0seconds', '60\xa0seconds', '43\xa0minutes', '4\xa0hours')
    """
    seconds = max(0, round(ms / 1000))
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 2 * size:
            return plural(round(seconds / size), unit)
    return plural(seconds, "second")


def _of(some: Sequence[Partition], n: int) -> str:
    if len(some) == n:
        return f"all {plural(n, 'partition')}" if n > 1 else "its partition"
    return f"{len(some)} of {plural(n, 'partition')}"


def kpis(view: Pipeline) -> list[Kpi]:
    """Return the figures under the title."""
    n = len(view.partitions)
    dead, records = view.dead, view.counted
    late = view.outcomes.get("late", 0)
    fenced = sum(p.position.fenced for p in view.partitions)
    gaps, lost = view.lost
    unmonitored = view.outcomes.get("unmonitored", 0)
    labels = f"{short(view.outcomes.get('label', 0))} are labels"
    stalled = len(view.in_state(State.STALLED))
    is_behind = bool(view.in_state(State.BEHIND))
    living = [p for p in view.partitions if p.state is not State.STALLED]
    is_unknown = not living or (not view.behind_ms and any(p.behind_ms is None for p in living))
    return [
        Kpi(
            "Events counted",
            short(records),
            note=f"{short(unmonitored)} unmonitored" if unmonitored else labels,
        ),
        Kpi(
            "Lag",
            short(view.lag),
            "record" if view.lag == 1 else "records",
            "at the last look" if stalled else f"over {plural(n, 'partition')}",
            term="lag",
        ),
        Kpi(
            "Behind",
            "unknown" if is_unknown else duration(view.behind_ms),
            note=_behind_note(view, stalled),
            tone="warn" if is_behind else "",
            term="behind",
        ),
        Kpi(
            "Dead letters",
            short(dead),
            note=f"{share(dead, records + dead)} of events",
            term="dead letter",
        ),
        Kpi(
            "Late events",
            short(late),
            note="none was dropped" if late else "none so far",
            term="late",
        ),
        Kpi(
            "Data gaps",
            short(gaps),
            note=f"{plural(lost, 'offset')} lost" if gaps else "nothing was lost",
            term="gap",
        ),
        Kpi("Fenced writes", short(fenced), note="late writers refused", term="fenced write"),
    ]


def _behind_note(view: Pipeline, stalled: int) -> str:
    if stalled == len(view.partitions):
        return "nobody looks" if stalled else "nothing is read yet"
    if stalled:
        return f"and {stalled} unknown"
    return "the furthest partition" if view.behind_ms else "caught up"


def share(part: int, whole_: int) -> str:
    r"""Return a share, never rounded down to none.

    >>> share(0, 10), share(1, 1_000_000), share(1, 8)
    ('none', 'under 0.1\xa0%', '12.5\xa0%')
    """
    if not part:
        return "none"
    found = part / max(1, whole_)
    return f"under 0.1{NBSP}%" if found < 0.001 else percent(found)


STATES = {
    State.READING: ("rotate-cw", "Reading", "ok"),
    State.CAUGHT_UP: ("circle-check", "Caught up", "ok"),
    State.IDLE: ("circle-dashed", "Idle", "idle"),
    State.BEHIND: ("triangle-alert", "Behind", "warn"),
    State.STALLED: ("circle-slash", "Stalled", "crit"),
}


def state_note(partition: Partition) -> str:
    """Return what a partition's state means in numbers, or nothing where the word is enough."""
    position = partition.position
    if partition.state is State.STALLED:
        if partition.seen_ago_ms is None:
            return "never seen"
        return f"for {duration(partition.seen_ago_ms)}"
    if partition.state is State.IDLE:
        return f"for {duration(position.caught_up_for_ms)}"
    if partition.state is State.BEHIND and partition.behind_ms is None:
        return "nothing counted yet"
    if position.end_offset is None:
        return "end unknown yet"
    return ""


def behind(partition: Partition) -> str:
    """Return how far behind a partition is, in words.

    A stalled one has not looked at the end of its log lately: what it is behind by is not known.
    """
    if partition.state is State.STALLED:
        return "unknown"
    if partition.behind_ms is None:
        return "unknown"
    return duration(partition.behind_ms) if partition.behind_ms else "–"


def dead_summary(view: Pipeline) -> str:
    """Return how many records could not be counted, and how many can be looked at."""
    if not view.dead:
        return "none: every record could be read"
    kept = sum(reason.kept for reason in view.reasons)
    said = f"{whole(view.dead)} in all; each moved the position"
    if kept < view.dead:
        return f"{said}, {whole(kept)} are kept to look at"
    return f"{said} and is kept"


def reason_note(reason: Reason) -> str:
    """Return where dead letters of a reason came from."""
    places = reason.partitions
    topics = {topic for topic, _ in places}
    if len(places) == 1:
        topic, partition = places[0]
        said = f"all from {cut(topic, 40)} {partition}"
    elif len(topics) == 1:
        said = f"from {plural(len(places), 'partition')}"
    else:
        said = f"from {plural(len(topics), 'topic')}"
    if reason.kept < reason.count:
        said += f"; {whole(reason.kept)} kept" if reason.kept else "; none kept"
    return said


def why(letter: DeadLetter) -> str:
    """Return why a record was refused, in a sentence."""
    known = REASONS.get(letter.reason)
    word = reason_word(letter.reason)
    if known is None or known.casefold() == word.casefold():
        return f"{word}."
    return f"{word}: {known}."


def mend(reason: str) -> str:
    """Return what mends it, or nothing for a reason of a later release."""
    return MENDS.get(reason, "")


def where(letter: DeadLetter) -> str:
    """Return a dead letter's place as people say it."""
    line = f", line {letter.line}" if letter.line else ""
    return f"{cut(letter.topic, 60)} {letter.partition} @ {whole(letter.offset)}{line}"


GAP_WORDS = {
    "retention": ("Kafka deleted them before they were read", True),
    "truncation": ("the log was cut after they were counted; their counts stay", False),
    "recreated": ("the topic was deleted and made again before they were read", True),
}


def sent_again(letter: DeadLetter, told: Told) -> str:
    """Return where the new record lies that a dead letter was written as, if anybody knows."""
    at = f"{told.instant(letter.replay_ms or 0)} {told.word}"
    if letter.replayed_offset is None:
        return f"{at}: nobody knows whether it arrived"
    return f"{at}, partition {letter.replayed_partition}, offset {whole(letter.replayed_offset)}"


def gap_title(gap: Gap) -> str:
    """Return what was lost, and where."""
    n = gap.to_offset - gap.from_offset
    topic = f"{cut(gap.topic, 60)} {gap.partition}"
    if n <= 0:
        return f"{topic}, offset {whole(gap.from_offset)}"
    last = f"{whole(gap.from_offset)}–{whole(gap.to_offset - 1)}"
    return f"{plural(n, 'record')} of {topic}, offsets {last}"


def gap_sentence(gap: Gap, told: Told) -> str:
    """Return why a gap is there, and which windows it may have taken records from."""
    cause, is_lost = GAP_WORDS.get(gap.kind, (cut(gap.kind.replace("_", " "), 60), True))
    said = cause[:1].upper() + cause[1:] + "."
    if gap.from_ms is not None and gap.to_ms is not None and is_lost:
        said += f" Windows {told.when(gap.from_ms, gap.to_ms)} are marked incomplete."
    return said


def gap_mend(gap: Gap) -> str:
    """Return what keeps it from happening again."""
    if gap.kind == "retention":
        return "Keep the topic's records longer (retention.ms), or read faster with more consumers."
    if gap.kind == "truncation":
        return "Replicate the topic, and let producers wait for all replicas (acks=all)."
    return "Let the consumers catch up before a topic is deleted."


def rate_said(found: Rate, told: Told) -> str:
    """Return what the chart of predictions by hour shows, in a sentence."""
    n = len(found.hours)
    total = sum(found.hours)
    empty = sum(not rows for rows in found.hours)
    span = f"{plural(n, 'hour')} to {told.instant(found.to_ms)}{NBSP}{told.word}"
    said = f"{plural(total, 'prediction')} in the {span}, {short(total / n)} an hour"
    if empty:
        said += f"; {plural(empty, 'hour')} without any"
    if found.gaps:
        said += f"; records of {plural(len(found.gaps), 'span')} were lost"
    return f"{said}."


LATE_SAID = (
    "An event is late when it is over an hour older than the newest one of its partition. "
    "None was dropped: each is counted in its window, and a window that was judged already is "
    "judged again as a revision, unless it is older than the monitor's horizon (a week by default)."
)
# From this share on it was no delay: a whole log came after newer events.
BACKFILL_SHARE = 0.5


def late_sentence(late: Late) -> str:
    """Return how many events of a version came late, why that is so, and what to do."""
    said = f"{whole(late.late)} of {plural(late.events, 'event')}"
    if late.late >= BACKFILL_SHARE * late.events:
        return (
            f"{said}: its log was sent after newer events of the same partition, "
            "as a backfill is. Nothing to do."
        )
    return (
        f"{said} ({share(late.late, late.events)}). Where that keeps revising windows, "
        "let its producer send sooner."
    )


def deficit_sentence(missing: Missing, told: Told) -> str:
    """Return how many records of which time were not counted, and what is true now."""
    d = missing.deficit
    said = plural(d.records, "record")
    if d.first_ms is not None and d.last_ms is not None:
        said += f" {told.when(d.first_ms, d.last_ms)}"
    if missing.is_registered:
        return f"{said} came before its reference and are not counted; later ones are."
    return f"{said} came and no reference is registered: they are counted as unmonitored."
