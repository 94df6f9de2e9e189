"""A stored finding with what is read out of it: bounds of its rates, its groups, its sentence.

Pure: rows of the database and the reference that judged them come in, nothing is counted here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

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
    number,
    percent,
)
from monitor.detect.spec import MonitorSpec

# What a statistic is called in a sentence.
WORD: Final = {
    "psi": "PSI",
    "ks": "KS",
    "w1_sigma": "Wasserstein distance",
    "js": "JS distance",
    "hellinger": "Hellinger distance",
    "tv": "total variation",
    "linf": "largest change of a share",
    "mean_shift": "shift of the mean",
    "missing": "missing",
    "type_error": "of the wrong type",
    "unseen": "unseen before",
    "out_of_range": "out of range",
    "infinite": "infinite",
    "zero": "zero",
    "negative": "negative",
}
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
        "why": why(row, _grid(reference, str(row["feature"])), spec),
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


def why(row: Mapping[str, Any], grid: FeatureGrid | None, spec: MonitorSpec | None) -> str:
    """Return in a sentence what was found, against which limit, and why it was not judged.

    Of several statistics above their limit the worst comes first.
    """
    over = [name for name in str(row["exceeds"]).split(",") if name]
    over.sort(key=lambda name: name != row["evidence"])
    if over:
        return "; ".join(_over(row, name, grid, spec) for name in over)
    return _calm(row, grid, spec)


def _over(
    row: Mapping[str, Any], statistic: str, grid: FeatureGrid | None, spec: MonitorSpec | None
) -> str:
    fixed = fixed_limit(spec, str(row["feature"]), statistic)
    if fixed is not None or statistic not in STATISTICS:
        return _fixed(row, statistic, fixed)
    if statistic == "psi":
        is_critical = row["psi_critical"] is not None and row["psi"] > row["psi_critical"]
        name, limit = (
            ("critical limit", row["psi_critical"]) if is_critical else ("limit", row["psi_limit"])
        )
        return f"PSI {number(row['psi'])}, {name} {number(limit)}{_where(row, grid)}"
    evidence = Evidence(
        feature=str(row["feature"]), statistic=statistic, length=str(row["length"]), start_ms=0,
        end_ms=0, rows=int(row["rows"]), value=row[statistic], limit=row[f"{statistic}_limit"],
        excess=row[f"{statistic}_excess"],
    )  # fmt: skip
    return claim(evidence)


def _fixed(row: Mapping[str, Any], statistic: str, fixed: FixedLimit | None) -> str:
    value = row.get(COLUMN.get(statistic, statistic))
    shown = percent if statistic in SHARES else number
    said = f"{WORD[statistic]} {'not known' if value is None else shown(value)}"
    if fixed is None:
        return said
    is_critical = fixed.critical is not None and abs(value or 0.0) > fixed.critical
    limit = fixed.critical if is_critical and fixed.critical is not None else fixed.warning
    return f"{said}, fixed {'critical ' if is_critical else ''}limit {shown(limit)}"


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
            is_presence=grid is not None and grid.kind == "presence",
        )
    )


def _grid(reference: Reference | None, feature: str) -> FeatureGrid | None:
    names = reference.gridset.names() if reference is not None else ()
    if reference is None or feature not in names:
        return None
    return reference.gridset.features[names.index(feature)]
