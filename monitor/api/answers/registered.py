"""Models, versions, references, monitors: what was registered."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from driftline.stats.lengths import LENGTHS
from driftline.stats.rule import FIXED
from monitor.api.answers.common import Answer, Instant, said
from monitor.windows.calendar import DAY_MS

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
    archived: Instant | None = said(
        "Since when it is counted and judged no longer; null while it is", None, at="archived_ms"
    )
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


class LimitAnswer(Answer):
    """A fixed limit: what a statistic must exceed, whatever it usually does."""

    feature: str = said("A feature, or `*` for all that have no limit of their own", "temp")
    statistic: str = said("psi, ks, w1_sigma, missing, ...", "ks")
    warning: float = said("Above it is a warning", 0.15)
    critical: float | None = said("... and above it critical; null = never", None)


class MonitorAnswer(Answer):
    """How a model is judged; every revision is kept."""

    model: str = said("The model", MODEL)
    revision: int = said("Counts from 1; the largest is in force", 1)
    created: Instant = said("From when on", "2025-01-01T09:30:00Z", at="created_ms")
    lengths: list[str] = said("Window lengths, the shortest first", ["hour", "day", "week"])
    lateness_ms: int = said("How long a window waits after its end", 600_000)
    horizon_ms: int = said("How late an event still revises its window", 604_800_000)
    max_hold_ms: int = said("How long a partition without an owner holds windows back", 3_600_000)
    profile: str = said("How sensitive it judges: quiet, standard or sensitive", "standard")
    limits: list[LimitAnswer] = said("Fixed limits in the place of learnt ones")
    after: dict[str, Instant] = said(
        "In event time: it judges the windows of a length that end later, and those before keep "
        "what judged them; a length that is not there is judged by it from its first window on",
        {"hour": "2013-10-20T14:00:00Z", "day": "2013-10-21T04:00:00Z"},
    )


class MonitorTold(MonitorAnswer):
    """How a model is judged from now on."""

    before: dict[str, Any] = said("What changed, as it was before", {"lateness_ms": 600_000})


class LimitBody(BaseModel):
    """A fixed limit, in the place of what the statistic's limit would be.

    `KS > 0.15`, `missing > 5 %`: the statistic itself is compared, from 100 values on (20 rows
    for rates). Shares are between 0 and 1.
    """

    model_config = ConfigDict(extra="forbid")

    feature: str = Field(
        max_length=200, description="A feature, or `*` for all that have no limit of their own",
        examples=["temp"],
    )  # fmt: skip
    statistic: str = Field(max_length=40, description=f"One of {', '.join(FIXED)}", examples=["ks"])
    warning: float = Field(strict=True, description="Above it is a warning", examples=[0.15])
    critical: float | None = Field(
        default=None, strict=True, examples=[0.3],
        description="Above it is critical; left out, it never is more than a warning",
    )  # fmt: skip


class MonitorBody(BaseModel):
    """How a model is to be judged; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    lengths: list[Literal["hour", "day", "week", "4weeks"]] | None = Field(
        default=None, min_length=1, max_length=len(LENGTHS), examples=[["hour", "day"]],
        description="Window lengths",
    )  # fmt: skip
    profile: Literal["quiet", "standard", "sensitive"] | None = Field(
        default=None, examples=["standard"],
        description="How sensitive: `quiet` never alarms below what the reference itself reached, "
        "`sensitive` tells half as large a change",
    )  # fmt: skip
    limits: list[LimitBody] | None = Field(
        default=None, max_length=2_000,
        examples=[[{"feature": "temp", "statistic": "ks", "warning": 0.15}]],
        description="All fixed limits that are to hold; an empty list removes them",
    )  # fmt: skip
    lateness_ms: int | None = Field(
        default=None, ge=0, le=7 * DAY_MS, strict=True, examples=[1_800_000],
        description="How long a window waits after its end",
    )  # fmt: skip
    horizon_ms: int | None = Field(
        default=None, ge=0, le=90 * DAY_MS, strict=True, examples=[7 * DAY_MS],
        description="How late an event still revises its window",
    )  # fmt: skip
    max_hold_ms: int | None = Field(
        default=None, ge=60_000, le=7 * DAY_MS, strict=True, examples=[3_600_000],
        description="How long a partition without an owner holds windows back",
    )  # fmt: skip


class MonitorWish(MonitorBody):
    """A change, and what it is a change of."""

    expect_revision: int | None = Field(
        default=None, ge=1, strict=True, examples=[1],
        description="Only if this revision is still in force; 409 otherwise",
    )  # fmt: skip


