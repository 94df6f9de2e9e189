"""What pages say of one finding and one incident, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any

from dashboard.words import (
    EVIDENCE,
    MINUS,
    NBSP,
    VERDICTS,
    cut,
    percent,
    two,
)
from driftline.stats.rule import SHARES
from monitor.views.told import COLUMN


@dataclass(frozen=True)
class Evidence:
    """What a window says of one feature, ready to print."""

    word: str
    value: str
    limit: str
    ratio: float | None

    @property
    def said(self) -> str:
        """What was found and its limit; of a value that is not at hand, how far it is over it."""
        if not self.value and self.ratio is not None:
            return f"{self.word} {two(self.ratio)} times its limit"
        return f"{self.word} {self.value}, limit {self.limit}"


def evidence(row: Mapping[str, Any]) -> Evidence:
    """Return the strongest evidence of a finding against its limit.

    For a rate that is the bound of its excess, because that is what is held against the limit; a
    fixed limit is one of the value itself. Where that is no part of the row (lists of models read
    findings alone, and most of what only such a limit judges stands beside them) its ratio says
    all.

    >>> row = {"evidence": "missing", "ratio": 3.2, "verdict": "warning", "missing": 0.16,
    ...        "missing_excess": 0.14, "missing_limit": 0.01}
    >>> evidence(row).said.replace(NBSP, " ")
    'missing 16.0 %, limit 5.0 %'
    >>> evidence({**row, "ratio": 14.0}).limit.replace(NBSP, " ")
    '1.0 %'
    >>> evidence({"evidence": "ks", "ratio": 2.0, "ks_low": 0.1}).said
    'KS 0.10, limit 0.05'
    >>> evidence({"evidence": "js", "ratio": 7.1}).said
    'JS distance 7.1 times its limit'
    >>> evidence({"evidence": "js", "ratio": 2.0, "js": 0.3}).said
    'JS distance 0.30, limit 0.15'
    """
    name, ratio = row["evidence"], row["ratio"]
    if name is None or ratio is None:
        psi = two(row["psi"]) if row["psi"] is not None else ""
        return Evidence(VERDICTS.get(row["verdict"], row["verdict"]), psi, "", None)
    if name == "psi":
        return Evidence("PSI", two(row["psi"]), two(row["psi_limit"]), float(ratio))
    rate = row.get(COLUMN.get(name, name))
    excess, limit = row.get(f"{name}_excess"), row.get(f"{name}_limit")
    is_learnt = excess is not None and limit and isclose(abs(excess) / limit, ratio, rel_tol=1e-3)
    if not is_learnt and (rate is None or ratio > 0):
        # A fixed limit is the value over its ratio; Wilson's interval has no part in it.
        told = percent if name in SHARES else two
        known = ("", "") if rate is None else (told(abs(rate)), told(abs(rate) / ratio))
        return Evidence(EVIDENCE.get(name, name), *known, float(ratio))
    if excess is not None and excess == rate:  # against a fixed limit it is no bound
        value = percent(excess)
    elif excess is not None and excess > 0:
        value = f"≥{NBSP}{percent(excess)}"
    elif excess is not None and ratio >= 1:
        value = f"{MINUS}{percent(abs(excess))}"
    else:
        value = percent(rate or 0.0)
    return Evidence(
        EVIDENCE.get(name, name), value, percent(limit) if limit is not None else "", float(ratio)
    )


def split_subject(feature: str, summary: str) -> tuple[str, str]:
    """Return (subject, rest of the sentence), so that the subject can be set in bold."""
    if feature and summary.startswith(feature):
        return cut(feature), cut(summary[len(feature) :].lstrip(": "), 400)
    return "", cut(summary, 400)
