"""The trainer in examples/ as a process of its own: asked, it trains, reports and takes over."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import uvicorn
from sqlalchemy.engine import Engine

from driftline import Client
from driftline.webhooks import new_secret
from monitor.alerts import Dispatcher, Poster
from monitor.alerts.guard import networks
from monitor.api.app import create_app
from monitor.cli.processes import free_port
from monitor.clock import SystemClock

EXAMPLES = Path(__file__).parents[2] / "examples"
SECRET = new_secret()
LOCAL = networks("127.0.0.1/32")


@contextmanager
def server(engine: Engine) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    app = create_app(engine, with_dashboard=False, alerts_allow=LOCAL, public_url=url)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning")
    running, sock = uvicorn.Server(config), config.bind_socket()
    thread = threading.Thread(target=running.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    yield url
    running.should_exit = True
    thread.join(timeout=10)
    sock.close()


@contextmanager
def trainer(url: str, data: Path, log: Path) -> Iterator[str]:
    port = free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "trainer_fastapi:app", "--port", str(port)],
            cwd=EXAMPLES,
            env={
                **os.environ,
                "WEBHOOK_SECRET": SECRET,
                "DRIFTLINE_URL": url,
                "TRAINING_DATA": str(data),
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{port}/train"
        deadline_s = time.monotonic() + 60
        while Poster(LOCAL)(address, {}, b"").status is None:
            assert process.poll() is None and time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.05)
        yield address
    finally:
        process.kill()
        process.wait(10)


def rows(count: int = 3_000) -> pd.DataFrame:
    draw = np.random.default_rng(1)
    x = draw.normal(size=count)
    return pd.DataFrame(
        {
            "time": pd.date_range("2025-01-01", periods=count, freq="10min", tz="UTC"),
            "x": x,
            "late": (x + draw.normal(size=count) > 0).astype(int),
        }
    )


@pytest.mark.parametrize("is_broken", [False, True])
def test_what_is_asked_for_is_trained_and_takes_over(
    engine: Engine, tmp_path: Path, is_broken: bool
) -> None:
    data, log = tmp_path / "rows.csv", tmp_path / "trainer.log"
    frame = rows()
    (frame.drop(columns="late") if is_broken else frame).to_csv(data, index=False)
    with server(engine) as url, trainer(url, data, log) as address, Client(url) as client:
        client.register_reference("m", "1", frame[["time", "x"]], timestamp="time")
        client.add_endpoint("trainer", address, secret=SECRET)
        client.set_retraining("m", "trainer")
        asked = client.ask_retrain("m", reason="labels came in", by="Mo").request
        assert asked is not None
        dispatcher = Dispatcher(engine, Poster(LOCAL), clock=SystemClock())
        assert dispatcher.step() == 1 and dispatcher.finish(30)
        deadline_s = time.monotonic() + 60
        while client.retrain(asked.id).ended is None:
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.05)
        done = client.retrain(asked.id)
        said = [(event.state, event.actor) for event in done.events]
        if is_broken:
            assert done.state == "failed" and "late" in done.events[-1].words
            return
        assert (done.state, done.made_version, done.live_version) == ("succeeded", "1+1", "1+1")
        assert ("requested", "Mo") in said and ("accepted", "trainer") in said
        assert [state for state, _ in said if state != "accepted"] == [
            "requested", "running", "succeeded", "live",
        ]  # fmt: skip
        assert "m 1+1: labels came in" in log.read_text()
        assert client.model("m").versions[0].version == "1+1"
