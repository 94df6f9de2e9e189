"""Compare two frames without a server: the same grids, limits and verdicts as the service's.

The module is not named after its function: `driftline.compare` is the function, whatever
was imported before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from driftline.comparing.comparison import COLUMNS, Comparison
from driftline.comparing.counting import WHAT, Counted, count_frame
from driftline.comparing.lengths import known
from driftline.comparing.limits import rule_of
from driftline.comparing.rows import VERDICTS, Row, judge
from driftline.errors import GridMismatch, InvalidFrame, InvalidReference
from driftline.events import SCORES_PREFIX
from driftline.stats.frame import open_frame
from driftline.stats.profile import COUNTERS, Profile, canonical_category
from driftline.stats.reference import PREDICTION, SCORE, Reference, build_reference
from driftline.stats.rule import kinds_of

__all__ = ["COLUMNS", "VERDICTS", "Comparison", "Row", "compare", "profile"]

# The counts of a frame that others are compared with: the core's own function, whose name
# says there what it builds.
profile = build_reference


def compare(
    reference: Any,
    current: Any,
    *,
    prediction: str | None = None,
    score: str | None = None,
    scores: Mapping[str, str] | None = None,
    label: str | None = None,
    timestamp: str | None = None,
    timezone: str = "UTC",
    features: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    categorical: Sequence[str] = (),
    exclude_slices: Sequence[Any] = (),
    length: str | None = None,
    profile: str = "standard",
    limits: Sequence[Any] = (),
) -> Comparison:
    """Judge each feature of a frame against a reference, as one window of the service.

    Grids come from the reference alone. With its times the limits know how its own hours,
    days and weeks differ from each other; without them they allow for chance only, and no
    verdict is above warning. One window has no "2 of the last 3": a verdict here is what the
    service would say of the window, not an incident.

    Parameters
    ----------
    reference
        A pandas or polars DataFrame, a pyarrow Table, a mapping of columns; or what
        `driftline.profile` made of one, to compare it with many frames.
    current
        A frame of any of these kinds, or a profile on the reference's grids
        (`Comparison.current`).
    prediction, score, label, timestamp
        Columns that hold the model's output, its score, the outcome (not compared), and the
        time of each row. `current` may lack the label and the time.
    scores
        Class -> column with its score, of a model of several classes.
    timezone
        IANA zone in which days and weeks begin, and in which naive times are read.
    features
        Compare these columns and no others, identifiers and free text too.
    exclude
        Columns that are not compared.
    categorical
        Columns of integers that are categories.
    exclude_slices
        Stretches of the reference's time that were no usual ones, each a local date
        ("2013-02-08") or an interval ("2013-02-08/2013-02-10"): not counted.
    length
        hour, day, week or 4weeks: judge as a window of this length. By default the longest that the
        rows span and the reference has eight full slices of.
    profile
        How sensitive: quiet, standard or sensitive.
    limits
        Fixed limits in the place of the learnt ones, such as "temp:ks=0.15,0.3" or
        "*:missing=0.05": feature:statistic=warning, and critical where it is wanted.

    Raises
    ------
    InvalidReference
        The reference cannot be one, with what mends it.
    InvalidFrame
        `current` cannot be counted or has no column in common with the reference; `length`
        cannot be judged.
    GridMismatch
        `current` is a profile on other grids.
    StatisticError
        The profile or a limit makes no sense.

    Examples
    --------
    >>> before = {"age": [20 + i % 40 for i in range(2_000)], "plan": ["basic", "pro"] * 1_000}
    >>> after = {"age": [45 + i % 40 for i in range(2_000)], "plan": ["basic", "pro"] * 1_000}
    >>> found = compare(before, after)
    >>> found.verdict, [row.feature for row in found.drifted], found["plan"].verdict
    ('warning', ['age'], 'ok')
    """
    rule_of(profile, limits)
    notes: list[str] = []
    own_columns: set[str] = set()
    if isinstance(reference, Reference):
        if features is not None or tuple(exclude) or tuple(categorical) or tuple(exclude_slices):
            raise InvalidReference(
                "features=, exclude=, categorical= and exclude_slices= say how a reference is "
                "built: this one is"
            )
        built = reference
    else:
        built = build_reference(
            reference,
            prediction=prediction,
            score=score,
            scores=scores,
            label=label,
            timestamp=timestamp,
            timezone=timezone,
            features=features,
            exclude=exclude,
            categorical=categorical,
            exclude_slices=exclude_slices,
        )
        own_columns = set(open_frame(reference).columns)
    notes += built.warnings
    if isinstance(current, Reference):
        raise InvalidFrame(
            f"{WHAT} is a reference, whose grids are its own: compare its rows, which are counted "
            "on the grids of the first"
        )
    if isinstance(current, Profile):
        if current.gridset != built.gridset.digest:
            raise GridMismatch(current.gridset, built.gridset.digest)
        if not current.rows:
            raise InvalidFrame(f"{WHAT} has no rows")
        counted = Counted(current)
    else:
        outputs = {PREDICTION: prediction, SCORE: score} | {
            f"{SCORES_PREFIX}{canonical_category(name)}": column
            for name, column in (scores or {}).items()
        }
        counted = count_frame(
            current,
            built,
            sources={name: column for name, column in outputs.items() if column is not None},
            no_features=own_columns | {name for name in (label,) if name is not None},
            timestamp=timestamp,
        )
    rule = rule_of(profile, limits, kinds_of([built.gridset]))
    judged_as = known(built, counted, length)
    notes += [judged_as.note, *counted.notes, *_lacking(built, counted, prediction, score)]
    if not any(limit.statistic == "infinite" for limit in rule.limits):
        notes += _infinite(built, counted.profile)
    return Comparison(
        rows=judge(built, counted, judged_as, rule),
        notes=tuple(notes),
        length=judged_as.length,
        reference=built,
        current=counted.profile,
    )


def _infinite(reference: Reference, current: Profile) -> list[str]:
    """Infinities are in no bin and judged by nothing: without a word they would look well."""
    places = [COUNTERS.index(name) for name in ("pos_inf", "neg_inf")]
    counters = reference.gridset.counters
    numbers = {
        name: int(current.counts[counters[i, places]].sum())
        for i, name in enumerate(reference.gridset.names())
    }
    return [
        f"{name!r} holds {n:,} infinities in {WHAT}: they are counted apart, outside the bins, "
        f"and judged by a fixed limit alone, such as {name}:infinite=0.01"
        for name, n in numbers.items()
        if n
    ]


def _lacking(
    reference: Reference, counted: Counted, prediction: str | None, score: str | None
) -> list[str]:
    """Columns of one side only, and what may mend it."""
    notes = []
    for name, given, argument in ((PREDICTION, prediction, "prediction"), (SCORE, score, "score")):
        if name in reference.prediction and name in counted.vanished and given is None:
            notes.append(f"the reference has the model's {name}: {argument}= names its column")
    if counted.unknown:
        names = ", ".join(map(repr, counted.unknown[:20]))
        more = f" and {len(counted.unknown) - 20:,} more" if len(counted.unknown) > 20 else ""
        notes.append(f"not compared, because the reference does not have them: {names}{more}")
    return notes
