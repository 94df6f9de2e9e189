"""What a user decides about the rule: how sensitive it is, and limits of his own.

Pure values; `driftline.stats.evidence` judges by them, in the service and in `compare` alike.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from driftline.errors import StatisticError

if TYPE_CHECKING:
    from driftline.stats.calibration import Calibration
    from driftline.stats.gridset import Gridset

Floats = NDArray[np.float64]

ANY: Final = "*"
LEVELS: Final = ("warning", "critical")


class Profile(NamedTuple):
    """How sensitive the rule is.

    `warning` and `critical` are the true PSI that is tolerated; `guard` says which of the
    reference's own slices limits never fall below: the "max" or the 99th percentile ("p99").
    """

    warning: float
    critical: float
    guard: str


# .10 and .25 are the industry's, which limits tend to as windows grow.
PROFILES: Final = {
    "quiet": Profile(0.10, 0.25, "max"),
    "standard": Profile(0.10, 0.25, "p99"),
    "sensitive": Profile(0.05, 0.10, "p99"),
}

# What may have a fixed limit, and the largest that makes sense (JS: natural log).
FIXED: Final = {
    "psi": math.inf,
    "ks": 1.0,
    "w1_sigma": math.inf,
    "js": math.sqrt(math.log(2)),
    "hellinger": 1.0,
    "tv": 1.0,
    "linf": 1.0,
    "mean_shift": math.inf,
    "missing": 1.0,
    "type_error": 1.0,
    "unseen": 1.0,
    "out_of_range": 1.0,
    "infinite": 1.0,
    "zero": 1.0,
    "negative": 1.0,
}
# They are held against a limit from their lower end, and are calm below their upper end.
INTERVALS: Final = {"ks": ("ks_low", "ks_high"), "w1_sigma": ("w1_low", "w1_high")}
# Shares of rows or values; the others are distances.
SHARES: Final = ("missing", "type_error", "unseen", "out_of_range", "infinite", "zero", "negative")
# Of what there is a statistic: of the other columns only missing values are watched.
_ONLY_NUMBERS: Final = (
    "ks",
    "w1_sigma",
    "mean_shift",
    "out_of_range",
    "infinite",
    "zero",
    "negative",
)
_KINDS: Final = (
    dict.fromkeys(FIXED, ("numeric", "categorical"))
    | dict.fromkeys(_ONLY_NUMBERS, ("numeric",))
    | {"unseen": ("categorical",), "missing": ("numeric", "categorical", "presence")}
)
_IN_WORDS: Final = {
    "numeric": "a number",
    "categorical": "a category",
    "presence": "a column of which only missing values are watched",
}
# The kind of incident a statistic opens.
KIND_OF: Final = dict.fromkeys(FIXED, "distribution") | {
    name: name for name in ("missing", "type_error", "unseen")
}


@dataclass(frozen=True)
class FixedLimit:
    """A plain limit in the place of the learnt one: "KS > 0.15", "missing > 5 %".

    Attributes
    ----------
    feature
        A feature's name, or "*" for all that have no limit of their own.
    statistic
        One of `FIXED`.
    warning, critical
        What the statistic must exceed, as a share where it is one; `critical` None never tells
        more than a warning. `mean_shift` is compared by its size.
    """

    feature: str
    statistic: str
    warning: float
    critical: float | None = None

    def __str__(self) -> str:
        return f"{self.feature}:{self.statistic}"


class Limits(NamedTuple):
    """Fixed limits of one statistic by feature, each [F]; NaN where there is none."""

    warning: Floats
    critical: Floats


@dataclass(frozen=True)
class Rule:
    """A profile, and fixed limits that stand in the place of the learnt ones."""

    profile: str = "standard"
    limits: tuple[FixedLimit, ...] = ()

    def delta(self, level: str) -> float:
        """Return the true PSI that is tolerated at a level, "warning" or "critical"."""
        tolerated: float = getattr(PROFILES[self.profile], level)
        return tolerated

    def guard_of(self, calibration: Calibration) -> Floats:
        """Return what limits never fall below [F], NaN where nothing was learnt."""
        is_most = PROFILES[self.profile].guard == "max"
        return calibration.guard_max if is_most else calibration.guard

    def by_statistic(self, features: Sequence[str]) -> dict[str, Limits]:
        """Return the fixed limits of each statistic that has one, for each of `features`."""
        out: dict[str, Limits] = {}
        # A feature's own limit stands before that of all.
        for limit in sorted(self.limits, key=lambda limit: limit.feature != ANY):
            if limit.statistic not in out:
                nothing = np.full(len(features), np.nan)
                out[limit.statistic] = Limits(nothing, nothing.copy())
            here = [limit.feature in (ANY, name) for name in features]
            warning, critical = out[limit.statistic]
            warning[here] = limit.warning
            critical[here] = np.nan if limit.critical is None else limit.critical
        return {name: out[name] for name in FIXED if name in out}

    def validate(self, features: Mapping[str, Collection[str]] | None = None) -> Rule:
        """Return the rule itself when it can judge.

        Parameters
        ----------
        features
            Feature -> the kinds it has in the references that judge it. Where they are known, a
            limit of any other is refused, and so is one of a statistic that it does not have.

        Raises
        ------
        StatisticError
            Saying what is wrong and what mends it.
        """
        if self.profile not in PROFILES:
            raise StatisticError(f"profile {self.profile!r} must be one of {', '.join(PROFILES)}")
        seen: set[str] = set()
        for limit in self.limits:
            _check(limit, features)
            if str(limit) in seen:
                raise StatisticError(f"limit {limit} is there twice: keep one")
            seen.add(str(limit))
        return self


def kinds_of(gridsets: Iterable[Gridset]) -> dict[str, set[str]]:
    """Return each feature's kinds in the grids of these references, for `Rule.validate`."""
    out: dict[str, set[str]] = {}
    for grids in gridsets:
        for feature in grids.features:
            out.setdefault(feature.name, set()).add(feature.kind)
    return out


