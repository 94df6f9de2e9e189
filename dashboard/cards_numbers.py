"""The card "in numbers" of a feature's page: every distance of a window, then both sides."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from dash import html

from dashboard import parts
from dashboard import sentences_series as say
from dashboard.words import MINUS, NBSP, cut, percent, plural, two
from driftline.stats.calibration import MIN_ROWS_PSI
from driftline.stats.gridset import FeatureGrid
from driftline.stats.words import group_words, number
from monitor.storage.rows import FeatureWindow
from monitor.views.compared import Distribution

Part = Any
Line = tuple[Any, Any, Any]
# Of a distance that comes from the outermost 1 % of values so much, the rest says little.
HEAVY: Final = 0.5


def numbers(
    made: Distribution | None,
    window: FeatureWindow,
    *,
    against: str,
    head: str,
    is_reference: bool,
    resolution: str = "",
) -> list[Part]:
    """Return the card's tables.

    What was stored when the window was judged is told beside its reference alone; beside another
    range PSI, KS and chi-square are computed from the counts of both.
    """
    found = window.found or {}
    lines = _judged(found) if is_reference and found else []
    lines = lines or _compared(made)
    if made is not None and made.differs is not None:
        lines.append(("Differs from its constant", percent(made.differs), ""))
    cells = [
        html.Tr(
            [html.Th(name, scope="row"), html.Td(html.B(value), className="num"),
             html.Td(note, className="note-cell")]
        )
        for name, value, note in lines
    ]  # fmt: skip
    out: list[Part] = []
    if cells:
        out.append(html.Table(html.Tbody(cells), className="table distances"))
    # Where counts are gone, nothing is there to hold beside the reference: it is not "0 rows".
    if made is not None and (made.current.rows or not window.rows):
        rows = [list(row) for row in say.number_rows(made.current, made.reference)]
        columns = ["Measure", against, head, "Change"]
        out.append(parts.table(columns, rows, numeric=columns[1:]))
    if made is not None and made.season is not None and lines:
        out.append(html.P(season_words(made.season), className="note"))
    if resolution:
        out.append(html.P(resolution, className="note"))
    return out


def _judged(found: Mapping[str, Any]) -> list[Line]:
    """Return what is stored of a finding, a line each; what was not computable is left out."""
    get = found.get
    lines: list[Line] = []
    if get("psi") is not None:
        lines.append((parts.term("PSI"), two(found["psi"]), _psi_limit(found)))
        if get("psi_star") is not None:
            star = f"{MINUS if found['psi_star'] < 0 else ''}{two(abs(found['psi_star']))}"
            lines.append(("beyond chance", star, p_words(get("psi_p"))))
    if get("ks_low") is not None:
        lines.append(
            (parts.term("KS"), span(found["ks_low"], found["ks_high"]), p_words(get("ks_p")))
        )
    if get("w1_low") is not None:
        lines.append((
            parts.term("Wasserstein", "w1"),
            span(found["w1_low"], found["w1_high"], 4),
            _in_sigma(found),
        ))  # fmt: skip
    for (name, word), (other, other_word), note in (
        (("js", "JS"), ("hellinger", "Hellinger"), "distances"),
        (("tv", "TV"), ("linf", "largest change"), "of shares"),
    ):
        if get(name) is not None and get(other) is not None:
            both = f"{found[name]:.3f} \N{MIDDLE DOT} {found[other]:.3f}"
            said = [parts.term(word, name), " \N{MIDDLE DOT} ", parts.term(other_word, other)]
            lines.append((said, both, note))
    if get("chi_square") is not None:
        df = plural(int(found["chi_square_df"] or 0), "degree")
        lines.append((
            parts.term("Chi-square"),
            number(found["chi_square"], 3),
            _joined(f"{df} of freedom", p_words(get("chi_square_p"))),
        ))  # fmt: skip
    if get("mean_shift") is not None:
        shift = found["mean_shift"]
        lines.append((
            "Mean moved by",
            f"{'+' if shift > 0 else MINUS if shift < 0 else ''}{two(abs(shift))}",
            parts.term("sigma"),
        ))  # fmt: skip
    if get("sd_low") is not None:
        ratio = f"{two(found['sd_ratio'])} of the reference's" if get("sd_ratio") else ""
        lines.append((
            "Standard deviation", span(found["sd_low"], found["sd_high"], 4), ratio,
        ))  # fmt: skip
    for name, word in (("infinite", "Infinite"), ("zero", "Zeros"), ("negative", "Negative")):
        if get(name):
            lines.append((word, percent(found[name]), ""))
    if get("visible") is not None and get("verdict") != "insufficient_data":
        lines.append(
            (
                parts.term("Smallest change", "smallest shift"),
                visible_words(found),
                "that it could show",
            )
        )
    return lines


def season_words(season: str) -> str:
    """Return what PSI is compared with under a season, and what all else is.

    >>> season_words("weekend").replace("\xa0", " ")[:63]
    "PSI compares with the reference's weekends, all other distances"
    """
    return (
        f"PSI compares with the reference's {season}s, all other distances with the whole "
        "reference: their usual daily and weekly swing is part of them."
    )


def _psi_limit(found: Mapping[str, Any]) -> Any:
    if found.get("verdict") == "blind":
        return [parts.term("blind"), " at this length"]
    if found.get("psi_limit") is None:
        return "not judged"
    said = f"limit {two(found['psi_limit'])}"
    if found.get("psi_critical") is not None:
        said += f", critical {two(found['psi_critical'])}"
    return said


def _in_sigma(found: Mapping[str, Any]) -> Any:
    tail = found.get("w1_tail")
    if tail is not None and tail > HEAVY:
        return "says little here: the tail dominates"
    return f"{two(found['w1_sigma'])} sigma" if found.get("w1_sigma") is not None else ""


def visible_words(found: Mapping[str, Any]) -> str:
    """Return the smallest change that a window could have shown: a shift, or points of a rate."""
    value = found["visible"]
    # As `driftline.stats.explain.visible` makes it: below 100 values a shift, too.
    is_shift = found.get("psi_limit") is not None or int(found["n"]) < MIN_ROWS_PSI
    return f"{two(value)} sigma" if is_shift else f"{say.points(value)} more missing"


def p_words(p: float | None) -> str:
    r"""Return a p-value.

    >>> p_words(0.0312), p_words(1e-9), p_words(None)
    ('p 0.031', 'p <\xa00.001', '')
    """
    if p is None:
        return ""
    return f"p {number(p)}" if p >= 0.001 else f"p <{NBSP}0.001"


def span(low: float, high: float, digits: int = 0) -> str:
    r"""Return a certified interval, one number where its ends are told alike.

    >>> span(0.2121, 0.2159), span(0.2, 0.2), span(18.113, 18.114, 4)
    ('0.212 – 0.216', '0.200', '18.11')
    """
    ends = [number(end, digits) if digits else f"{end:.3f}" for end in (low, high)]
    return ends[0] if ends[0] == ends[1] else " – ".join(ends)


def _joined(*said: str) -> str:
    return ", ".join(each for each in said if each)


def _compared(made: Distribution | None) -> list[Line]:
    """Return what two ranges say of each other."""
    lines: list[Line] = []
    if made is not None and made.psi is not None:
        lines.append((parts.term("PSI"), two(made.psi), ""))
    if made is not None and made.ks_low is not None and made.ks_high is not None:
        # The ends of an exact one are a last digit apart: they are rounded away from each other.
        is_exact = math.isclose(made.ks_low, made.ks_high, rel_tol=2e-8)
        note: Any = "exact" if is_exact else parts.term("certified interval", "certified")
        lines.append((parts.term("KS"), span(made.ks_low, made.ks_high), note))
    if made is not None and made.chi_square is not None:
        df = f"{plural(made.chi_square_df or 0, 'degree')} of freedom"
        lines.append((parts.term("Chi-square"), number(made.chi_square, 3), df))
    return lines


def stored_parts(grid: FeatureGrid | None, found: Mapping[str, Any] | None) -> Part | None:
    """Return what each group added to PSI as it was judged, for a window whose counts are gone.

    None where nothing of it is stored.
    """
    added: Sequence[float] = json.loads((found or {}).get("parts") or "[]")
    total = sum(added)
    if grid is None or len(added) != grid.n_groups or total <= 0:
        return None
    rows = [
        [cut(group_words(grid, at), 60), f"{part:.3f}", say.percent0(part / total)]
        for at, part in enumerate(added)
    ]
    head = ["Values", "Adds to PSI", "Of the PSI"]
    return [
        html.P(
            "The counts of this window are gone; this is what was kept of it.", className="note"
        ),
        parts.table(head, rows, numeric=head[1:]),
    ]


def resolution_words(grid: FeatureGrid | None) -> str:
    """Return at which resolution values are counted; nothing of what is no number.

    What "exact" means on this page.
    """
    found = getattr(grid.grid, "resolution", None) if grid is not None else None
    if not found or not found[0]:
        return ""
    width, kind = found
    if kind == "absolute":
        return f"Values are told apart from {number(width, 3)} on."
    return f"Values are told apart from {100 * width:.2g}{NBSP}% of their size on."
