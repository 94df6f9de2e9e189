"""The program as a person runs it: exit codes, one line for a fault, `up` from start to Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pandas as pd
import psutil
import pytest
from kafka import KafkaProducer

from driftline.stats.reference import build_reference
from monitor.cli.processes import free_port, require_free_port
from monitor.storage import engine as storage

DRIFTLINE = [sys.executable, "-m", "monitor.cli"]
START_MS = 1_735_689_600_000  # 2025-01-01T00:00Z


def driftline(
    *arguments: str, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DRIFTLINE, *arguments],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def one_line_of(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    assert done.returncode == code, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("driftline: ")
    return lines[0]


@pytest.mark.parametrize("verb", ["web", "evaluate", "ingest"])
def test_a_role_refuses_a_database_without_schema_and_names_the_command(
    verb: str, tmp_path: Path
) -> None:
    # Any free port: another dashboard may be running on this machine.
    found = driftline(verb, cwd=tmp_path, environment={"DRIFTLINE_WEB__PORT": str(free_port())})
    assert "driftline db upgrade" in one_line_of(found)


def test_upgrading_twice_is_harmless_and_the_version_is_the_exit_code(tmp_path: Path) -> None:
    assert "driftline db upgrade" in one_line_of(driftline("db", "version", cwd=tmp_path))
    assert "is now at" in driftline("db", "upgrade", cwd=tmp_path).stdout
    assert "is already at" in driftline("db", "upgrade", cwd=tmp_path).stdout
    found = driftline("db", "version", "--json", cwd=tmp_path)
    assert found.returncode == 0
    assert json.loads(found.stdout)["found"] == json.loads(found.stdout)["expected"]


def test_a_misspelt_setting_names_the_nearest(tmp_path: Path) -> None:
    line = one_line_of(driftline("status", cwd=tmp_path, environment={"DRIFTLINE_WEB__PROT": "1"}))
    assert "web.port" in line


def test_an_absent_broker_is_said_in_one_line(tmp_path: Path) -> None:
    driftline("db", "upgrade", cwd=tmp_path)
    done = driftline("ingest", "--kafka", "127.0.0.1:9", cwd=tmp_path)
    begins, line = done.stderr.splitlines()
    assert "ingest reads driftline.events at 127.0.0.1:9" in begins
    assert (done.returncode, done.stdout) == (2, "")
    assert line.startswith("driftline: ")
    assert "127.0.0.1:9" in line
    assert "--kafka" in line


def test_an_absent_database_or_server_or_file_is_said_in_one_line(tmp_path: Path) -> None:
    assert "driftline up" in one_line_of(driftline("status", cwd=tmp_path))
    url = f"sqlite:///{tmp_path}/nowhere/driftline.db"
    assert "nowhere" in one_line_of(driftline("db", "upgrade", "--database", url, cwd=tmp_path))
    register = ("reference", "register", "none.parquet", "--model", "m", "--version", "1")
    assert "none.parquet" in one_line_of(driftline(*register, cwd=tmp_path))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["age"], "'age' is not FEATURE=NUMBER"),
        (["age=much"], "'much' of 'age' is no number"),
        (["age=1", "age=2"], "feature 'age' is given twice"),
        (["age=-1"], "importance: that of 'age' must be a number >= 0"),
        (["aeg=1"], "there is no feature 'aeg'"),
    ],
)
def test_an_importance_that_is_none_is_said(given: list[str], said: str, tmp_path: Path) -> None:
    pd.DataFrame({"age": range(100), "plan": ["free"] * 100}).to_csv(
        tmp_path / "t.csv", index=False
    )
    register = ("reference", "register", "t.csv", "--model", "m", "--version", "1")
    words = [word for pair in given for word in ("--importance", pair)]
    done = driftline(*register, *words, cwd=tmp_path)
    assert done.returncode in (1, 2)
    shown = " ".join(done.stderr.replace("│", " ").split())
    assert said in shown and "--importance" in shown


@pytest.mark.parametrize(
    "words", [("status",), ("evaluate",), ("web", "--port", "0"), ("ingest",), ("db", "version")]
)
def test_a_verb_that_makes_no_database_says_that_there_is_none(
    words: tuple[str, ...], tmp_path: Path
) -> None:
    line = one_line_of(driftline(*words, "--database", "sqlite:///none.db", cwd=tmp_path))
    assert "there is no database none.db: run `driftline db upgrade`" in line
    assert not list(tmp_path.iterdir())


def test_a_demo_refuses_a_database_that_is_no_demo_s_and_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/mine.db"
    engine = storage.create(url)
    storage.upgrade(engine)
    with storage.transaction(engine) as conn:
        conn.exec_driver_sql(
            "INSERT INTO model (name, timezone, created_ms) VALUES ('churn', 'UTC', 0)"
        )
    engine.dispose()
    before = (tmp_path / "mine.db").read_bytes()
    ports = ("--port", "0", "--broker-port", "0")
    found = driftline("demo", "--headless", "--database", url, *ports, cwd=tmp_path)
    assert "this one holds something else" in one_line_of(found)
    assert (tmp_path / "mine.db").read_bytes() == before


def test_a_web_server_that_strangers_could_reach_does_not_start(tmp_path: Path) -> None:
    driftline("db", "upgrade", cwd=tmp_path)
    exposed = {"DRIFTLINE_WEB__HOST": "0.0.0.0"}
    line = one_line_of(driftline("web", cwd=tmp_path, environment=exposed))
    assert "a token in DRIFTLINE_TOKEN or web.token_file; make one with: python -c" in line


def test_a_web_server_answers_under_the_address_that_it_was_given(tmp_path: Path) -> None:
    driftline("db", "upgrade", cwd=tmp_path)
    port = free_port()
    given = {"DRIFTLINE_WEB__HOST": "127.0.0.2", "DRIFTLINE_WEB__PORT": str(port)}
    process = subprocess.Popen([*DRIFTLINE, "web"], cwd=tmp_path, env={**os.environ, **given})
    try:
        url = f"http://127.0.0.2:{port}/healthz"
        wait_for(lambda: httpx2.get(url).status_code == 200, process)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("verb", ["demo", "up"])
@pytest.mark.parametrize("option", ["--port", "--broker-port"])
def test_a_busy_port_is_said_in_one_line_with_its_option(
    verb: str, option: str, tmp_path: Path
) -> None:
    other = {"--port": "--broker-port", "--broker-port": "--port"}[option]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = str(taken.getsockname()[1])
        line = one_line_of(driftline(verb, option, busy, other, "0", cwd=tmp_path))
    assert busy in line
    assert line.endswith(f"choose another with {option}")
    assert not list(tmp_path.iterdir())  # nothing was touched


def test_the_settings_are_shown_with_their_sources(tmp_path: Path) -> None:
    (tmp_path / "driftline.toml").write_text("[web]\nport = 9001\n")
    shown = driftline("config", "show", "--json", cwd=tmp_path)
    assert json.loads(shown.stdout)["web.port"] == {"value": 9001, "from": "driftline.toml"}


class Up:
    """A running `driftline up`."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, broker_port: int) -> None:
        self.process, self.port, self.broker_port = process, port, broker_port
        self.url = f"http://127.0.0.1:{port}"

    def tree(self) -> list[psutil.Process]:
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]


