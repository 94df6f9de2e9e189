"""A real MLflow promotes versions by an alias, gives references, and is told of drift."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import living_database
import mlflows
import numpy as np
import pandas as pd
import pytest
from mlflows import MLflow
from receivers import receiving
from serving import served
from sqlalchemy.engine import Engine

from driftline import Client, answers
from monitor.api.mlflow import signature_of
from monitor.clock import SystemClock
from monitor.storage import engine as storage

MODEL = living_database.Names().model
REGISTERED = "prod.parcel_delay"
if "mlflow" not in os.environ.get("DRIFTLINE_TARGETS_ONLY", "mlflow").split(","):
    pytest.skip("not asked for", allow_module_level=True)

VERSIONS = """
experiment = service.create_experiment("parcels")
service.create_registered_model(given["name"])
runs = []
for number in range(3):
    run = service.create_run(experiment)
    runs.append(run.info.run_id)
    service.create_model_version(
        given["name"], source=f"{run.info.artifact_uri}/model", run_id=run.info.run_id
    )
print(json.dumps(runs))
"""
WEBHOOK = """
service.create_webhook(
    name=given["name"], url=given["url"], events=["model_version_alias.created"],
    secret=given["secret"],
)
"""
ALIAS = 'service.set_registered_model_alias(given["name"], given["alias"], given["version"])'
ARTIFACT = """
run = service.create_run(service.create_experiment(given["name"]))
for path in given["paths"]:
    service.log_artifact(run.info.run_id, path, "data")
print(json.dumps(run.info.run_id))
"""
DATASET = """
mlflow.set_experiment(given["name"])
import pandas
with mlflow.start_run() as run:
    for one in given["datasets"]:
        frame = pandas.read_parquet(one["path"])
        source = one["source"]
        made = mlflow.data.from_pandas(frame, source=source, name=one["name"])
        mlflow.log_input(made, context=one["context"])
print(json.dumps(run.info.run_id))
"""
REFERENCE = """
from driftline import Client, mlflow as ours
with Client(given["url"]) as client:
    try:
        if "registered" in given:
            made = ours.reference_from_model_version(client, **given["registered"])
        else:
            made = ours.reference_from_run(client, **given["run"])
        print(json.dumps({"digest": made.digest, "rows": made.rows, "created": made.created}))
    except Exception as error:
        print(json.dumps({"error": type(error).__name__, "why": str(error)}))
"""
DRIFT = """
from driftline import Client, mlflow as ours
with Client(given["url"]) as client:
    done = ours.log_drift(client, given["model"], given["version"], registered=given["name"])
