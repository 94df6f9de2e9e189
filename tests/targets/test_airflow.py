"""A real Airflow, 3 and 2, is asked for a training, does it, and is followed to its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import airflows
import numpy as np
import pandas as pd
import pytest
from airflows import USERS, Airflow
from target_service import Service

from driftline import Client, answers

PASSWORD = USERS["drift"][1]
_ASKED = os.environ.get("DRIFTLINE_TARGETS_ONLY", "airflow3,airflow2").split(",")
TARGETS = [name for name in ("airflow3", "airflow2") if name in _ASKED]
# A run on a busy machine: the scheduler's round, the task's process, and a look of ours.
_RUN_S = 180


@dataclass
class World:
    service: Service
    airflow: Airflow
    client: Client

    def trainer(self, name: str, dag: str, user: str = "drift", password: str = PASSWORD) -> None:
        self.client.add_endpoint(
            name, self.airflow.url, kind="airflow", secret=password,
            trainer={"dag": dag, "user": user},
        )  # fmt: skip

    def ask(self, model: str, trainer: str) -> int:
        """Ask for a retraining of a model whose version 1 is there; return its number."""
        self.client.register_reference(model, "1", rows(7), prediction="prediction")
        self.client.set_retraining(model, trainer)
        asked = self.client.ask_retrain(model, reason="a test asks")
        assert asked.request is not None
        return asked.request.id

    def wait(self, number: int, is_so: Callable[[answers.Retrain], bool]) -> answers.Retrain:
        deadline_s = time.monotonic() + _RUN_S
        while not is_so(one := self.client.retrain(number)):
            assert time.monotonic() < deadline_s, one
            time.sleep(0.5)
        return one


def rows(seed: int, with_prediction: bool = True) -> pd.DataFrame:
    draws = np.random.default_rng(seed)
    n = 2_000
    table = pd.DataFrame(
        {"distance": draws.integers(80, 2_600, n), "hour": draws.integers(5, 23, n)}
    )
    delay = table["hour"] * 2.0 + table["distance"] * 0.01 + draws.normal(0, 5, n)
    return table.assign(**{"prediction" if with_prediction else "delay": delay})


@pytest.fixture(scope="module", params=TARGETS)
def world(
    request: pytest.FixtureRequest,
    service: Service,
    environments: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    home = tmp_path_factory.mktemp(request.param)
    data = home / "flights.csv"
    rows(8, with_prediction=False).to_csv(data, index=False)
    told = {"DRIFTLINE_URL": service.url, "TRAINING_DATA": str(data)}
    with (
        airflows.running(environments / request.param, home, told) as airflow,
        service.client() as client,
    ):
        yield World(service, airflow, client)


def test_a_request_is_a_run_that_trains_registers_and_ends_it(world: World) -> None:
    major = world.airflow.major
    world.trainer(f"good{major}", "driftline_retrain")
    tried = world.client.test_endpoint(f"good{major}", timeout_s=60)
    assert tried.state == "delivered", tried
    assert f"of Airflow {major} is there, and user drift may start it" in tried.tried[0].response
    assert world.airflow.runs("driftline_retrain") == []
    number = world.ask(f"flights{major}", f"good{major}")
    one = world.wait(number, lambda one: not one.is_open)
    assert one.state == "succeeded" and one.live_version is not None
    assert one.live_version.startswith("1-") and one.run is not None
    assert world.airflow.runs("driftline_retrain") == [one.run.id]
    deadline_s = time.monotonic() + _RUN_S
    path = f"/dags/driftline_retrain/dagRuns/{one.run.id}"
    while (state := world.airflow.call("GET", path).json()["state"]) in ("queued", "running"):
        assert time.monotonic() < deadline_s
        time.sleep(0.5)
    assert state == "success"
    assert [event.state for event in one.events][:2] == ["requested", "accepted"]
    assert {"running", "live"} <= {event.state for event in one.events}
    versions = {each.version for each in world.client.model(f"flights{major}").versions}
    assert versions == {"1", one.live_version}
    # Sent again, it is the run that is there.
    [sent] = [
        each for each in world.client.deliveries(f"good{major}") if each.type == "retrain.requested"
    ]
    world.client.redeliver(sent.id)
    deadline_s = time.monotonic() + 60
    while (again := world.client.delivery(sent.id)).state == "pending":
        assert time.monotonic() < deadline_s
        time.sleep(0.2)
    assert again.state == "delivered" and len(again.tried) == 2, again
    assert world.airflow.runs("driftline_retrain") == [one.run.id]


def test_a_paused_dag_takes_the_request_and_says_so_until_it_is_unpaused(world: World) -> None:
    major = world.airflow.major
    world.trainer(f"asleep{major}", "asleep")
    tried = world.client.test_endpoint(f"asleep{major}", timeout_s=60)
    assert tried.state == "dead" and "DAG asleep is paused" in tried.error
    number = world.ask(f"sleepers{major}", f"asleep{major}")
    one = world.wait(number, lambda one: one.state == "accepted")
    assert "DAG asleep is paused" in one.events[-1].words
    time.sleep(6)
    assert world.client.retrain(number).state == "accepted"
    world.airflow.call("PATCH", "/dags/asleep", {"is_paused": False}).raise_for_status()
    one = world.wait(number, lambda one: not one.is_open)
    assert one.state == "succeeded" and one.live_version is not None


def test_a_deleted_run_ends_its_request_in_words(world: World) -> None:
    major = world.airflow.major
    world.airflow.call("PATCH", "/dags/asleep", {"is_paused": True}).raise_for_status()
    world.trainer(f"gone{major}", "asleep")
    number = world.ask(f"goners{major}", f"gone{major}")
    one = world.wait(number, lambda one: one.run is not None)
    assert one.run is not None
    world.airflow.call("DELETE", f"/dags/asleep/dagRuns/{one.run.id}").raise_for_status()
    one = world.wait(number, lambda one: not one.is_open)
    assert one.state == "failed" and "it was deleted" in one.events[-1].words


@pytest.mark.parametrize(
    ("name", "dag", "user", "password", "words"),
    [
        ("unknown", "retrian", "drift", PASSWORD, "knows no DAG retrian"),
        ("viewer", "driftline_retrain", "look", USERS["look"][1], "no right to start runs"),
        ("wrong", "driftline_retrain", "drift", "nope", "password is another"),
        ("nobody", "driftline_retrain", "nobody", "nope", "password is another"),
    ],
)
def test_what_it_refuses_is_said_in_words_and_starts_nothing(
    world: World, name: str, dag: str, user: str, password: str, words: str
) -> None:
    before = world.airflow.runs("driftline_retrain")
    trainer = f"{name}{world.airflow.major}"
    world.trainer(trainer, dag, user, password)
    tried = world.client.test_endpoint(trainer, timeout_s=60)
    assert tried.state == "dead" and words in (tried.error or ""), tried
    number = world.ask(f"{name}s{world.airflow.major}", trainer)
    deadline_s = time.monotonic() + 60
    while True:
        sent = [d for d in world.client.deliveries(trainer) if d.type == "retrain.requested"]
        if sent and sent[0].error:
            break
        assert time.monotonic() < deadline_s, sent
        time.sleep(0.2)
    assert words in sent[0].error and world.client.retrain(number).state == "requested"
    assert world.airflow.runs("driftline_retrain") == before
    world.client.disable_endpoint(trainer)