@contextmanager
def up(cwd: Path) -> Iterator[Up]:
    """`driftline up` with its page answering; killed at the end if a test has not ended it."""
    port, broker_port = free_port(), free_port()
    quick = {"DRIFTLINE_INGEST__CHECKPOINT_INTERVAL_S": "0.3"}
    command = [*DRIFTLINE, "up", "--port", str(port), "--broker-port", str(broker_port)]
    process = subprocess.Popen(command, cwd=cwd, env={**os.environ, **quick})
    running = Up(process, port, broker_port)
    try:
        wait_for(lambda: httpx2.get(f"{running.url}/healthz").status_code == 200, process)
        yield running
    finally:
        process.kill()
        process.wait()


def wait_for(is_so: Any, process: subprocess.Popen[bytes], *, within_s: float = 90.0) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        assert process.poll() is None
        try:
            if is_so():
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def none_left(running: Up, tree: list[psutil.Process], within_s: float) -> None:
    # The first is this process's own child: its exit code is Popen's to fetch.
    deadline = time.monotonic() + within_s
    running.process.wait(within_s)
    _, alive = psutil.wait_procs(tree[1:], timeout=max(0.0, deadline - time.monotonic()))
    assert not [process.cmdline() for process in alive]
    for port in (running.port, running.broker_port):
        require_free_port(port, key="port", option="--port")


