"""Features by columns of time, each square the worst evidence over its limit.

`Squares` is everything that was judged in a scope, as arrays; `arranged` picks and
orders the rows a page shows of it, without asking the database again. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftline.events import PREDICTION, SCORE, SCORES_PREFIX
from driftline.stats.rule import FIXED
from monitor.storage.rollup import VERDICTS

# What a square may be asked for.
EVIDENCE: Final = ("worst", "psi", "missing", "unseen", "type_error", "out_of_range")
# Where a square comes from, what only a fixed limit judges among them; the index is its code.
SOURCES: Final = (*dict.fromkeys((*EVIDENCE[1:], *FIXED)), "blind")
SORTS: Final = ("worst", "importance", "name")
NO_DATA: Final = -1
BLIND: Final = VERDICTS.index("blind")
# More rows than these are cut down to the ones that came near their limit, then paged.
MAX_ROWS: Final = 40
PAGE_ROWS: Final = 50
MAX_PINNED: Final = 6
NEAR: Final = 0.5
# Beyond that much over its limit no feature counts for more in the order.
MOST: Final = 8.0

Floats = NDArray[np.float32]
Codes = NDArray[np.int8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Squares:
    """All features by name; arrays are [features, columns].

    Attributes
    ----------
    ratio
        Evidence over its limit (1 = at the limit), NaN where nothing was judged.
    source
        Index into `SOURCES`: the statistic that the ratio is of, or blind; -1 for nothing.
    verdict
        Index into `VERDICTS`, -1 where there is no finding.
    """

    features: tuple[str, ...]
    ratio: Floats
    source: Codes
    verdict: Codes
    alarm: Flags


@dataclass(frozen=True)
class Heat:
    """The rows that a page shows of `Squares`, predictions first; arrays are [rows, columns].

    Attributes
    ----------
    pinned
        How many of the rows, from the top, are predictions.
    total
        Features that the search found, predictions among them.
    quiet
        Features that are left out because they stayed below half their limit.
    page, pages
        From 1; predictions are on every page.
    """

    features: tuple[str, ...]
    pinned: int
    ratio: Floats
    source: Codes
    verdict: Codes
    alarm: Flags
    total: int
    quiet: int = 0
    page: int = 1
    pages: int = 1


@dataclass(frozen=True)
class Arrangement:
    """What a page asks of the rows: order, search, whether calm ones are wanted, which page."""

    sort: str = "worst"
    q: str = ""
    show_all: bool = False
    page: int = 1
    importance: Mapping[str, float] = field(default_factory=dict)


def is_prediction(name: str) -> bool:
    """Whether a flat name holds what the model said; such rows are pinned above its features."""
    return name in (PREDICTION, SCORE) or name.startswith(SCORES_PREFIX)


def empty(columns: int) -> Squares:
    """Return squares of no features."""
    shape = (0, columns)
    return Squares(
        (),
        np.zeros(shape, np.float32),
        np.zeros(shape, np.int8),
        np.zeros(shape, np.int8),
        np.zeros(shape, np.bool_),
    )


def arranged(squares: Squares, standing: Collection[str], wish: Arrangement) -> Heat:
    """Return the rows to show, predictions pinned on top.

    Worst means: an incident stands on it (`standing`), by how far it is over now; then by
    all that was over the limit in the range. Of more than 40 features only those are shown
    that passed half their limit or have an incident, unless all are asked for.
    """
    wanted = wish.q.strip().casefold()
    found = [n for n, name in enumerate(squares.features) if wanted in name.casefold()]
    pinned = [n for n in found if is_prediction(squares.features[n])][:MAX_PINNED]
    rest = [n for n in found if not is_prediction(squares.features[n])]
    quiet = 0
    if len(rest) + len(pinned) > MAX_ROWS and not wish.show_all and not wanted:
        peak = _peaks(squares)
        lively = [n for n in rest if peak[n] >= NEAR or squares.features[n] in standing]
        quiet = len(rest) - len(lively)
        rest = lively
    rest = _ordered(squares, rest, standing, wish)
    if len(rest) + len(pinned) <= MAX_ROWS:
        pages, page = 1, 1
    else:
        pages = max(1, ceil(len(rest) / PAGE_ROWS))
        page = min(max(1, wish.page), pages)
        rest = rest[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    rows = np.array([*pinned, *rest], dtype=np.intp)
    return Heat(
        features=tuple(squares.features[n] for n in rows),
        pinned=len(pinned),
        ratio=squares.ratio[rows],
        source=squares.source[rows],
        verdict=squares.verdict[rows],
        alarm=squares.alarm[rows],
        total=len(found),
        quiet=quiet,
        page=page,
        pages=pages,
    )


def _peaks(squares: Squares) -> NDArray[np.float64]:
    over = np.nan_to_num(squares.ratio.astype(np.float64))
    return np.asarray(over.max(axis=1, initial=0.0))


def _ordered(
    squares: Squares, rows: list[int], standing: Collection[str], wish: Arrangement
) -> list[int]:
    names = squares.features
    if wish.sort == "name":
        return sorted(rows, key=lambda n: names[n])
    over = np.nan_to_num(squares.ratio.astype(np.float64))
    now = over[:, -1] if over.shape[1] else np.zeros(len(names))
    total = np.where(over >= 1, np.minimum(over, MOST), 0.0).sum(axis=1)
    peak = _peaks(squares)

    def badness(n: int) -> tuple[object, ...]:
        stands = names[n] in standing
        return not stands, -float(now[n]) if stands else 0.0, -total[n], -peak[n], names[n]

    if wish.sort == "importance":
        return sorted(rows, key=lambda n: (-wish.importance.get(names[n], 0.0), badness(n)))
    return sorted(rows, key=badness)
