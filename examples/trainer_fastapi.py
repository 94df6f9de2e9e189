"""A trainer with FastAPI: Driftline asks for a retraining, and this trains, reports and registers.

pip install driftline fastapi uvicorn pandas scikit-learn
export WEBHOOK_SECRET=whsec_...              # what `driftline endpoint add` printed
export DRIFTLINE_URL=http://127.0.0.1:8050     # and DRIFTLINE_TOKEN, where the server wants one
export TRAINING_DATA=rows.csv                  # columns: time, x, late
uvicorn trainer_fastapi:app --port 9000
"""

import os
from typing import Any

import pandas as pd
from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from sklearn.linear_model import LogisticRegression

from driftline import Client, WebhookVerificationError, verify_webhook

SECRETS = os.environ["WEBHOOK_SECRET"].split()
URL = os.environ.get("DRIFTLINE_URL", "http://127.0.0.1:8050")

app = FastAPI()


@app.post("/train", status_code=202)
async def train(request: Request, background: BackgroundTasks) -> None:
    """Take a request; train when it is answered, so that it is not sent again meanwhile."""
    try:
        message = verify_webhook(request.headers, await request.body(), SECRETS)
    except WebhookVerificationError as error:
        raise HTTPException(400, error.reason) from error
    if message.type == "retrain.requested":
        background.add_task(retrain, message.raw["data"])


def retrain(asked: dict[str, Any]) -> None:
    """Train once for a request, and say how it comes on."""
    number = asked["request_id"]
    with Client(URL) as driftline:
        if driftline.retrain(number).state not in ("requested", "accepted"):
            return  # sent again: another attempt is at it, or was
        driftline.report_retrain(number, "running")
        try:
            version, rows = fit(asked)
        except Exception as error:
            driftline.report_retrain(number, "failed", message=repr(error)[:500])
            raise
        driftline.report_retrain(number, "succeeded", version=version)
        # Its reference judges the new version, which takes over from the old one.
        driftline.register_reference(
            asked["model"], version, rows, prediction="prediction", timestamp="time",
            replaces=asked["version"],
        )  # fmt: skip


def fit(asked: dict[str, Any]) -> tuple[str, pd.DataFrame]:
    """Train on what was known when it was asked; return the new version and its training rows."""
    rows = pd.read_csv(os.environ["TRAINING_DATA"], parse_dates=["time"])
    rows = rows[rows["time"] < asked["evidence"]["until"]]
    model = LogisticRegression().fit(rows[["x"]], rows["late"])
    # A real trainer keeps the model where its service finds it, under this name.
    version = f"{asked['version']}+{asked['request_id']}"
    print(f"{asked['model']} {version}: {asked['reason']}", flush=True)
    return version, rows[["time", "x"]].assign(prediction=model.predict_proba(rows[["x"]])[:, 1])