def _check(limit: FixedLimit, features: Mapping[str, Collection[str]] | None) -> None:
    if limit.statistic not in FIXED:
        raise StatisticError(
            f"limit {limit}: there is no statistic {limit.statistic!r}"
            f"{_nearest(limit.statistic, list(FIXED))}; one of {', '.join(FIXED)}"
        )
    if not limit.feature:
        raise StatisticError(f"limit {limit}: name a feature, or {ANY} for all")
    if features is not None and limit.feature != ANY and limit.feature not in features:
        raise StatisticError(
            f"limit {limit}: there is no feature {limit.feature!r}"
            f"{_nearest(limit.feature, list(features))}"
        )
    if features is not None and limit.feature != ANY:
        _check_kind(limit, features[limit.feature])
    most = FIXED[limit.statistic]
    for level in LEVELS:
        value = getattr(limit, level)
        if value is None and level == "critical":
            continue
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value) or not 0 <= value <= most:
            upper = f" to {most:.4g}" if math.isfinite(most) else " up"
            unit = ", as a share: 0.05 is 5 %" if limit.statistic in SHARES else ""
            raise StatisticError(
                f"limit {limit}: {level} must be a number from 0{upper}, not {value}{unit}"
            )
    if limit.critical is not None and limit.critical < limit.warning:
        raise StatisticError(
            f"limit {limit}: critical ({limit.critical:g}) must not be below warning "
            f"({limit.warning:g})"
        )


def _check_kind(limit: FixedLimit, kinds: Collection[str]) -> None:
    if any(kind in _KINDS[limit.statistic] for kind in kinds):
        return
    has = [name for name in FIXED if any(kind in _KINDS[name] for kind in kinds)]
    raise StatisticError(
        f"limit {limit}: {limit.feature} is {' or '.join(_IN_WORDS[kind] for kind in kinds)}, and "
        f"has no {limit.statistic}; it has {', '.join(has)}"
    )


def _nearest(name: str, names: Sequence[str]) -> str:
    found = get_close_matches(name, names, 1)
    return f" (did you mean {found[0]!r}?)" if found else ""
