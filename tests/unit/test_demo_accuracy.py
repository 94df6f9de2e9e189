"""The demo's AUC is the one that everybody means."""

from __future__ import annotations

import doctest

import numpy as np
import pytest

from monitor.cli.demo import accuracy
from monitor.cli.demo.accuracy import auc


@pytest.mark.parametrize("decimals", [1, 4, 12])
def test_it_equals_scikit_learn_s_with_and_without_ties(decimals: int) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(7)
    late = (rng.random(5_000) < 0.24) * 1.0
    score = (rng.random(5_000) * 0.8 + late * 0.2).round(decimals)
    assert auc(late, score) == pytest.approx(roc_auc_score(late, score), abs=1e-12)
    unknown = rng.random(5_000) < 0.1
    seen = ~unknown
    expected = roc_auc_score(late[seen], score[seen])
    assert auc(np.where(unknown, np.nan, late), score) == pytest.approx(expected, abs=1e-12)


def test_flights_of_one_kind_alone_have_none() -> None:
    assert np.isnan(auc(np.array([1.0, np.nan]), np.array([0.3, 0.4])))
    assert np.isnan(auc(np.array([]), np.array([])))


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(accuracy, extraglobs={"np": np}).failed == 0
