"""Processes as a user starts them tell every series that the shipped rules and dashboard use."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib import resources
from pathlib import Path

import httpx2
import pytest
from fake_source import prediction, small_reference
from kafka import KafkaProducer
from prometheus_client.parser import text_string_to_metric_families

from monitor.cli.broker import ensure_topic
from monitor.cli.processes import free_port
from monitor.storage import engine as storage
from monitor.storage import registry
from monitor.storage.engine import transaction

ROLES = ("ingest", "evaluate", "deliver")
WAIT_S = 60.0


def wait_for(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def answers(url: str, path: str) -> httpx2.Response | None:
    try:
        return httpx2.get(url + path, timeout=5)
    except httpx2.HTTPError:
        return None


def is_ready(url: str) -> bool:
    answer = answers(url, "/readyz")
    return answer is not None and answer.status_code == 200


@contextmanager
def running(role: str, folder: Path, *options: str) -> Iterator[None]:
    command = [sys.executable, "-m", "monitor.cli", role, *options]
    with (folder / f"{role}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stderr=log)
    try:
        yield
        process.terminate()
        assert process.wait(15) == 0, (folder / f"{role}.log").read_text()
    finally:
        process.kill()
        process.wait()


def told(url: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """The series of a process, those without samples among them."""
    answer = answers(url, "/metrics")
    assert answer is not None
    assert answer.status_code == 200
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = {}
        for one in family.samples:
            found.setdefault(one.name, {})[tuple(sorted(one.labels.items()))] = one.value
    return found


@pytest.fixture
def folder(tmp_path: Path, embedded: str) -> Path:
    """A database with a reference, and settings of a topic of its own."""
    topic = f"metrics.{time.time_ns()}"
    (tmp_path / "driftline.toml").write_text(
        f'[kafka]\nbootstrap = "{embedded}"\ntopic = "{topic}"\ngroup = "{topic}"\n'
        "[ingest]\ncheckpoint_interval_s = 0.3\n[evaluate]\ninterval_s = 0.3\n"
    )
    engine = storage.create(f"sqlite:///{tmp_path / 'driftline.db'}")
    storage.upgrade(engine)
    with transaction(engine) as conn:
        registry.register_reference(conn, small_reference(), model="m", version="1", now_ms=1)
    engine.dispose()
    ensure_topic(embedded, topic, 2)
    producer = KafkaProducer(bootstrap_servers=embedded)
    for i in range(60):
        producer.send(topic, prediction(i), partition=i % 2)
    producer.send(topic, b"{", partition=0)
    producer.flush(timeout=30)
    producer.close()
    return tmp_path


def test_every_series_of_rules_and_dashboard_is_told_by_a_live_run(folder: Path) -> None:
    ports = {role: free_port() for role in (*ROLES, "web")}
    urls = {role: f"http://127.0.0.1:{port}" for role, port in ports.items()}
    with ExitStack() as stack:
        for role in ROLES:
            stack.enter_context(running(role, folder, "--metrics-port", str(ports[role])))
        stack.enter_context(running("web", folder, "--port", str(ports["web"])))
        for role, url in urls.items():
            wait_for(lambda url=url: is_ready(url), f"{role} is ready")  # type: ignore[misc]
            answer = answers(url, "/healthz")
            assert answer is not None
            assert answer.status_code == 200
        prediction_labels = (("model", "m"), ("outcome", "prediction"))
        counted = lambda: told(urls["web"]).get("driftline_records_total", {})  # noqa: E731
        wait_for(lambda: counted().get(prediction_labels) == 60, "all are counted")
        wait_for(
            lambda: bool(told(urls["web"])["driftline_evaluator_delay_seconds"]), "it is judged"
        )
        found = {role: told(url) for role, url in urls.items()}
    names = {name for series in found.values() for name in series}
    files = resources.files("monitor.metrics")
    for file in ("rules.yaml", "dashboard.json"):
        used = set(re.findall(r"\b(?:driftline|process)_\w+", files.joinpath(file).read_text()))
        assert used
        assert used <= names, used - names
    web, ingest = found["web"], found["ingest"]
    assert web["driftline_dead_letters_total"] == {(("reason", "bad_json"),): 1}
    assert sum(web["driftline_partition_lag_records"].values()) == 0
    assert len(web["driftline_partition_lag_records"]) == 2
    alive = {dict(labels)["role"]: n for labels, n in web["driftline_role_instances"].items()}
    assert alive == {"ingest": 1, "evaluate": 1, "deliver": 1, "web": 1}
    assert ingest["driftline_checkpoint_seconds_count"][("result", "committed"),] >= 2
    assert ingest["driftline_partitions"] == {
        (("state", "assigned"),): 2, (("state", "claimed"),): 2
    }  # fmt: skip
    for role in ROLES:
        assert found[role]["driftline_rounds_total"][()] > 0
        assert found[role]["driftline_ready"][()] == 1
        assert found[role]["process_resident_memory_bytes"][()] > 1e7
