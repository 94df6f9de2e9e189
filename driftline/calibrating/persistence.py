"""Whether windows hang on their neighbours: what a bootstrap of the data's own months cannot see.

Months are put together from the windows that the data has. Where one window is like the one
before, a mean wanders, and a longer time would show it further off than the data ever was: then
false episodes are more than the simulation finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from driftline.calibrating.trial import Trial
from driftline.stats.calibration import MIN_ROWS, MIN_ROWS_PSI, Calibration, Floats, Ints
from driftline.stats.lengths import NOMINAL_MS, WORDS
from driftline.stats.reference import ALL, Reference
from driftline.stats.season import N_BUCKETS, Season, bucket, when

# The normal quantile of a one-sided 99 %. At 99.9 % every third feature that wanders would pass
# unnamed in 28 days, and who is named falsely loses nothing.
_Z: Final = 2.326
_NAMED: Final = 4


def correlation(values: Floats, starts_ms: Ints, nominal_ms: int) -> tuple[float, float]:
    """Return the correlation of windows with the next one, and what chance hardly passes.

    r = sum <d_t, d_t+1> / sum <d_t, d_t>, in [-1, 1], with d the distance of a window from the
    mean; without any its spread is 1 / sqrt(pairs) at the most.

    **Source**: M. S. Bartlett (1946), the large-sample variance of a serial correlation.

    Parameters
    ----------
    values
        [S, K] What windows have, less what they are expected to have.
    starts_ms
        [S] In order; only windows that follow one another make a pair.

    Returns
    -------
    tuple of float
        Both NaN where fewer than two pairs are there, or nothing moves.

    Examples
    --------
    >>> hours = 3_600_000 * np.arange(8)
    >>> up_and_down = np.array([[1.0], [1.0], [1.0], [1.0], [-1.0], [-1.0], [-1.0], [-1.0]])
    >>> r, chance = correlation(up_and_down, hours, 3_600_000)
    >>> round(r, 3), round(chance, 3)
    (0.714, 0.879)
    """
    apart = values - values.mean(axis=0) if len(values) else values
    follows = np.flatnonzero(np.diff(starts_ms) < 1.5 * nominal_ms)
    power = float((apart**2).sum())
    if len(follows) < 2 or power <= 0:
        return float("nan"), float("nan")
    together = float((apart[follows] * apart[follows + 1]).sum()) / len(follows)
    return together / (power / len(values)), _Z / float(np.sqrt(len(follows)))


def hanging(reference: Reference, length: str, calibration: Calibration) -> Floats:
    """Return the correlation of each feature's windows with the next ones [F], if beyond chance.

    That of its distribution or of its missing values, whichever is larger; NaN where neither is
    beyond what chance passes once in a hundred features.
    """
    slices = reference.slices[ALL][length]
    grids = reference.gridset
    at = when(slices.starts_ms, reference.timezone)
    rows = slices.rows.astype(np.int64)
    out = np.full(len(grids.features), np.nan)
    for feature, span in enumerate(grids.groups):
        of_bucket = bucket(int(calibration.season[feature]), at)
        n_buckets = N_BUCKETS[Season(int(calibration.season[feature]))]
        counts = slices.groups[:, span].astype(np.int64)
        missing = slices.missing[:, feature].astype(np.int64)[:, None]
        for hits, n, least in (
            (counts, counts.sum(axis=1), MIN_ROWS_PSI),
            (missing, rows, MIN_ROWS["missing"]),
        ):
            use = n >= least
            if not hits.shape[1] or use.sum() < 2:
                continue
            apart = _apart(hits[use], n[use], of_bucket[use], n_buckets)
            r, chance = correlation(apart, slices.starts_ms[use], NOMINAL_MS[length])
            if r > chance:
                out[feature] = np.fmax(out[feature], r)
    return out


def _apart(hits: Ints, n: Ints, of_bucket: Ints, n_buckets: int) -> Floats:
    """Shares [S, K] less those of all windows of their season, each by its own noise."""
    pooled, total = np.zeros((n_buckets, hits.shape[1])), np.zeros(n_buckets)
    np.add.at(pooled, of_bucket, hits)
    np.add.at(total, of_bucket, n)
    expected = (pooled / np.maximum(total, 1)[:, None])[of_bucket]
    common: NDArray[np.float64] = pooled.sum(axis=0) / max(float(total.sum()), 1.0)
    return np.asarray((hits / n[:, None] - expected) / np.sqrt(np.where(common > 0, common, 1.0)))


def wandering(reference: Reference, trials: Sequence[Trial]) -> list[str]:
    """Return a note for each length whose windows hang on one another."""
    names = reference.gridset.names()
    said = []
    for trial in trials:
        found = hanging(reference, trial.length, trial.calibration)
        here = np.flatnonzero(~np.isnan(found))
        if not len(here):
            continue
        worst = here[np.argsort(-found[here], kind="stable")]
        told = ", ".join(f"{names[f]} ({found[f]:.2f})" for f in worst[:_NAMED])
        more = f" and {len(worst) - _NAMED} more" if len(worst) > _NAMED else ""
        one, many = WORDS[trial.length]
        said.append(
            f"{many} hang on one another, a {one} is like the {one} before (correlation): {told}"
            f"{more}; a longer time shows what these {many} have not, so expect more false "
            "episodes than are shown"
        )
    return said