run = service.get_run(done.run_id)
psi = service.get_metric_history(done.run_id, "driftline/psi_max")
version = service.get_model_version(given["name"], given["version"])
print(json.dumps({
    "is_new": done.is_new, "metrics": run.data.metrics, "told": dict(done.metrics),
    "history": [[one.timestamp, one.value] for one in psi], "tags": version.tags,
    "end": int(done.end.timestamp() * 1000),
}))
"""


@pytest.fixture(scope="module")
def mlflow(environments: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflow]:
    home = tmp_path_factory.mktemp("mlflow")
    with mlflows.running(environments / "mlflow", home) as found:
        yield found


@dataclass
class World:
    url: str
    engine: Engine
    client: Client
    mlflow: MLflow
    runs: list[str]
    secret: str = ""

    def alias(self, version: str, alias: str = "champion") -> None:
        self.mlflow.run(ALIAS, name=REGISTERED, alias=alias, version=version)

    def wait(self, is_so: Callable[[list[answers.Promotion]], Any]) -> list[answers.Promotion]:
        deadline_s = time.monotonic() + 30
        while not is_so(found := self.client.promotions(MODEL)):
            assert time.monotonic() < deadline_s, found
            time.sleep(0.1)
        return found


@pytest.fixture(scope="module")
def world(
    mlflow: MLflow, living_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """A Driftline that knows versions 1 and 2 of a model, and an MLflow that knows 3 of them."""
    file = tmp_path_factory.mktemp("driftline") / "living.db"
    file.write_bytes(living_file.read_bytes())
    engine = storage.create(f"sqlite:///{file}")
    runs = mlflow.run(VERSIONS, name=REGISTERED)
    try:
        with served(engine, SystemClock()) as url, Client(url) as client:
            made = client.add_hook("registry", MODEL, registered=REGISTERED)
            assert made.secret is not None
            mlflow.run(WEBHOOK, name="driftline", url=made.url, secret=made.secret)
            yield World(url, engine, client, mlflow, runs, made.secret)
    finally:
        engine.dispose()


def test_an_alias_that_is_set_promotes(world: World) -> None:
    world.alias("1", "challenger")
    world.alias("1")
    live, before = world.wait(lambda found: found[0].version == "1")
    assert (live.state, live.replaces, live.source, live.by) == (
        "live", "2", "mlflow", "mlflow:registry",
    )  # fmt: skip
    assert (before.version, before.state) == ("2", "ended")
    # The same alias again is another delivery, and changes nothing.
    world.alias("1")
    deadline_s = time.monotonic() + 30
    while (hook := world.client.hooks()[0]).accepted < 3:
        assert time.monotonic() < deadline_s, hook
        time.sleep(0.1)
    assert hook.refused == 0
    assert len(world.client.promotions(MODEL)) == 2


def test_a_version_without_a_reference_waits_for_it(world: World, tmp_path: Path) -> None:
    world.alias("3")
    waits = world.wait(lambda found: found[0].version == "3")[0]
    assert (waits.state, waits.effective) == ("pending", None)
    digest = world.client.model(MODEL).versions[0].bindings[0].reference_digest
    reference = world.client.reference_document(digest)
    body = {"model": MODEL, "version": "3", "reference": None}
    text = json.dumps(body).replace("null", reference.to_document().decode())
    answer = httpx2.post(
        f"{world.url}/api/v1/references", content=text,
        headers={"content-type": "application/json"}, timeout=30,
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    live = world.client.promotions(MODEL)[0]
    assert (live.version, live.state, live.source) == ("3", "live", "mlflow")


def test_what_mlflow_sent_is_done_once_and_not_otherwise(world: World) -> None:
    """A second webhook with the same secret shows what MLflow sends; it is sent on by hand."""
    with receiving() as spy:
        world.mlflow.run(WEBHOOK, name="spy", url=f"{spy.url}/hook", secret=world.secret)
        world.alias("2")
        world.wait(lambda found: found[0].version == "2")
        sent = spy.wait_for(1, 30)[0]
    hook = f"{world.url}/api/v1/hooks/mlflow/registry"
    headers = {name: value for name, value in sent.headers.items() if name.startswith("x-mlflow")}
    assert set(headers) == {"x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature"}
    assert headers["x-mlflow-signature"] == signature_of(
        world.secret, headers["x-mlflow-delivery-id"], headers["x-mlflow-timestamp"], sent.body
    )
    count = len(world.client.promotions(MODEL))
    first = httpx2.post(hook, content=sent.body, headers=headers, timeout=30)
    assert (first.status_code, first.json()["outcome"]) == (200, "unchanged"), first.text
    world.client.promote(MODEL, "1")
    again = httpx2.post(hook, content=sent.body, headers=headers, timeout=30)
    assert (again.status_code, again.json()["replayed"]) == (200, True)
    assert len(world.client.promotions(MODEL)) == count + 1
    assert world.client.promotions(MODEL)[0].version == "1"
    forged = httpx2.post(
        hook, content=sent.body.replace(b'"2"', b'"3"'), headers=headers, timeout=30
    )
    assert forged.status_code == 401
    assert world.client.hooks()[0].refused == 1


def test_drift_is_written_to_the_run_and_the_version_once(world: World) -> None:
    given = {"url": world.url, "model": MODEL, "version": "2", "name": REGISTERED}
    first = world.mlflow.run(DRIFT, **given)
    findings = list(world.client.findings(MODEL, version="2"))
    last = max(one.start for one in findings)
    psi = {one.feature: one.psi for one in findings if one.start == last and one.psi is not None}
    assert first["is_new"]
    assert first["metrics"]["driftline/psi_max"] == pytest.approx(max(psi.values()))
    assert first["metrics"]["driftline/psi/weight"] == pytest.approx(psi["weight"])
    assert first["metrics"] == pytest.approx(first["told"])
    assert first["metrics"]["driftline/incidents_open"] >= 1
    assert first["history"] == [[first["end"], first["metrics"]["driftline/psi_max"]]]
    assert first["tags"]["driftline.worst"] == max(psi, key=psi.__getitem__)
    assert first["tags"]["driftline.url"].startswith(f"{world.url}/models/{MODEL}")
    again = world.mlflow.run(DRIFT, **given)
    assert not again["is_new"]
    assert (again["history"], again["tags"]) == (first["history"], first["tags"])


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """A training frame as a Parquet file."""
    draw = np.random.default_rng(3)
    frame = pd.DataFrame({"x": draw.normal(size=2_000), "c": draw.choice(["a", "b"], size=2_000)})
    path = tmp_path / "training.parquet"
    frame.to_parquet(path)
    return path


def reference(world: World, **given: Any) -> Any:
    return world.mlflow.run(REFERENCE, url=world.url, **given)


def test_a_reference_comes_from_a_logged_artifact(world: World, training: Path) -> None:
    run = world.mlflow.run(ARTIFACT, name="one", paths=[str(training)])
    found = reference(world, run={"run_id": run, "model": "from-run", "version": "1"})
    assert (found["rows"], found["created"]) == (2_000, True)
    frame = pd.read_parquet(training)
    same = world.client.register_reference("from-run", "1", frame)
    assert (same.digest, same.created) == (found["digest"], False)
    assert {one.feature for one in world.client.features("from-run")} == {"x", "c"}
    missing = reference(
        world, run={"run_id": run, "model": "m", "version": "1", "artifact": "data/none.parquet"}
    )
    assert missing["error"] == "InvalidReference"
    assert "no artifact 'data/none.parquet'" in missing["why"]


def test_a_reference_comes_from_a_logged_dataset_that_can_be_loaded(
    world: World, training: Path, tmp_path: Path
) -> None:
    datasets = [
        {"name": "train", "path": str(training), "source": str(training), "context": "training"},
        {"name": "eval", "path": str(training), "source": str(training), "context": "eval"},
    ]
    run = world.mlflow.run(DATASET, name="two", datasets=datasets)
    found = reference(world, run={"run_id": run, "model": "from-data", "version": "1"})
    assert found["rows"] == 2_000, found
    # Its source is another one by now.
    pd.read_parquet(training).head(1_500).to_parquet(training)
    moved = reference(world, run={"run_id": run, "model": "from-data", "version": "2"})
    assert moved["error"] == "InvalidReference"
    assert "had 2,000 rows when it was logged, and its source has 1,500 now" in moved["why"]
    unknown = reference(
        world, run={"run_id": run, "model": "m", "version": "1", "dataset": "third"}
    )
    assert "it has 'train', 'eval'" in unknown["why"] or "it has 'eval', 'train'" in unknown["why"]


def test_a_run_without_a_table_says_what_it_has(world: World, training: Path) -> None:
    bare = reference(
        world,
        registered={"name": REGISTERED, "version": "1", "model": "bare"},
    )
    assert bare["error"] == "InvalidReference"
    assert "it has neither a Parquet artifact nor a dataset" in bare["why"]
    assert "frame.to_parquet" in bare["why"]
    other = training.with_name("other.parquet")
    other.write_bytes(training.read_bytes())
    run = world.mlflow.run(ARTIFACT, name="three", paths=[str(training), str(other)])
    two = reference(world, run={"run_id": run, "model": "bare", "version": "1"})
    assert "its Parquet files are 'data/other.parquet', 'data/training.parquet'" in two["why"]
