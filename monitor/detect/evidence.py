"""An incident's stored evidence as a value, and how far over its limit it is."""

from __future__ import annotations

from collections.abc import Mapping

from driftline.stats.calibration import RATES
from driftline.stats.words import Evidence, Part


def evidence_in(stored: object, which: str = "worst") -> Evidence | None:
    """Return the window that shows an incident best ("opened": the one that told it).

    `stored` is the decoded column. None where it holds nothing of that name.
    """
    found = stored.get(which) if isinstance(stored, Mapping) else None
    if not found:
        return None
    part = found.get("part")
    return Evidence(
        **{
            **found,
            "part": Part(**part) if part else None,
            "values": tuple(found.get("values") or ()),
        }
    )


def ratio_of(evidence: Evidence | None) -> float:
    """Return evidence over its limit (1 = at the limit, 0 = none): what rows are ranked by.

    For a rate that is the bound of its excess, because that is what is held against the limit.

    Examples
    --------
    >>> ratio_of(Evidence("temp", "psi", "day", 0, 1, 500, value=0.5, limit=0.25))
    2.0
    """
    if evidence is None or not evidence.limit:
        return 0.0
    is_excess = evidence.statistic in RATES and not evidence.is_fixed
    held = evidence.excess if is_excess else evidence.value
    return abs(held or 0.0) / evidence.limit
