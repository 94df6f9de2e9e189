"""Whether the rule suits the user's own data, before a server sees any of it.

The module is not named after its function: `driftline.calibrate` is the function, whatever
was imported before.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from driftline.calibrating.bins import slice_profiles
from driftline.calibrating.persistence import wandering
from driftline.calibrating.report import CalibrationReport, CalibrationRow, rough, rows_of
from driftline.calibrating.trial import run, steps
from driftline.comparing.limits import rule_of
from driftline.errors import InvalidReference
from driftline.events import SCORES_PREFIX
from driftline.stats.calibration import MIN_SLICES, RATES, Ints
from driftline.stats.lengths import DEFAULT_LENGTHS, LENGTHS, in_words
from driftline.stats.profile import canonical_category
from driftline.stats.reference import ALL, PREDICTION, SCORE, Reference, build_reference
from driftline.stats.rule import kinds_of

__all__ = ["CalibrationReport", "CalibrationRow", "calibrate"]

# Windows of a quarter of the usual rows, of the usual ones, and of four times as many.
FACTORS: Final = (0.25, 1.0, 4.0)
# One is left out, and a calibration needs the others.
LEAST: Final = MIN_SLICES + 1
# What the counts of slices tell; other limits need the bins, and so the rows.
_OF_SLICES: Final = ("psi", *RATES)


def calibrate(
    data: Any,
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
    lengths: Sequence[str] | None = None,
    sizes: Sequence[int] | None = None,
    profile: str = "standard",
    limits: Sequence[Any] = (),
    months: int = 12,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> CalibrationReport:
    """Run rows through the rule and say what it would tell, what it would miss, and how late.

    Months are put together from the data's own hours, days and weeks, each judged by a rule
    that was learnt without it. Nothing is wrong in them, so every episode is a false one. Then
    every feature is shifted, and values are taken away, to see when that is told. No row leaves
    the process, and no server is asked.

    Parameters
    ----------
    data
        A pandas or polars DataFrame, a pyarrow Table, a mapping of columns: the reference as it
        would be registered. Or what `driftline.profile` made of one.
    prediction, score, scores, label, timestamp, timezone
        As for `Client.register_reference`; `timestamp` is needed, or there are no windows.
    features, exclude, categorical, exclude_slices
        As there.
    lengths
        Windows to try, of hour, day, week and 4weeks; by default hour, day and week.
    sizes
        Rows of a typical window, beside what the data's own windows have. By default a quarter
        of these and four times as many.
    profile
        quiet, standard or sensitive.
    limits
        Fixed limits in the place of the learnt ones, such as "temp:ks=0.15,0.3" or
        "*:missing=0.05": feature:statistic=warning, and critical where it is wanted.
    months
        How long each of the 20 simulated stretches is.
    seed
        Of the random draws: the same data and seed give the same report.
    progress
        Called with the steps done and all of them.

    Raises
    ------
    InvalidReference
        The data cannot become a reference, has no times, or has fewer than nine full slices of
        every length.
    StatisticError
        The profile or a limit makes no sense.

    Examples
    --------
    >>> draw = np.random.default_rng(0)
    >>> hours = 1_767_225_600_000 + 3_600_000 * np.arange(30 * 24).repeat(20)
    >>> rows = {"at": hours, "age": draw.normal(size=len(hours))}
    >>> found = calibrate(rows, timestamp="at", lengths=["day"], sizes=[])
    >>> found["age", "day"].false_episodes_per_month
    0.0
    """
    rule = rule_of(profile, limits)
    wanted = _lengths(lengths)
    _whole("months", months, 1)
    _whole("seed", seed, 0)
    for size in () if sizes is None else sizes:
        _whole("sizes, rows of a window", size, 1)
    built = data
    if isinstance(data, Reference):
        if features is not None or tuple(exclude) or tuple(categorical) or tuple(exclude_slices):
            raise InvalidReference(
                "features=, exclude=, categorical= and exclude_slices= say how a reference is "
                "built: this one is"
            )
    else:
        if timestamp is None:
            raise InvalidReference(
                "there are no windows without times: timestamp= names the column that holds them"
            )
        built = build_reference(
            data,
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
    rule.validate(kinds_of([built.gridset]))
    notes = list(built.warnings)
    full = {name: len(slices.starts_ms) for name, slices in built.slices.get(ALL, {}).items()}
    if not full:
        raise InvalidReference(
            "this reference has no times, so there are no windows: build it with timestamp="
        )
    tried = [name for name in wanted if full.get(name, 0) >= LEAST]
    short = [name for name in wanted if name not in tried]
    counts = ", ".join(in_words(full.get(name, 0), name, "full") for name in short)
    if not tried:
        raise InvalidReference(
            f"too few slices: there are {counts}, and {LEAST} of one length are needed (one is "
            "left out, 8 teach what moves by itself); use rows of a longer time"
        )
    if short:
        notes.append(
            f"not tried: there are {counts}, and {LEAST} of a length are needed; in the service "
            f"such a length waits for {MIN_SLICES} live windows"
        )
    n_sizes = len(FACTORS) if sizes is None else len({*sizes, 0})
    total = sum(steps(built.slices[ALL][name], name, built.timezone, n_sizes) for name in tried)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(min(done, total), total)

    outputs = {PREDICTION: prediction, SCORE: score} | {
        f"{SCORES_PREFIX}{canonical_category(name)}": column
        for name, column in (scores or {}).items()
    }
    sources = {name: column for name, column in outputs.items() if column is not None}
    trials = []
    for name in tried:
        bins = None
        if any(limit.statistic not in _OF_SLICES for limit in rule.limits):
            bins = _bins(built, data, name, sources, timestamp)
        trials.append(
            run(
                built,
                name,
                rule,
                sizes=sizes,
                factors=FACTORS,
                seed=(seed, LENGTHS.index(name)),
                months=months,
                bins=bins,
                progress=step,
            )
        )
    notes += rough(built, trials)
    notes += wandering(built, trials)
    return CalibrationReport(
        rows=rows_of(built, trials, rule),
        notes=tuple(notes),
        seen_months={trial.length: trial.seen_months for trial in trials},
        reference=built,
        rule=rule,
        seed=seed,
        months=months,
    )


def _bins(
    built: Reference, data: Any, length: str, sources: Mapping[str, str], timestamp: str | None
) -> Ints:
    if timestamp is None or isinstance(data, Reference):
        raise InvalidReference(
            "a limit of anything but PSI and the rates needs the rows themselves, with "
            "timestamp=: counts do not keep enough"
        )
    return slice_profiles(built, data, length, sources=sources, timestamp=timestamp)


def _whole(what: str, given: Any, least: int) -> None:
    try:
        is_fine = operator.index(given) >= least
    except TypeError:
        is_fine = False
    if not is_fine:
        raise InvalidReference(f"{what}: a whole number from {least} up, not {given!r}")


def _lengths(lengths: Sequence[str] | None) -> list[str]:
    if isinstance(lengths, str):
        lengths = [lengths]
    for name in lengths or ():
        if name not in LENGTHS:
            raise InvalidReference(f"lengths must be of {', '.join(LENGTHS)}, not {name!r}")
    return [name for name in LENGTHS if name in (lengths or DEFAULT_LENGTHS)]
