"""A retraining that Driftline asked for: train, register the new version, report.

An Airflow DAG (airflow_dag.py) and a GitHub workflow (github_workflow.yml) run it; a Databricks
job or a receiver of webhooks can, too. What differs is only how the request comes in.

pip install 'driftline[arrow]'
export DRIFTLINE_URL=https://driftline.example DRIFTLINE_TOKEN=...
export TRAINING_DATA=/data/flights.csv     # columns distance, hour, delay
export REQUEST='{"request_id": 7, "key": "9b1d...", "model": "flights", "version": "3"}'
python retrain.py                          # or: python retrain.py --failed "out of memory"
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from driftline import Client

FEATURES = ["distance", "hour"]


def connect() -> Client:
    """Return a client of the service that asked."""
    return Client(os.environ["DRIFTLINE_URL"], token=os.environ.get("DRIFTLINE_TOKEN"))


def train(data: pa.Table) -> np.ndarray:
    """Fit the model; here the delay by distance and hour. Yours goes here."""
    rows = np.column_stack([data[name].to_numpy() for name in FEATURES] + [np.ones(len(data))])
    return np.linalg.lstsq(rows, data["delay"].to_numpy(), rcond=None)[0]


def predict(weights: np.ndarray, data: pa.Table) -> np.ndarray:
    """Return what the model says of each row."""
    return (
        sum(w * data[name].to_numpy() for w, name in zip(weights, FEATURES, strict=False))
        + (weights[-1])
    )


def retrain(asked: Mapping[str, Any], run_url: str | None = None) -> str | None:
    """Train what a request asks for; return the new version, None where it is over already.

    What goes wrong is not caught: who runs this tries again, and says in the end that it failed.
    """
    number, old = asked["request_id"], asked["version"]
    # The same request has the same new version, however often it is run.
    version = f"{old}-{asked['key'][:8]}"
    with connect() as client:
        if not client.retrain(number).is_open:
            return None
        client.report_retrain(number, "running", run_url=run_url)
        # Yours is what happened before asked["evidence"]["until"], by the time of its events.
        data = csv.read_csv(os.environ["TRAINING_DATA"])
        weights = train(data)
        # Put the model where it is served from; then Driftline learns what it was trained on.
        told = data.select(FEATURES).append_column("prediction", pa.array(predict(weights, data)))
        client.register_reference(
            asked["model"], version, told, prediction="prediction", replaces=old
        )
        client.report_retrain(number, "succeeded", version=version)
    return version


if __name__ == "__main__":
    request, page = json.loads(os.environ["REQUEST"]), os.environ.get("RUN_URL")
    if sys.argv[1:2] == ["--failed"]:
        with connect() as service:
            why = " ".join(sys.argv[2:]) or "the training failed"
            service.report_retrain(request["request_id"], "failed", message=why, run_url=page)
    else:
        print(f"registered as version {retrain(request, page)}")
