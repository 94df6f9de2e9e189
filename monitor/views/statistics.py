"""Every statistic that is stored of a finding: of which features, from which columns, and what
bounds it in a window. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from driftline.stats.calibration import observe
from driftline.stats.evidence import CRITICAL_BEYOND, LEAST_EXCESS
from driftline.stats.evidence import STATISTICS as JUDGED
from driftline.stats.gridset import FeatureGrid
from driftline.stats.measures import moments
from driftline.stats.reference import Reference
from driftline.stats.rule import FixedLimit
from monitor.views.told import bounds

Number = float | None


@dataclass(frozen=True)
class Statistic:
    """One statistic.

    Attributes
    ----------
    group
        What it tells of: "distribution" (how far), "rates" (which share), "moments" (where).
    columns
        Of the distances of `finding` that it is made of; empty where lists of findings have it.
    kinds
        Of features that have it.
    """

    group: str
    columns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("numeric",)


_BOTH: Final = ("numeric", "categorical")
_ANY: Final = (*_BOTH, "presence")
# In the order in which they are offered.
STATISTICS: Final = {
    "psi": Statistic("distribution", kinds=_BOTH),
    "ks": Statistic("distribution"),
    "w1_sigma": Statistic("distribution", ("w1_low", "w1_high", "w1_sigma")),
    "js": Statistic("distribution", ("js",), _BOTH),
    "hellinger": Statistic("distribution", ("hellinger",), _BOTH),
    "tv": Statistic("distribution", ("tv",), _BOTH),
    "linf": Statistic("distribution", ("linf",), _BOTH),
    "chi_square": Statistic("distribution", ("chi_square",), ("categorical",)),
    "missing": Statistic("rates", kinds=_ANY),
    "type_error": Statistic("rates", kinds=_BOTH),
    "unseen": Statistic("rates", kinds=("categorical",)),
    "out_of_range": Statistic("rates"),
    "infinite": Statistic("rates", ("infinite",)),
    "zero": Statistic("rates", ("zero",)),
    "negative": Statistic("rates", ("negative",)),
    "differs": Statistic("rates", ("differs",), _BOTH),
    "mean": Statistic("moments", ("mean",)),
    "mean_shift": Statistic("moments", ("mean_shift",)),
    "sd": Statistic("moments", ("sd_low", "sd_high")),
}
# May lie below zero: their axis does not begin there.
SIGNED: Final = ("mean", "mean_shift")
# Shares of rows or values.
SHARES: Final = tuple(name for name, each in STATISTICS.items() if each.group == "rates")


def offered(grid: FeatureGrid | None) -> tuple[str, ...]:
    """Return the statistics that a feature can have."""
    kind = "presence" if grid is None else grid.kind
    has_groups = grid is not None and grid.n_groups > 1
    return tuple(
        name
        for name, each in STATISTICS.items()
        if kind in each.kinds
        and (name != "psi" or has_groups)
        # What is always the same differs, or does not; what is not is measured otherwise.
        and (name != "differs" or not has_groups)
    )


def interval(
    found: Mapping[str, Any], statistic: str, rows: int = 0
) -> tuple[Number, Number, Number]:
    """Return (value, low, high) of a statistic that has no learnt limit; None where unknown.

    `found` has the statistic's columns, `rows` are the window's. KS, Wasserstein and the standard
    deviation are certified,
    shares have Wilson's 99.8 %; of the others no interval is known.
    """
    if statistic == "ks":
        return found["ks_low"], found["ks_low"], found["ks_high"]
    if statistic == "w1_sigma":
        low, high, sigma = (found.get(name) for name in STATISTICS[statistic].columns)
        if sigma is None or not low or high is None:
            return sigma, sigma, sigma if low == high else None
        return sigma, sigma, sigma * (high / low)
    if statistic == "sd":
        low, high = found.get("sd_low"), found.get("sd_high")
        return None if low is None or high is None else (low + high) / 2, low, high
    value = found.get(statistic)
    if statistic in SHARES and value is not None:
        ends = bounds({"rows": rows, "n": found["n"], statistic: value})
        if f"{statistic}_low" in ends:
            return value, ends[f"{statistic}_low"], ends[f"{statistic}_high"]
    return value, None, None


def is_learnt(statistic: str) -> bool:
    """Return whether a statistic has a limit that is learnt from the reference."""
    return statistic in JUDGED


def numbers(
    found: Mapping[str, Any],
    rows: int,
    statistic: str,
    usual: float | None,
    fixed: FixedLimit | None,
) -> tuple[Number, Number, Number, Number, Number]:
    """Return value, low, high, limit and critical limit, on the statistic's own scale."""
    # What was not held against a limit has no mark, whatever limit is stored beside it.
    is_judged = f" {statistic}=" in f" {found['marks']}"
    if fixed is not None:
        value, low, high = interval(found, statistic, rows)
        if not is_judged:
            return value, low, high, None, None
        # A shift is held against its size: its limit lies on its own side.
        side = -1.0 if statistic == "mean_shift" and (value or 0.0) < 0 else 1.0
        critical = None if fixed.critical is None else side * fixed.critical
        return value, low, high, side * fixed.warning, critical
    if statistic == "psi":
        if not is_judged:
            return found["psi"], None, None, None, None
        limits = found["psi_limit"], found["psi_critical"]
        return found["psi"], found["psi_lower"], found["psi"], *limits
    if not is_learnt(statistic):
        return *interval(found, statistic, rows), None, None
    value, excess = found[statistic], found[f"{statistic}_excess"]
    tolerance = found[f"{statistic}_limit"]
    if value is None or excess is None or usual is None:
        return value, None, None, None, None
    fell = excess < 0
    bound = min(1.0, max(0.0, usual + excess))
    low, high = (value, max(value, bound)) if fell else (min(value, bound), value)
    if not is_judged or tolerance is None:
        return value, low, high, None, None
    sign = -1 if fell else 1
    return (
        value,
        low,
        high,
        max(0.0, usual + sign * tolerance),
        max(0.0, usual + sign * (tolerance + CRITICAL_BEYOND)),
    )


def usual_of(reference: Reference, segment: str, feature: str, statistic: str) -> float | None:
    """Return the reference's own rate; None for what is no rate, or without its own counts."""
    profile = reference.profiles.get(segment)
    if profile is None or feature not in reference.gridset.names():
        return None
    place = reference.gridset.names().index(feature)
    if statistic in ("mean", "sd"):
        usual = float(getattr(moments(reference, segment), statistic)[place])
        return usual if isfinite(usual) else None
    if statistic not in LEAST_EXCESS:
        return None
    hits, n = observe(reference, profile.counts[None, :]).of(statistic)
    return float(hits[0, place] / max(int(n[0, place]), 1))
