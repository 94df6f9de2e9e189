"""The demo's model: will this flight arrive more than 15 minutes late?

A gradient-boosted classifier that is trained when the demo runs, on January and later on what
is known by then; nothing is precomputed. A reference gets out-of-fold scores: a model looks
better on the days it was trained on than it is, and the stream would seem to drift at once.

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

Numbers = Floats | NDArray[np.float32]
FOLDS: Final = 5
LATE, ON_TIME = "late", "on_time"
_AT_ONCE: Final = 1 << 15  # flights that are scored together

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
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        january, stream = process.submit(
            train, *matrices(year.reference, year.stream), *outcomes(year.reference), FOLDS
        ).result()
    return Year(
        reference=with_score(year.reference, january),
        stream=with_score(year.stream, stream),
    )


def matrices(known: pd.DataFrame, others: pd.DataFrame) -> tuple[Floats, Floats]:
    """The features as numbers, of what a model is trained on and of what it will score."""
    levels = {name: _levels(known[name]) for name in CATEGORICAL}
    return _matrix(known, levels), _matrix(others, levels)


def numbers(frame: pd.DataFrame) -> Floats:
    """The features as numbers; a category that is not learnt is as if it were missing."""
    return _matrix(frame, {name: _levels(frame[name]) for name in CATEGORICAL})


def outcomes(known: pd.DataFrame) -> tuple[Floats, NDArray[np.int64]]:
    """Whether each flight was late, NaN where that is not known, and its local day of the year."""
    days = known["time"].dt.tz_convert(ZONE).dt.day_of_year
    return known["late"].to_numpy(np.float64), days.to_numpy(np.int64)


def train(
    known: Numbers, others: Numbers, late: Floats, day: NDArray[np.int64], folds: int
) -> tuple[Floats, Floats]:
    """How likely each flight is late: of those that are learnt from out of fold, and of others.

    Folds are of whole days, as flights of one day share their weather.
    """
    import sklearn.ensemble  # noqa: F401  the limit reaches libraries that are loaded, no others
    from threadpoolctl import threadpool_limits

    is_known, fold = ~np.isnan(late), day % folds
    out_of_fold = np.zeros(len(late))
    # Threads of OpenMP that wait for each other spin: beside other processes two of them take
    # ten times as long as one alone.
    with threadpool_limits(limits=1, user_api="openmp"):
        for held_out in range(folds):
            rows = fold == held_out
            model = _fit(known[~rows & is_known], late[~rows & is_known])
            out_of_fold[rows] = _probability(model, known[rows])
        return out_of_fold, _probability(_fit(known[is_known], late[is_known]), others)


def is_late(probability: Floats) -> NDArray[np.bool_]:
    """Whether the model says late of flights with such a probability of being so."""
    return probability >= 0.5


def with_score(frame: pd.DataFrame, probability: Floats) -> pd.DataFrame:
    """The frame with the columns `prediction` and `score`, rounded to four digits."""
    verdicts = np.where(is_late(probability), LATE, ON_TIME)
    return frame.assign(prediction=verdicts, score=probability.round(4))


def _levels(column: pd.Series[str]) -> dict[str, int]:
    return {value: code for code, value in enumerate(sorted(column.unique()))}


def _matrix(frame: pd.DataFrame, levels: dict[str, dict[str, int]]) -> Floats:
    # A category that was not learnt is NaN, which the trees take as missing.
    columns = [
        frame[name].map(levels[name]) if name in levels else frame[name] for name in FEATURES
    ]
    return np.column_stack([column.to_numpy(np.float64) for column in columns])


def _fit(features: Numbers, late: Floats) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(**_SETTINGS).fit(features, late)


def _probability(model: Any, features: Numbers) -> Floats:
    """How likely each flight is late; some at a time, as the library copies what it is given."""
    starts = range(0, len(features), _AT_ONCE)
    pieces = [model.predict_proba(features[start : start + _AT_ONCE])[:, 1] for start in starts]
    return np.concatenate([np.zeros(0), *pieces])
