"""The GitHub workflow in examples/ is sent by a real dispatcher, and its steps run as it says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import uvicorn
import yaml
from sqlalchemy.engine import Engine
from trainer_servers import Github, serving

from driftline import Client
from monitor.alerts import ways_of
from monitor.alerts.dispatch import Dispatcher
from monitor.alerts.guard import networks
from monitor.api.app import create_app
from monitor.clock import SystemClock

EXAMPLES = Path(__file__).parents[2] / "examples"
FILE = EXAMPLES / "github_workflow.yml"
LOCAL = networks("127.0.0.1/32")
# YAML 1.1 reads the key "on" as a truth; GitHub does not.
WORKFLOW: dict[Any, Any] = yaml.safe_load(FILE.read_text())
[JOB] = WORKFLOW["jobs"].values()
STEPS: list[dict[str, Any]] = JOB["steps"]


def evaluated(text: str, known: Mapping[str, Any]) -> str:
    """Return a text with its expressions replaced, as far as the workflow has any."""

    def value(found: re.Match[str]) -> str:
        expression = found[1].strip()
        inner = re.fullmatch(r"toJSON\((.+)\)", expression)
        at: Any = known
        for name in (inner[1] if inner else expression).split("."):
            at = at[name]
        return json.dumps(at) if inner else str(at)

    return re.sub(r"\$\{\{(.+?)\}\}", value, text)


@dataclass
class Repository:
    """A checkout, a service, and what GitHub was sent."""

    client: Client
    url: str
    checkout: Path
    github: Github
    dispatcher: Dispatcher
    data: Path
    said: list[str] = field(default_factory=list)

    def ask(self, model: str) -> int:
        rows = table(7).rename(columns={"delay": "prediction"})
        self.client.register_reference(model, "1", rows, prediction="prediction")
        self.client.set_retraining(model, "hub")
        asked = self.client.ask_retrain(model, reason="a test asks")
        assert asked.request is not None
        while self.dispatcher.step():
            assert self.dispatcher.finish(20)
        return asked.request.id

    def run(self) -> bool:
        """Run the steps of the workflow for the last event; whether none failed."""
        payload = self.github.events[-1]["client_payload"]
        known = {
            "github": {
                "event": {"client_payload": payload}, "server_url": "https://github.com",
                "repository": "acme/models", "run_id": 99,
            },
            "vars": {"DRIFTLINE_URL": self.url, "TRAINING_DATA": str(self.data)},
            "secrets": {"DRIFTLINE_TOKEN": ""},
        }  # fmt: skip
        given = {name: evaluated(text, known) for name, text in JOB["env"].items()}
        environment = {**os.environ, **{k: v for k, v in given.items() if v}}
        is_good = True
        for step in STEPS:
            is_for_failures = "failure()" in step.get("if", "")
            if "run" not in step or step["name"] == "Install" or is_for_failures == is_good:
                continue
            # GitHub's shell of a step.
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]], cwd=self.checkout, env=environment,
                capture_output=True, text=True, timeout=120,
            )  # fmt: skip
            self.said.append(done.stdout + done.stderr)
            is_good = is_good and done.returncode == 0
        return is_good


def table(seed: int) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    n = 2_000
    rows = pd.DataFrame(
        {"distance": draws.integers(80, 2_600, n), "hour": draws.integers(5, 23, n)}
    )
    return rows.assign(delay=rows["hour"] * 2.0 + rows["distance"] * 0.01 + draws.normal(0, 5, n))


@pytest.fixture
def repository(engine: Engine, tmp_path: Path) -> Iterator[Repository]:
    app = create_app(engine, with_dashboard=False, alerts_allow=LOCAL)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    url, github = f"http://127.0.0.1:{sock.getsockname()[1]}", Github()
    shutil.copy(EXAMPLES / "retrain.py", tmp_path)
    data = tmp_path / "flights.csv"
    table(8).to_csv(data, index=False)
    dispatcher = Dispatcher(engine, ways_of(LOCAL), clock=SystemClock())
    try:
        with serving(github) as api, Client(url) as client:
            client.add_endpoint(
                "hub", api, kind="github", secret=github.token,
                trainer={"repository": github.repository},
            )  # fmt: skip
            yield Repository(client, url, tmp_path, github, dispatcher, data)
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        sock.close()


def test_a_request_is_trained_registered_and_reported_by_the_workflow(
    repository: Repository,
) -> None:
    number = repository.ask("a model; $(touch hacked) `touch hacked` \"'")
    before = repository.client.retrain(number)
    assert (before.state, before.run) == ("accepted", None)
    assert "its workflow reports back" in before.events[-1].words
    assert repository.run(), repository.said
    one = repository.client.retrain(number)
    assert (one.state, one.is_open) == ("succeeded", False)
    assert one.live_version is not None and one.live_version.startswith("1-")
    assert one.run is not None and one.run.url == "https://github.com/acme/models/actions/runs/99"
    # GitHub starts it once more where an answer was lost.
    events = [event.state for event in one.events]
    assert repository.run() and "None" in repository.said[-1]
    assert [event.state for event in repository.client.retrain(number).events] == events
    assert not (repository.checkout / "hacked").exists()


def test_a_workflow_that_fails_says_so(repository: Repository) -> None:
    number = repository.ask("flights")
    repository.data.write_text("distance,hour\n1,2\n")
    assert not repository.run()
    one = repository.client.retrain(number)
    assert (one.state, one.is_open) == ("failed", False)
    assert one.events[-1].words == "the workflow failed"


def test_the_workflow_waits_for_the_event_that_is_sent_one_run_of_a_request_at_a_time() -> None:
    assert WORKFLOW[True] == {"repository_dispatch": {"types": ["driftline-retrain"]}}
    assert "client_payload.key" in WORKFLOW["concurrency"]["group"]
    assert "cancel-in-progress" not in WORKFLOW["concurrency"]
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_no_word_of_an_event_becomes_a_part_of_a_command() -> None:
    commands = [step["run"] for step in STEPS if "run" in step]
    assert len(commands) == 3 and not any("${{" in command for command in commands)
