"""The demo's model: will this flight arrive more than 15 minutes late?

A gradient-boosted classifier that is trained on January when the demo runs; nothing
is precomputed. The reference gets out-of-fold scores: a model looks better on the
days it was trained on than it is, and the stream would seem to drift at once.

It is trained in a process of its own that ends: the library takes 100 MB that whoever
watches the year afterwards has no use for.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitor.cli.demo.flights import CATEGORICAL, FEATURES, ZONE, Floats, Year

FOLDS: Final = 5
LATE, ON_TIME = "late", "on_time"

# A month is little: shallow trees of well-filled leaves give an AUC of .721 on the year
# (scikit-learn's defaults .705), and six of them are trained in two seconds.
_SETTINGS: Final = {
    "max_iter": 50,
    "learning_rate": 0.1,
    "max_leaf_nodes": 15,
    "min_samples_leaf": 50,
    "early_stopping": False,
    "random_state": 0,
    # The columns of CATEGORICAL come first.
    "categorical_features": list(range(len(CATEGORICAL))),
}


def score(year: Year) -> Year:
    """The same year with the columns `prediction` ("late" or "on_time") and `score`.

    `score` is the probability of being late, rounded to four digits; January's is out of
    fold (five folds of days), the stream's comes from one model trained on all of January.
    """
    levels = {name: _levels(year.reference[name]) for name in CATEGORICAL}
    days = year.reference["time"].dt.tz_convert(ZONE).dt.day.to_numpy()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        january, stream = process.submit(
            _probabilities,
            _matrix(year.reference, levels),
            year.reference["late"].to_numpy(np.float64),
            days % FOLDS,
            _matrix(year.stream, levels),
        ).result()
    return Year(
        reference=_with_score(year.reference, january),
        stream=_with_score(year.stream, stream),
    )


def _probabilities(
    january: Floats, late: Floats, fold: NDArray[np.integer[Any]], stream: Floats
) -> tuple[Floats, Floats]:
    """How likely each flight of January and each of the stream is late."""
    from threadpoolctl import threadpool_limits

    is_known = ~np.isnan(late)
    out_of_fold = np.zeros(len(late))
    # Threads of OpenMP that wait for each other spin: beside other processes two of them take
    # ten times as long as one alone.
    with threadpool_limits(limits=1, user_api="openmp"):
        for held_out in range(FOLDS):
            rows = fold == held_out
            model = _fit(january[~rows & is_known], late[~rows & is_known])
            out_of_fold[rows] = model.predict_proba(january[rows])[:, 1]
        final = _fit(january[is_known], late[is_known])
        return out_of_fold, final.predict_proba(stream)[:, 1]


def _levels(column: pd.Series[str]) -> dict[str, int]:
    return {value: code for code, value in enumerate(sorted(column.unique()))}


def _matrix(frame: pd.DataFrame, levels: dict[str, dict[str, int]]) -> Floats:
    # A category that January did not know is NaN, which the trees take as missing.
    columns = [
        frame[name].map(levels[name]) if name in levels else frame[name] for name in FEATURES
    ]
    return np.column_stack([column.to_numpy(np.float64) for column in columns])


def _fit(features: Floats, late: Floats) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(**_SETTINGS).fit(features, late)


def _with_score(frame: pd.DataFrame, probability: Floats) -> pd.DataFrame:
    return frame.assign(
        prediction=np.where(probability >= 0.5, LATE, ON_TIME), score=probability.round(4)
    )
