"""The breaker as a person meets it: exit code 3, every page that says so, and how it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from kafka import KafkaProducer

from monitor.cli import STOPPED
from monitor.cli.processes import free_port

DRIFTLINE = [sys.executable, "-m", "monitor.cli"]
WAIT_S = 60.0
BAD, GOOD = 4_000, 300


def driftline(*words: str, cwd: Path, **said: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DRIFTLINE, *words], cwd=cwd, env={**os.environ, **said}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def wait_until(is_so: Callable[[], Any], what: Callable[[], object]) -> Any:
    deadline = time.monotonic() + WAIT_S
    while not (found := is_so()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)
    return found


def write(bootstrap: str, n_bad: int, n_good: int) -> None:
    """Write what cannot be read, then events of a model that nobody registered."""
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for n in range(n_bad):
        producer.send("driftline.events", f"no json {n}".encode())
    event = {"type": "prediction", "model": "m", "version": "1", "prediction": 1}
    for n in range(n_good):
        record = {**event, "id": n, "time": "2025-06-01T00:00:00Z"}
        producer.send("driftline.events", json.dumps(record).encode())
    producer.flush(30)
    producer.close()


@contextmanager
def up(cwd: Path, broker: int, web: int) -> Iterator[subprocess.Popen[str]]:
    said = {"DRIFTLINE_INGEST__CHECKPOINT_INTERVAL_S": "0.5"}
    with (cwd / "up.log").open("w") as log:
        process = subprocess.Popen(
            [*DRIFTLINE, "up", "--broker-port", str(broker), "--port", str(web)],
            cwd=cwd, env={**os.environ, **said}, stderr=log, text=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_up_stops_counting_tells_it_everywhere_and_goes_on_when_accepted(tmp_path: Path) -> None:
    broker, web = free_port(), free_port()
    url = f"http://127.0.0.1:{web}"
    log = tmp_path / "up.log"

    def status() -> dict[str, Any]:
        done = driftline("status", "--json", cwd=tmp_path)
        return dict(json.loads(done.stdout)) if done.returncode == 0 else {}

    def stops() -> list[str]:
        try:
            found = httpx2.get(f"{url}/api/v1/pipeline", timeout=5).json()
            return [stop["topic"] for stop in found.get("stopped", [])]
        except httpx2.HTTPError:
            return []

    with up(tmp_path, broker, web) as process:
        wait_until(lambda: "dashboard and API at" in log.read_text(), log.read_text)
        write(f"127.0.0.1:{broker}", BAD, 0)
        assert wait_until(stops, log.read_text) == ["driftline.events"]
        wait_until(
            lambda: "counting has stopped, the rest goes on" in log.read_text(), log.read_text
        )
        # The others go on: the tree has not ended, and the pages are there.
        assert process.poll() is None
        before = status()
        (stop,) = before["stopped"]
        assert stop["undecodable"] > stop["events"] / 2 >= 500
        assert sum(before["dead_letters"].values()) < BAD
        pipeline = httpx2.get(f"{url}/api/v1/pipeline", timeout=10).json()
        assert pipeline["stopped"][0]["reasons"] == {"bad_json": stop["undecodable"]}
        assert pipeline["stopped"][0]["samples"][0]["reason"] == "bad_json"
        shown = driftline("status", cwd=tmp_path).stdout
        assert "STOPPED: of the last" in shown
        told = driftline(
            "doctor", "--kafka", f"127.0.0.1:{broker}", cwd=tmp_path, DRIFTLINE_WEB__PORT=str(web)
        )
        assert "FAIL ingest" in told.stdout
        assert "cannot be read" in told.stdout
        assert told.returncode == 1
        write(f"127.0.0.1:{broker}", 0, GOOD)
        done = driftline("dead-letter", "accept", "--url", url, cwd=tmp_path)
        assert (done.returncode, done.stdout.split(" may go on")[0]) == (0, "driftline.events")

        def is_counted() -> bool:
            found = status()
            dead = sum(found["dead_letters"].values())
            return dead == BAD and found["counters"].get("unmonitored") == GOOD

        wait_until(is_counted, lambda: (status(), log.read_text()))
        assert "counting goes on" in log.read_text()
        assert stops() == []
        assert driftline("dead-letter", "accept", "--url", url, cwd=tmp_path).stdout == (
            "no consumer has stopped\n"
        )


def test_ingest_ends_with_a_code_of_its_own_and_is_let_go_on_by_an_option(
    tmp_path: Path, embedded: str
) -> None:
    topic = f"driftline.flood.{os.getpid()}"
    said = {
        "DRIFTLINE_KAFKA__TOPIC": topic,
        "DRIFTLINE_KAFKA__BOOTSTRAP": embedded,
        "DRIFTLINE_INGEST__CHECKPOINT_INTERVAL_S": "0.5",
    }
    assert driftline("db", "upgrade", cwd=tmp_path).returncode == 0
    assert driftline("topic", "create", cwd=tmp_path, **said).returncode == 0
    producer = KafkaProducer(bootstrap_servers=embedded)
    for n in range(BAD):
        producer.send(topic, f"no json {n}".encode())
    producer.flush(30)
    producer.close()
    first = driftline("ingest", cwd=tmp_path, **said)
    assert first.returncode == STOPPED, first.stderr
    words = first.stderr.splitlines()[-1]
    assert words.startswith("driftline: stopped: of the last")
    assert "bad_json" in words
    # Whatever starts it again, it does not burn: it ends before it joins, for the same reason.
    second = driftline("ingest", cwd=tmp_path, **said)
    assert second.returncode == STOPPED, second.stderr

    def dead() -> int:
        found = json.loads(driftline("status", "--json", cwd=tmp_path, **said).stdout)
        return sum(found["dead_letters"].values())

    stored = dead()
    assert stored < BAD
    with (tmp_path / "ingest.log").open("w") as log:
        third = subprocess.Popen(
            [*DRIFTLINE, "ingest", "--accept-undecodable"], cwd=tmp_path, stderr=log,
            env={**os.environ, **said},
        )  # fmt: skip
    try:
        wait_until(lambda: dead() == BAD, lambda: (tmp_path / "ingest.log").read_text())
    finally:
        third.terminate()
        third.wait(30)
