"""What the API answers, as types: its OpenAPI description is made from them.

Instants are RFC 3339 in UTC here, epoch milliseconds everywhere below.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

T = TypeVar("T")

# What is told of a record that could not be read.
MAX_PAYLOAD_BYTES = 2_048


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
    datetime, BeforeValidator(instant_of), PlainSerializer(instant_text, return_type=str)
]


def _at(name: str) -> Any:
    return Field(validation_alias=name)


class Answer(BaseModel):
    """What all answers share: they are made from rows."""

    model_config = ConfigDict(from_attributes=True, populate_by_name=True)


class BindingAnswer(Answer):
    """From when on a reference judges a version; 1970 stands for "always"."""

    reference_digest: str
    effective_from: Instant = _at("effective_from_ms")


class VersionAnswer(Answer):
    """A version of a model."""

    version: str = _at("name")
    created: Instant = _at("created_ms")
    replaces: str | None
    bindings: list[BindingAnswer]
    judged_to: Instant | None = _at("watermark_ms")
    health: str = "collecting"


class ModelAnswer(Answer):
    """A model with its versions, newest first."""

    model: str = _at("name")
    timezone: str
    owner: str | None
    description: str | None
    created: Instant = _at("created_ms")
    versions: list[VersionAnswer]


class BoundAnswer(BaseModel):
    """A version that a reference judges."""

    model: str
    version: str
    effective_from: Instant


class ReferenceAnswer(Answer):
    """What is known of a reference."""

    digest: str
    gridset: str
    rows: int
    first: Instant | None = _at("first_ms")
    last: Instant | None = _at("last_ms")
    warnings: list[str]
    created: Instant = _at("created_ms")
    bound_to: list[BoundAnswer]


class RegisteredAnswer(BaseModel):
    """What registering did; `created` is false where it was registered already."""

    created: bool
    digest: str
    effective_from: Instant
    warnings: list[str]


class WindowAnswer(Answer):
    """A judged window."""

    length: str
    segment: str
    start: Instant = _at("start_ms")
    end: Instant = _at("end_ms")
    rows: int
    revision: int
    closed_by: str
    incomplete: list[str]
    reference_digest: str
    judged: Instant = _at("judged_ms")


class RateAnswer(BaseModel):
    """A rate, the 99.9 % bound of its excess over the reference, and what that is held against."""

    rate: float | None
    excess: float | None
    limit: float | None


class FindingAnswer(BaseModel):
    """One feature of one window. What could not be computed or was not judged is null."""

    start: Instant
    segment: str
    feature: str
    verdict: str
    is_alarming: bool
    rows: int
    n: int
    evidence: str | None
    ratio: float | None
    psi: float | None
    psi_limit: float | None
    psi_critical: float | None
    psi_lower: float | None
    ks: tuple[float, float] | None
    missing: RateAnswer
    type_error: RateAnswer
    unseen: RateAnswer
    out_of_range: RateAnswer
    exceeds: list[str]

    @classmethod
    def of(cls, row: dict[str, Any]) -> FindingAnswer:
        """Make one from a row of the table."""
        rates = {
            name: {
                "rate": row[name],
                "excess": row[f"{name}_excess"],
                "limit": row[f"{name}_limit"],
            }
            for name in ("missing", "type_error", "unseen", "out_of_range")
        }
        same = (
            "segment feature verdict is_alarming rows n evidence ratio "
            "psi psi_limit psi_critical psi_lower"
        )
        return cls.model_validate(
            {
                **{name: row[name] for name in same.split()},
                **rates,
                "start": row["start_ms"],
                "ks": (row["ks_low"], row["ks_high"]) if row["ks_low"] is not None else None,
                "exceeds": [name for name in row["exceeds"].split(",") if name],
            }
        )


class IncidentAnswer(Answer):
    """An incident: one problem of one feature, from its first window on."""

    id: int = _at("number")
    model: str
    version: str
    segment: str
    feature: str
    kind: str
    severity: str
    state: str
    muted: bool
    first_window: Instant = _at("first_window_ms")
    opened_at: Instant = _at("opened_ms")
    resolved_at: Instant | None = _at("resolved_ms")
    summary: str
    episodes: Any
    evidence: Any


class EventAnswer(Answer):
    """A line of an incident's history."""

    event: str
    at: Instant = _at("at_ms")
    recorded: Instant = _at("recorded_ms")
    detail: str


class IncidentDetail(IncidentAnswer):
    """An incident with its history."""

    history: list[EventAnswer]


class PositionAnswer(Answer):
    """How far a partition is counted."""

    topic: str
    partition: int
    next_offset: int
    end_offset: int | None
    lag: int
    owner: str | None
    claim_epoch: int
    fenced: int
    max_event_time: Instant | None = _at("max_event_time_ms")
    caught_up_for_ms: int
    seen: Instant | None = _at("seen_ms")
    checkpointed: Instant | None = _at("checkpointed_ms")


class GapAnswer(Answer):
    """Records that were lost before they could be read; `to_offset` is exclusive."""

    topic: str
    partition: int
    kind: str
    from_offset: int
    to_offset: int


def payload_text(value: object) -> object:
    """Return the beginning of a record as text; what is no UTF-8 is replaced.

    >>> payload_text(b'{"a": \xff')
    '{"a": \ufffd'
    """
    if isinstance(value, bytes):
        return value[:MAX_PAYLOAD_BYTES].decode("utf-8", "replace")
    return value


class DeadLetterAnswer(Answer):
    """A record that could not be counted, and why.

    `payload` is its beginning, at most 2 KB; null where none was kept.
    """

    topic: str
    partition: int
    offset: int
    line: int
    reason: str
    detail: str
    size_bytes: int
    payload: Annotated[str | None, BeforeValidator(payload_text)]
    payload_sha256: str
    written: Instant | None = _at("kafka_ms")
    recorded: Instant = _at("created_ms")


class DeficitAnswer(Answer):
    """Records of a version that came before its reference."""

    model: str
    version: str
    records: int
    first: Instant | None = _at("first_ms")
    last: Instant | None = _at("last_ms")


class HealthAnswer(BaseModel):
    """A model version in one word."""

    model: str
    version: str
    health: str


class StatusAnswer(BaseModel):
    """Everything that one look should tell."""

    data_version: int
    judged_to: Instant | None
    models: list[HealthAnswer]
    incidents_open: int
    counters: dict[str, int]
    dead_letters: dict[str, int]
    partitions: list[PositionAnswer]
    gaps: list[GapAnswer]
    deficits: list[DeficitAnswer]


class Page(BaseModel, Generic[T]):
    """A page of a list; `next` is the cursor of the following page, null at the end."""

    items: list[T]
    next: str | None = None


class Alive(BaseModel):
    """The process answers."""

    status: str
