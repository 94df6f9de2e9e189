"""Versions that are registered and of which no event was counted yet, and what one looks like.

The example is made of the reference's own counts: its feature names, for each a value that
is usual there. No row of the data is known here, so none is shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from driftline.stats.grid import CategoricalGrid, NumericGrid
from driftline.stats.gridset import FeatureGrid
from driftline.stats.reference import PREDICTION, SCORE, Reference
from monitor.storage import reads

# Of what only presence is counted, and of categories that are not kept by name.
ANYTHING = "..."
# Versions whose documents are opened; one is what a new user has.
AT_MOST = 5


@dataclass(frozen=True)
class Awaited:
    """A version that waits for its first event.

    Attributes
    ----------
    digest, rows
        Of the reference that will judge it.
    features
        (name, a usual value) of each feature, without the prediction's parts.
    prediction
        What an event says the model said: a value, or the parts of one; None = nothing.
    """

    model: str
    version: str
    digest: str
    rows: int
    features: tuple[tuple[str, Any], ...]
    prediction: Any


def awaited(conn: Connection, *, model: str | None = None) -> list[Awaited]:
    """Return the versions that have a reference and no event, newest first, a few at most."""
    uses = [
        use
        for use in reads.uses(conn)
        if use.archived_ms is None and (model is None or use.model == model)
    ]
    counted = reads.counted(conn, {use.version_id for use in uses})
    # Of a version's references the newest; of versions the newest first.
    by_version = {use.version_id: use for use in uses if use.version_id not in counted}
    newest = sorted(by_version.values(), key=lambda use: (-use.created_ms, -use.version_id))
    found = []
    for use in newest[:AT_MOST]:
        reference = reads.reference_document(conn, use.digest)
        if reference is not None:
            found.append(expected(use.model, use.version, reference))
    return found


def expected(model: str, version: str, reference: Reference) -> Awaited:
    """Return what an event of a version looks like that this reference judges."""
    grids = reference.gridset
    counts = reference.profiles["all"].counts
    usual = {
        feature.name: usual_value(feature, counts[grids.bins[at]])
        for at, feature in enumerate(grids.features)
    }
    said, score = usual.get(PREDICTION), usual.get(SCORE)
    is_category = any(f.name == PREDICTION and f.kind != "numeric" for f in grids.features)
    prediction: Any = said if PREDICTION in usual else None
    if SCORE in usual:
        key = "class" if is_category else "value"
        prediction = ({key: said} if PREDICTION in usual else {}) | {"score": score}
    return Awaited(
        model=model,
        version=version,
        digest=reference.digest,
        rows=reference.rows,
        features=tuple(
            (name, value) for name, value in usual.items() if name not in (PREDICTION, SCORE)
        ),
        prediction=prediction,
    )


def usual_value(feature: FeatureGrid, mass: NDArray[np.int64]) -> Any:
    """Return a value that is usual in the reference: the middle one, or the most frequent."""
    grid, total = feature.grid, int(mass.sum())
    if not total:
        # Nothing but missing values, or only whether it is there.
        return None if grid is not None else ANYTHING
    if isinstance(grid, NumericGrid):
        at = int(np.searchsorted(mass.cumsum(), total / 2))
        value = float(np.clip(grid.upper()[at], grid.low, grid.high))
        short = float(f"{value:.3g}")
        return int(short) if grid.cells == "integers" and short == int(short) else short
    if isinstance(grid, CategoricalGrid) and grid.levels:
        usual = grid.levels[int(mass[: len(grid.levels)].argmax())]
        # Booleans are categories by these names.
        is_boolean = {*grid.levels, *grid.rare} <= {"true", "false"}
        return usual == "true" if is_boolean else usual
    return ANYTHING
