"""How good scores were, once the outcomes are known."""

from __future__ import annotations

import numpy as np

from monitor.cli.demo.flights import Floats


def auc(late: Floats, score: Floats) -> float:
    """The area under the ROC curve: how often a late flight had a higher score than one on time.

    Equal scores count half. 0.5 = guessed, 1 = perfect; NaN where either kind is missing.

    Parameters
    ----------
    late
        1 or 0 for each flight, shape (n,), NaN where its outcome is not known: left out.
    score
        Of each flight, shape (n,).

    Examples
    --------
    >>> auc(np.array([0, 0, 1, 1, np.nan]), np.array([0.1, 0.4, 0.35, 0.8, 0.9]))
    0.75
    """
    is_known = ~np.isnan(late)
    outcome, known = late[is_known] == 1, score[is_known]
    n_late = int(outcome.sum())
    n_on_time = len(outcome) - n_late
    if not n_late or not n_on_time:
        return float("nan")
    _, place, count = np.unique(known, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    above = ranks[outcome].sum() - n_late * (n_late + 1) / 2
    return float(above / (n_late * n_on_time))
