"""What each rule of a checkpoint is for: beside the rule, what happens without it.

The guard of the position itself has its controls in `test_ingest_fence`, `test_simulator` and
`test_chaos`; what the group needs, in `test_kafka_group`; what a log needs, in `test_kafka_log`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import chaos_member
import psutil
import pytest
from fake_source import counters, prediction
from sqlalchemy.engine import Engine
from stage import Stage
from test_postgres_concurrency import claim, commit_ten, stream_of

from driftline.errors import Fenced
from monitor.storage import delta as delta_module
from monitor.storage import engine as storage
from monitor.storage.delta import CounterKey, Delta, Place

DEADLINE_S = 30.0
FOLDER = Path(chaos_member.__file__).parent


@pytest.mark.both_databases
def test_a_commit_that_is_tried_again_moves_nothing(engine: Engine) -> None:
    """Whoever does not know whether it went through needs to ask nobody."""
    held = claim(engine, stream_of(engine), "one")
    commit_ten(engine, held)
    with pytest.raises(Fenced):
        commit_ten(engine, held)
    assert counters(engine) == {"prediction": 10}


# -- rows that partitions share -------------------------------------------------------------------


def two_at_once(engine: Engine) -> list[BaseException | None]:
    """Two partitions are written at once, with counters of two models in either order."""
    stream_id = stream_of(engine)
    held = [claim(engine, stream_id, "one", partition) for partition in (0, 1)]
    for each in held:  # the rows are there
        with storage.transaction(engine) as conn:
            add(conn, each.partition, stream_id, "m", "n")
    gate = threading.Barrier(2)

    def write(partition: int, models: tuple[str, str]) -> None:
        with storage.transaction(engine) as conn:
            for model in models:
                add(conn, partition, stream_id, model)
                if model == models[0]:
                    gate.wait(DEADLINE_S)

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(write, 0, ("m", "n")), pool.submit(write, 1, ("n", "m"))]
        return [one.exception(DEADLINE_S) for one in done]


def add(conn: Any, partition: int, stream_id: int, *models: str) -> None:
    delta = Delta()
    for model in models:
        delta.counters[CounterKey(model, "1", "prediction")] = 1
    delta_module.add(conn, Place(stream_id, partition), delta, kept_letters=0, now_ms=1)


@pytest.mark.parametrize("backend", ["postgresql"])
def test_partitions_that_are_written_at_once_share_no_row(engine: Engine) -> None:
    assert two_at_once(engine) == [None, None]


@pytest.mark.parametrize("backend", ["postgresql"])
def test_were_counters_shared_one_of_two_would_deadlock(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = delta_module.add
    monkeypatch.setattr(
        delta_module, "add", lambda conn, at, *a, **m: alone(conn, Place(at[0], 0), *a, **m)
    )
    errors = two_at_once(engine)
    assert sorted(type(error).__name__ for error in errors) == ["NoneType", "StorageUnavailable"]


# -- an owner that is stopped inside its transaction ----------------------------------------------

STOPPED = f"""
import sys
sys.path.insert(0, {str(FOLDER)!r})
from monitor.storage import postgres
postgres.SESSION = postgres.SESSION | {{"idle_in_transaction_session_timeout": sys.argv.pop()}}
import chaos_member
chaos_member.main()
"""


@pytest.fixture
def stage(kafka: str, engine: Engine) -> Iterator[Stage]:
    with Stage(kafka, engine, partitions=1) as made:
        made.register()
        yield made


def taken_over_s(stage: Stage, folder: Path, idle_timeout: str, limit_s: float) -> float | None:
    """How long another needs to go on when the owner is stopped by SIGSTOP between statements."""
    given = chaos_member.Given(
        stage.engine.url.render_as_string(hide_password=False), stage.bootstrap, stage.topic,
        seed=1, faults=str(folder / "faults"), hows=("stops after",), places=("sql INSERT pane",),
    )  # fmt: skip
    words = [sys.executable, "-c", STOPPED, json.dumps(asdict(given)), idle_timeout]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + DEADLINE_S
        i = 0
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline, "it does not stop"
            assert process.poll() is None, "it ended"
            # A window of its own for each, so that panes are inserted.
            stage.send([prediction(i * 10)])
            i += 1
            time.sleep(0.05)
        before = stage.next_offsets()[0]
        member = stage.member(group_id="driftline")
        began = time.monotonic()
        while time.monotonic() < began + limit_s:
            member.loop.step()
            if stage.is_read():
                assert stage.next_offsets()[0] > before
                return time.monotonic() - began
        return None
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.kill()
        process.wait(DEADLINE_S)


@pytest.mark.parametrize("backend", ["postgresql"])
def test_an_owner_stopped_inside_its_transaction_is_relieved(stage: Stage, tmp_path: Path) -> None:
    assert taken_over_s(stage, tmp_path, "1s", DEADLINE_S) is not None
    assert stage.differences() == []


@pytest.mark.parametrize("backend", ["postgresql"])
def test_without_a_timeout_of_its_session_it_keeps_the_others_out(
    stage: Stage, tmp_path: Path
) -> None:
    assert taken_over_s(stage, tmp_path, "0", 8.0) is None
