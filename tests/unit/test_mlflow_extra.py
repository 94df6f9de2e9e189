"""What of `driftline.mlflow` needs no MLflow: what is written, and what it says without one.

A real MLflow is asked by `make test-targets`.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from driftline import Client, MissingExtra, mlflow
from driftline.answers import Finding


def finding(feature: str, psi: float | None, *, is_alarming: bool = False) -> Finding:
    names = dict.fromkeys(Finding.__slots__)
    made: Any = Finding(**names)  # type: ignore[arg-type]
    found: Finding = replace(made, feature=feature, psi=psi, is_alarming=is_alarming)
    return found


def test_figures_are_metrics_under_keys_that_mlflow_takes() -> None:
    found = mlflow._metrics(
        [
            finding("x", 0.25, is_alarming=True),
            finding("price (€)", 0.5),
            finding("price (£)", 0.125),
            finding("y", None, is_alarming=True),
            finding("z", math.nan),
            finding("..", 0.0),
        ],
        3,
    )
    assert found == {
        "driftline/psi/x": 0.25,
        "driftline/psi/price _": 0.5,
        "driftline/psi/price _-2": 0.125,
        "driftline/psi/_": 0.0,
        "driftline/psi_max": 0.5,
        "driftline/features_drifted": 2.0,
        "driftline/incidents_open": 3.0,
    }
    assert mlflow._metrics([], 0) == {
        "driftline/features_drifted": 0.0,
        "driftline/incidents_open": 0.0,
    }


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="MLflow is installed")
@pytest.mark.parametrize(
    "ask",
    [
        lambda client: mlflow.reference_from_run(client, "r", "m", "1"),
        lambda client: mlflow.reference_from_model_version(client, "m", 1),
        lambda client: mlflow.log_drift(client, "m", 1),
    ],
)
def test_without_mlflow_it_says_what_to_install(ask: Callable[[Client], object]) -> None:
    with (
        Client("http://127.0.0.1:1") as client,
        pytest.raises(MissingExtra, match=r"needs MLflow: pip install 'driftline\[mlflow\]'"),
    ):
        ask(client)