class DeletedAnswer(Answer):
    """What was deleted of a model."""

    model: str = said("The model", MODEL)
    rows: dict[str, int] = said("Rows, by table", {"pane": 9_120, "finding": 182_400})


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


class UseAnswer(BoundAnswer):
    """A version that a reference judges or judged, and what came before and after it."""

    until: Instant | None = said("When another one took over; null to this day", None)
    replaced: str | None = said("The reference before it, for the same version", None)
    replaced_by: str | None = said("The one after it", None)


class LengthAnswer(Answer):
    """What a window length knows of a reference's natural wobble."""

    length: str = said("hour, day, week or 4weeks", "day", at="name")
    source: str = said(
        "reference, live, none (warnings only) or waits (nothing judged)", "reference"
    )
    windows: int = said("Windows it learnt from, or has collected so far", 31)
    needed: int = said("... of so many", 8)
    usual_rows: int | None = said("Rows of a usual window", 871)
    judged: int = said("How many of its newest windows the verdicts below count", 60)


class SeenAnswer(Answer):
    """What one length sees of one feature."""

    length: str = said("hour, day, week or 4weeks", "day")
    sees: str = said("judges, blind, too_few, waits or nothing", "judges")
    warning: float | None = said("The limit of PSI in a usual window", 0.64)
    critical: float | None = said("... and the critical one", 1.15)
    is_fixed: bool = said("Whether these are a fixed limit of the monitor", False)
    n: int | None = said("Values of a usual window", 859)
    smallest_shift: float | None = said(
        "The smallest shift that a usual window would show, in standard deviations of the "
        "reference; null where none does, and of what is no number",
        0.86,
    )
    smallest_missing: float | None = said(
        "The smallest rise of the share of missing values that a usual window would show; null "
        "where none does",
        0.021,
    )
    verdicts: dict[str, int] = said("The newest windows by verdict", {"ok": 57, "warning": 3})


class ShareAnswer(Answer):
    """A category and its share."""

    name: str = said("The category", "UA")
    share: float = said("Of the values", 0.174)


class ProfiledAnswer(Answer):
    """A feature of a reference."""

    feature: str = said("Its name", "temp", at="name")
    kind: str = said("numeric, categorical or presence", "numeric")
    is_prediction: bool = said("Whether it is the model's output", False)
    importance: float | None = said("How much the model hangs on it", 0.12)
    missing: float = said("Share of rows without a value", 0.001)
    low: float | None = said("The smallest value", 10.9)
    high: float | None = said("The largest", 57.9)
    n_categories: int = said("How many categories there are", 0)
    resolution: float | None = said(
        "Numbers that are closer may be counted as one; null of what is no number", 4.8e-7
    )
    resolution_is: str | None = said("absolute, or relative to the value", "relative")
    levels: list[ShareAnswer] = said("The most frequent of them")
    fixed: list[LimitAnswer] = said(
        "Fixed limits that judge it, in the place of learnt ones; `*` are those of all features"
    )
    limits: list[SeenAnswer] = said("What each window length sees of it")


class ReferenceSegmentAnswer(Answer):
    """A segment of a reference."""

    segment: str = said("Its name", "origin=JFK", at="name")
    rows: int | None = said("Null where it has no counts of its own: rates only", 9_161)


class StretchAnswer(Answer):
    """A stretch of time."""

    start: Instant = said("Its first instant", "2013-01-24T05:00:00Z")
    end: Instant = said("The instant after its last", "2013-01-25T05:00:00Z")


class ReferenceDocument(BaseModel):
    """A reference as it was registered; `driftline.stats.reference.Reference` reads it."""

    model_config = ConfigDict(extra="allow")


class ReferenceDetail(ReferenceAnswer):
    """A reference with all that is known of it.

    Its limits are those of one monitor: of the model whose version was bound to it last.
    """

    timezone: str = said("IANA zone of its hours, days and weeks", "America/New_York")
    excluded: list[StretchAnswer] = said("Stretches that were left out when it was registered")
    limits_of: str | None = said(
        "The model whose monitor the limits are of; null where none is bound to it", MODEL
    )
    profile: str = said(
        "How sensitive that monitor judges: quiet, standard or sensitive; standard without one",
        "standard",
    )
    uses: list[UseAnswer] = said("Who is or was judged by it")
    replaced_by_versions: list[BoundAnswer] = said(
        "Versions that say they take over from one of its versions"
    )
    lengths: list[LengthAnswer] = said("What each window length knows")
    features: list[ProfiledAnswer] = said("Its features, the model's output first")
    segments: list[ReferenceSegmentAnswer] = said("Its segments without `all`")
