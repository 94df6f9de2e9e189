"""Models, versions, references, monitors: what was registered."""

from __future__ import annotations

from monitor.api.answers.common import Answer, Instant, said

MODEL = "flight-delay"
DIGEST = "c0ffee" + "0" * 58


class BindingAnswer(Answer):
    """From when on a reference judges a version."""

    reference_digest: str = said("The reference", DIGEST)
    effective_from: Instant = said(
        "Its first instant; 1970 stands for always", "1970-01-01T00:00:00Z", at="effective_from_ms"
    )


class VersionAnswer(Answer):
    """A version of a model."""

    version: str = said("Its name", "3", at="name")
    created: Instant = said("When it was registered", "2025-06-01T09:30:00Z", at="created_ms")
    replaces: str | None = said("The version it took over from", "2")
    bindings: list[BindingAnswer] = said("Its references, the oldest first")
    judged_to: Instant | None = said(
        "Event time before which every window is judged; null before the first",
        "2013-05-16T04:00:00Z",
        at="watermark_ms",
    )
    health: str = said(
        "One word: silent, schema_broken, critical, drifting, collecting or healthy",
        "healthy",
        default="collecting",
    )


class ModelAnswer(Answer):
    """A model with its versions, newest first."""

    model: str = said("Its name", MODEL, at="name")
    timezone: str = said("IANA zone in which its days and weeks begin", "America/New_York")
    owner: str | None = said("Who looks after it", "ops-ml")
    description: str | None = said("What it is for", "arrives more than 15 minutes late")
    created: Instant = said("When it was registered", "2025-01-01T09:30:00Z", at="created_ms")
    versions: list[VersionAnswer] = said("Its versions, the newest first")


class ListedVersion(VersionAnswer):
    """A version, told on its own."""

    model: str = said("The model", MODEL)


class BoundAnswer(Answer):
    """A version that a reference judges."""

    model: str = said("The model", MODEL)
    version: str = said("The version", "3")
    effective_from: Instant = said("From when on", "1970-01-01T00:00:00Z")


class ReferenceAnswer(Answer):
    """What is known of a reference."""

    digest: str = said("Names its content: the same data give the same digest", DIGEST)
    gridset: str = said("Names its grids: profiles with the same one can be added", "9" * 64)
    rows: int = said("How many rows were counted", 27_004)
    first: Instant | None = said(
        "Time of the first row; null without times", "2013-01-01T10:15:00Z", at="first_ms"
    )
    last: Instant | None = said("Time of the last row", "2013-02-01T04:59:00Z", at="last_ms")
    warnings: list[str] = said("What to know about it", ["precip: 93 % of rows are 0"])
    created: Instant = said("When it was registered", "2025-01-01T09:30:00Z", at="created_ms")
    bound_to: list[BoundAnswer] = said("What it judges")


class RegisteredAnswer(Answer):
    """What registering did."""

    created: bool = said("False where it was registered already", True)
    digest: str = said("The reference's digest", DIGEST)
    effective_from: Instant = said("From when on it judges", "1970-01-01T00:00:00Z")
    warnings: list[str] = said("What to know about it", ["precip: 93 % of rows are 0"])


class MonitorAnswer(Answer):
    """How a model is judged; every revision is kept."""

    model: str = said("The model", MODEL)
    revision: int = said("Counts from 1; the largest is in force", 1)
    created: Instant = said("From when on", "2025-01-01T09:30:00Z", at="created_ms")
    lengths: list[str] = said("Window lengths, the shortest first", ["hour", "day", "week"])
    lateness_ms: int = said("How long a window waits after its end", 600_000)
    horizon_ms: int = said("How late an event still revises its window", 604_800_000)
    max_hold_ms: int = said("How long a partition without an owner holds windows back", 3_600_000)


class FeatureAnswer(Answer):
    """A feature of a version."""

    place: int = said("Its place in the reference", 4)
    feature: str = said("`prediction` and `prediction.score` are the model's output", "temp")
    kind: str = said(
        "numeric, categorical, or presence where only the presence is counted", "numeric"
    )
    is_prediction: bool = said("Whether it is the model's output", False)
    importance: float | None = said("How much the model hangs on it, where that was told", 0.12)
    reference_digest: str = said("The reference that it is of", DIGEST)


class SearchAnswer(Answer):
    """Something that is called like what was searched."""

    kind: str = said("model, version, feature, segment, reference or incident", "feature")
    name: str = said("What it is called; an incident's is its number", "airport_delay")
    model: str | None = said("Its model; null for a reference", MODEL)
    detail: str | None = said("What it is, in words", None)