def test_up_counts_what_is_sent_shows_what_was_refused_and_ends_within_5_s_of_ctrl_c(
    tmp_path: Path,
) -> None:
    rows = 4_000
    frame = pd.DataFrame(
        {
            "age": np.random.default_rng(1).normal(40, 10, rows),
            "plan": np.resize(["free", "pro", "team"], rows),
            "score": np.random.default_rng(2).random(rows),
            "at": pd.date_range("2025-01-01", periods=rows, freq="10min", tz="UTC"),
        }
    )
    file = tmp_path / "trained-on.parquet"
    frame.to_parquet(file)
    with up(tmp_path) as running:
        register = ("reference", "register", str(file), "--model", "churn", "--version", "3")
        more = ("--prediction", "score", "--timestamp", "at", "--url", running.url, "--json",
                "--importance", "age=3", "--importance", "plan=.5")  # fmt: skip
        done = driftline(*register, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        known = build_reference(
            frame, prediction="score", timestamp="at", importance={"age": 3, "plan": 0.5}
        )
        assert json.loads(done.stdout)["digest"] == known.digest
        again = driftline(*register, *more, cwd=tmp_path)
        assert json.loads(again.stdout)["digest"] == json.loads(done.stdout)["digest"]

        producer = KafkaProducer(bootstrap_servers=f"127.0.0.1:{running.broker_port}")
        head = {"type": "prediction", "model": "churn", "version": "3"}
        for i in range(500):
            event = {
                **head,
                "id": str(i),
                "time": START_MS + i * 60_000,
                "features": {"age": 40.5, "plan": "free"},
                "prediction": 0.5,
            }
            producer.send("driftline.events", json.dumps(event).encode())
        producer.send("driftline.events", b"{")
        producer.send("driftline.events", b"[" * 100_000)
        producer.send("driftline.events", json.dumps({**head, "features": {}}).encode())
        producer.flush(30)
        producer.close()

        def shown() -> dict[str, Any]:
            found: dict[str, Any] = json.loads(driftline("status", "--json", cwd=tmp_path).stdout)
            return found

        wait_for(lambda: sum(p["position"] for p in shown()["partitions"]) == 503, running.process)
        found = shown()
        assert found["counters"] == {"prediction": 500}
        assert sum(found["dead_letters"].values()) == 3
        assert found["dead_letters"]["time_missing"] == 1
        assert all(p["lag"] == 0 for p in found["partitions"])
        text = driftline("status", cwd=tmp_path).stdout
        assert "500 prediction" in text
        assert "1 time_missing" in text

        for verb in (("up",), ("demo", "--database", "sqlite:///driftline.db")):
            ports = ("--port", "0", "--broker-port", "0")
            line = one_line_of(driftline(*verb, *ports, cwd=tmp_path))
            assert f"driftline up (pid {running.process.pid}) uses driftline.db already" in line
            assert "--database" in line

        tree = running.tree()
        assert len(tree) >= 5
        running.process.send_signal(signal.SIGINT)
        none_left(running, tree, within_s=5)
        assert running.process.wait() == 0
        assert not (tmp_path / "driftline.db-lock").exists()


def test_up_that_is_killed_leaves_no_process_and_no_port(tmp_path: Path) -> None:
    with up(tmp_path) as running:
        tree = running.tree()
        running.process.kill()
        running.process.wait()
        none_left(running, tree, within_s=10)


def test_a_demo_interrupted_while_it_trains_leaves_nothing_behind(tmp_path: Path) -> None:
    port, broker_port = free_port(), free_port()
    command = [*DRIFTLINE, "demo", "--headless", "--json"]
    command += ["--port", str(port), "--broker-port", str(broker_port)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
    running = Up(process, port, broker_port)
    try:
        wait_for(lambda: len(running.tree()) >= 6, process)
        tree = running.tree()
        process.send_signal(signal.SIGINT)
        none_left(running, tree, within_s=5)
        assert process.communicate()[0] == b""  # no result, and the exit code says so
        assert process.returncode == 1
    finally:
        process.kill()
        process.wait()
