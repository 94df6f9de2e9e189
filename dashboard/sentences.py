"""What pages say of one finding and one incident, in words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Evidence:
    """What a window says of one feature, ready to print."""

    word: str
    value: str
    limit: str
    ratio: float | None


def evidence(row: Mapping[str, Any]) -> Evidence:
    """Return the strongest evidence of a finding against its limit.

    For a rate that is the bound of its excess, because that is what is held against the limit.
    """
    name, ratio = row["evidence"], row["ratio"]
    if name is None or ratio is None:
        psi = two(row["psi"]) if row["psi"] is not None else ""
        return Evidence(VERDICTS.get(row["verdict"], row["verdict"]), psi, "", None)
    if name == "psi":
        return Evidence("PSI", two(row["psi"]), two(row["psi_limit"]), float(ratio))
    excess, limit, rate = row[f"{name}_excess"], row[f"{name}_limit"], row[name]
    if excess is not None and excess > 0:
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
