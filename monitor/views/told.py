"""A stored finding with what is read out of it: bounds of its rates, its groups, its sentence.

Pure: rows of the database and the reference that judged them come in, nothing is counted here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from driftline.stats.calibration import RATES, observe
from driftline.stats.evidence import STATISTICS
from driftline.stats.explain import OF_ROWS, share_interval
from driftline.stats.gridset import FeatureGrid
from driftline.stats.reference import Reference
from driftline.stats.rule import ANY, SHARES, FixedLimit
from driftline.stats.words import (
    WORTH_NAMING,
    Calm,
    Evidence,
    calm,
    claim,
    group_words,
    measured,
    percent,
)
from monitor.detect.spec import MonitorSpec

# The column that holds what is compared with a fixed limit.
COLUMN: Final = {"ks": "ks_low"}


def told(
    row: Mapping[str, Any],
    reference: Reference | None = None,
    spec: MonitorSpec | None = None,
) -> dict[str, Any]:
    """Return a finding with the bounds of its rates, its parts as numbers, and `why`.

    `reference` judged the window, by the monitor `spec`; without them less is said.
    """
    parts = json.loads(row["parts"]) if row.get("parts") else None
    return {
        **row,
        **bounds(row),
        "parts": parts,
        "why": why(row, reference, spec),
    }


def bounds(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the 99.8 % interval of every rate, as `{rate}_low` and `{rate}_high` (Wilson).

    Its lower end is passed with 99.9 % certainty. None where the rate is not known.
    """
    out: dict[str, float | None] = {}
    for name in SHARES:
        of = int(row["rows"] if name in OF_ROWS else row["n"])
        out[f"{name}_low"], out[f"{name}_high"] = share_interval(row.get(name), of)
    return out


def fixed_limit(spec: MonitorSpec | None, feature: str, statistic: str) -> FixedLimit | None:
    """Return the fixed limit that stands for a feature's statistic, its own before that of all."""
    mine = [x for x in spec.limits if x.statistic == statistic] if spec is not None else []
    for name in (feature, ANY):
        for limit in mine:
            if limit.feature == name:
                return limit
    return None


def why(row: Mapping[str, Any], reference: Reference | None, spec: MonitorSpec | None) -> str:
    """Return in a sentence what was found, against which limit, and why it was not judged.

    Of several statistics above their limit the worst comes first.
    """
    over = [name for name in str(row["exceeds"]).split(",") if name]
    over.sort(key=lambda name: name != row["evidence"])
    if over:
        return "; ".join(_over(row, name, reference, spec) for name in over)
    return _calm(row, _grid(reference, str(row["feature"])), spec)


def _over(
    row: Mapping[str, Any], statistic: str, reference: Reference | None, spec: MonitorSpec | None
) -> str:
    feature, rows = str(row["feature"]), int(row["rows"])
    value = row.get(COLUMN.get(statistic, statistic))
    if value is None:
        return f"{statistic} was above its limit"
    fixed = fixed_limit(spec, feature, statistic)
    is_learnt = fixed is None and statistic in STATISTICS
    limit, critical = (
        (row[f"{statistic}_limit"], row.get(f"{statistic}_critical"))
        if is_learnt
        else (None, None)
        if fixed is None
        else (fixed.warning, fixed.critical)
    )
    if critical is not None and abs(value) > critical:
        limit = critical
    if limit is None:  # of a monitor that is not known
        return measured(statistic, value, rows)
    said = claim(
        Evidence(
            feature=feature, statistic=statistic, length=str(row["length"]), start_ms=0, end_ms=0,
            rows=rows, value=value, limit=limit, excess=row.get(f"{statistic}_excess"),
            reference=_own(reference, row, statistic), is_fixed=not is_learnt,
        )
    )  # fmt: skip
    return said + (_where(row, _grid(reference, feature)) if statistic == "psi" else "")


def _own(reference: Reference | None, row: Mapping[str, Any], statistic: str) -> float | None:
    """Return the reference's own rate in the row's segment."""
    profile = reference.profiles.get(str(row["segment"])) if reference is not None else None
    if reference is None or profile is None or statistic not in RATES:
        return None
    hits, of = observe(reference, profile.counts[None, :]).of(statistic)
    place = reference.gridset.names().index(str(row["feature"]))
    return float(hits[0, place] / max(int(of[0, place]), 1))


def _where(row: Mapping[str, Any], grid: FeatureGrid | None) -> str:
    """Return which group of values most of a PSI comes from, where one stands out."""
    parts: Sequence[float] = json.loads(row["parts"]) if row.get("parts") else ()
    total = sum(parts)
    if grid is None or len(parts) != grid.n_groups or total <= 0:
        return ""
    most = max(range(len(parts)), key=lambda at: parts[at])
    share = parts[most] / total
    if share < WORTH_NAMING:
        return "; the change is spread over all of its values"
    return f"; {percent(share, 0)} of it from {group_words(grid, most)}"


def _calm(row: Mapping[str, Any], grid: FeatureGrid | None, spec: MonitorSpec | None) -> str:
    return calm(
        Calm(
            verdict=str(row["verdict"]),
            length=str(row["length"]),
            rows=int(row["rows"]),
            n=int(row["n"]),
            psi=row["psi"],
            psi_limit=row["psi_limit"],
            missing=row["missing"],
            missing_limit=row["missing_limit"],
            is_missing_fixed=fixed_limit(spec, str(row["feature"]), "missing") is not None,
            visible=row.get("visible"),
            infinite=_infinite(row, grid),
            is_presence=grid is not None and grid.kind == "presence",
            is_constant=grid is not None and grid.kind != "presence" and grid.n_groups < 2,
        )
    )


def _infinite(row: Mapping[str, Any], grid: FeatureGrid | None) -> float | None:
    """Return the share of rows that are infinite: where no value is left nothing stands of it."""
    is_number = grid is not None and grid.kind == "numeric"
    if row["n"] or not is_number or row["missing"] is None or row["type_error"] is None:
        return row.get("infinite")
    return max(0.0, 1.0 - float(row["missing"]) - float(row["type_error"]))


def _grid(reference: Reference | None, feature: str) -> FeatureGrid | None:
    names = reference.gridset.names() if reference is not None else ()
    if reference is None or feature not in names:
        return None
    return reference.gridset.features[names.index(feature)]
