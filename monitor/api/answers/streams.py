"""Partitions, gaps, deficits, dead letters: what became of every record."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator

from monitor.api.answers.common import Answer, Instant, said

# What a list tells of a record; one dead letter has all that was kept.
MAX_LISTED_BYTES = 2_048
TOPIC = "driftline.events"
RECORD = '{"type": "prediction", "model": "flight-delay", "time": "2013-02-08T1'


def payload_text(value: object) -> object:
    """Return the beginning of a record as text; what is no UTF-8 is replaced.

    >>> payload_text(b'{"a": \xff')
    '{"a": \ufffd'
    """
    if isinstance(value, bytes):
        return value[:MAX_LISTED_BYTES].decode("utf-8", "replace")
    return value


class PositionAnswer(Answer):
    """How far a partition is counted."""

    topic: str = said("The topic", TOPIC)
    partition: int = said("Its number", 2)
    next_offset: int = said("Everything before it is counted", 48_285)
    end_offset: int | None = said("Where the log ended at the last look", 48_285)
    lag: int = said("Records between the two", 0)
    owner: str | None = said("The consumer that counts it", "ingest-1")
    claim_epoch: int = said("How often it changed hands", 3)
    fenced: int = said("Writes of a former owner that were refused", 0)
    max_event_time: Instant | None = said(
        "The newest event in it", "2013-05-16T07:59:42Z", at="max_event_time_ms"
    )
    caught_up_for_ms: int = said("For how long there was nothing left to count", 4_000)
    seen: Instant | None = said(
        "The owner's last sign of life", "2025-06-02T08:00:03Z", at="seen_ms"
    )
    checkpointed: Instant | None = said(
        "The last checkpoint", "2025-06-02T08:00:02Z", at="checkpointed_ms"
    )


class GapAnswer(Answer):
    """Records that were lost before they could be read."""

    topic: str = said("The topic", TOPIC)
    partition: int = said("The partition", 2)
    kind: str = said("retention, truncation or recreated", "retention")
    from_offset: int = said("The first one lost", 1_204)
    to_offset: int = said("Exclusive", 6_743)
    first: Instant | None = said(
        "Event time it may have taken records from", "2013-03-03T05:00:00Z", at="from_ms"
    )
    last: Instant | None = said("... to", "2013-03-04T05:00:00Z", at="to_ms")
    recorded: Instant = said("When it was noticed", "2025-06-02T07:58:44Z", at="created_ms")


class DeficitAnswer(Answer):
    """Records of a version that came before its reference."""

    model: str = said("The model, as the records name it", "taxi-out")
    version: str = said("The version, as the records name it", "2")
    records: int = said("How many", 80)
    first: Instant | None = said("Event time of the first", "2013-05-15T04:00:00Z", at="first_ms")
    last: Instant | None = said("... and of the last", "2013-05-15T05:00:00Z", at="last_ms")


class DeadLetterAnswer(Answer):
    """A record that could not be counted, and why."""

    id: str = said("Stream, partition, offset and line", "1-1-40-0")
    topic: str = said("The topic", TOPIC)
    partition: int = said("The partition", 1)
    offset: int = said("Where it lies", 40)
    line: int = said("Its line in a record of many; else 0", 0)
    reason: str = said("One word", "bad_json")
    detail: str = said("What is wrong with it", "expected a comma or } at byte 148")
    size_bytes: int = said("How long the record is", 204)
    payload: Annotated[str | None, BeforeValidator(payload_text)] = said(
        "Its beginning as text, at most 2 KB; null where none was kept", RECORD
    )
    payload_sha256: str = said("Of the whole record", "0" * 64)
    written: Instant | None = said("By Kafka's timestamp", "2025-06-02T07:59:04Z", at="kafka_ms")
    recorded: Instant = said("When it was set aside", "2025-06-02T07:59:04Z", at="created_ms")
    replay: str = said(
        "`possible`, `sent` or `in_doubt`; or why it cannot be sent again: withheld, truncated, "
        "damaged, arrow_row, unknown_form",
        "possible",
    )
    replayed: Instant | None = said(
        "When it was sent again, or was to be", "2025-06-02T08:10:00Z", at="replay_ms"
    )
    replayed_partition: int | None = said("Where the new record lies", 2)
    replayed_offset: int | None = said("... and at which offset", 48_290)


class DeadLetterDetail(DeadLetterAnswer):
    """A dead letter with all that was kept of its record."""

    payload: str | None = said("All that was kept, as text; null where nothing was", RECORD)
    payload_base64: str | None = said("The same, byte for byte", "eyJ0eXBlIjogPGI+")


class HealthAnswer(Answer):
    """A model version in one word."""

    model: str = said("The model", "flight-delay")
    version: str = said("The version", "3")
    health: str = said(
        "silent, schema_broken, critical, drifting, collecting or healthy", "healthy"
    )


class TallyAnswer(Answer):
    """Messages to endpoints, by what became of them; tests do not count."""

    delivered: int = said("Those that arrived", 17)
    failed: int = said("Those that were given up", 0)
    pending: int = said("Those that wait, for their first or for another attempt", 1)


class StopAnswer(Answer):
    """Why the consumers of a topic stopped: most of what came could not be read."""

    topic: str = said("The topic", TOPIC)
    partition: int = said("Where it was noticed", 1)
    next_offset: int = said("Nothing of it is counted from there on, and nothing is lost", 48_285)
    stopped: Instant = said("When", "2025-06-02T08:00:03Z", at="tripped_ms")
    events: int = said("How many of the last events were looked at", 1_000)
    undecodable: int = said("How many of those cannot be read", 740)
    reasons: dict[str, int] = said("Those by reason", {"bad_json": 740})
    samples: list[dict[str, int | str]] = said(
        "The last of them",
        [{"offset": 48_990, "line": 0, "reason": "bad_json", "detail": "JSON is malformed"}],
    )


class UnderWayAnswer(Answer):
    """A replay that is not done; what it counts is not shown before."""

    topic: str = said("The topic", TOPIC)
    model: str | None = said("What is counted again; null = every model", "flight-delay")
    version: str | None = said("... and of it; null = every version", "4")
    start: Instant | None = said(
        "Event time from which panes are recounted; null = all", "2013-02-01T05:00:00Z",
        at="start_ms",
    )  # fmt: skip
    begun: Instant = said("When it began", "2025-06-02T08:00:03Z", at="begun_ms")
    seen: Instant = said(
        "Its last sign of life, every few seconds; a minute ago = it was stopped",
        "2025-06-02T08:04:41Z", at="seen_ms",
    )  # fmt: skip
    owner: str = said("Whose it is: machine and process", "ops-1:4711", at="process")
    read: int = said("Offsets that are recounted", 61_400)
    total: int = said("... and those to be, up to where consumers are now", 97_990)


class AcceptedStops(Answer):
    """The stops that are let go on."""

    items: list[StopAnswer] = said("Those that stood; empty where none did")


class StatusAnswer(Answer):
    """Everything that one look should tell."""

    data_version: int = said("Grows whenever there is something new to read", 41)
    judged_to: Instant | None = said("The furthest version's", "2013-05-16T04:00:00Z")
    models: list[HealthAnswer] = said("Every model version")
    incidents_open: int = said("Groups of incidents that stand: what moved together is one", 2)
    counters: dict[str, int] = said(
        "Events by what became of them, over everything ever read",
        {"label": 94_800, "late": 72, "prediction": 97_926},
    )
    dead_letters: dict[str, int] = said(
        "Dead letters by reason, most frequent first", {"time_in_future": 36, "bad_json": 24}
    )
    partitions: list[PositionAnswer] = said("How far each is counted")
    gaps: list[GapAnswer] = said("What was lost before it could be read")
    deficits: list[DeficitAnswer] = said("What came before its reference")
    deliveries: TallyAnswer = said("Messages to endpoints, by what became of them")
    endpoints_disabled: list[str] = said("Endpoints that nothing is sent to", ["on-call"])
    stopped: list[StopAnswer] = said("Topics whose consumers stopped; empty as a rule")
    replays: list[UnderWayAnswer] = said("Replays that are not done; empty as a rule")


class DoingAnswer(PositionAnswer):
    """A partition and what it is doing."""

    state: str = said("reading, caught_up, idle, behind or stalled", "caught_up")
    behind_ms: int | None = said("Kafka time that is not counted yet; null = unknown", 0)


class ReasonAnswer(Answer):
    """Dead letters of one reason."""

    reason: str = said("One word", "bad_json", at="name")
    count: int = said("How many there were", 24)
    kept: int = said("How many can be looked at", 24)


class PipelineAnswer(Answer):
    """Is everything counted, and how late."""

    topics: list[str] = said("All that are or were read", [TOPIC])
    partitions: list[DoingAnswer] = said("What each is doing")
    counted: int = said("Events that were read and are accounted for", 192_726)
    dead: int = said("Dead letters", 64)
    lag: int = said("Records that wait, at the last look", 0)
    behind_ms: int = said("How far the furthest behind of the living partitions is", 0)
    outcomes: dict[str, int] = said("Events by how they ended", {"prediction": 97_926, "late": 72})
    reasons: list[ReasonAnswer] = said("Dead letters by reason, the most frequent first")
    gaps: int = said("How often records were lost", 1)
    lost_offsets: int = said("How many offsets that covers", 5_539)
    deficits: int = said("Versions with records that came before their reference", 1)
    stopped: list[StopAnswer] = said("Topics whose consumers stopped; empty as a rule")
    replays: list[UnderWayAnswer] = said("Replays that are not done; empty as a rule")
