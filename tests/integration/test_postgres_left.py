"""A PostgreSQL of the tests leaves nothing behind, however its run is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import postgres

HELD = """
import time
import postgres
made = postgres.start(postgres.room_in_memory())
print(made.url_of("postgres"), flush=True)
time.sleep(600)
"""


def test_a_run_whose_whole_group_is_ended_leaves_no_files(databases: postgres.Databases) -> None:
    path = os.pathsep.join([str(Path(postgres.__file__).parent), *sys.path])
    environment = {k: v for k, v in os.environ.items() if k != postgres.VARIABLE}
    with subprocess.Popen(
        [sys.executable, "-c", HELD],
        env=environment | {"PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as run:
        assert run.stdout is not None
        folder = Path(run.stdout.readline().strip().partition("host=")[2].replace("%2F", "/"))
        assert (folder / "data").is_dir()
        os.killpg(run.pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while folder.exists():
        assert time.monotonic() < deadline, f"{folder} is left"
        time.sleep(0.05)
