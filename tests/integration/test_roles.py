"""A role that runs alone says what it does and that it has ended, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from monitor.cli.processes import free_port
from monitor.storage import engine as storage
from monitor.storage import heartbeats

DRIFTLINE = [sys.executable, "-m", "monitor.cli"]


@pytest.mark.parametrize("role", ["evaluate", "deliver", "web"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_role_says_one_line_at_its_start_and_one_at_its_end(
    role: str, number: signal.Signals, tmp_path: Path
) -> None:
    engine = storage.create(f"sqlite:///{tmp_path / 'driftline.db'}")
    storage.upgrade(engine)
    port = free_port()
    with subprocess.Popen(
        [*DRIFTLINE, role], cwd=tmp_path, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "DRIFTLINE_WEB__PORT": str(port)},
    ) as process:  # fmt: skip
        assert process.stderr is not None
        first = process.stderr.readline()
        with storage.reading(engine) as conn:
            (beat,) = heartbeats.of_role(conn, role)
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 0
    assert first.startswith(f"driftline: {role} ")
    assert first.endswith("; Ctrl-C ends it\n")
    assert "driftline.db" in first
    assert (f"http://127.0.0.1:{port}" in first) == (role == "web")
    assert rest == f"driftline: {role} has ended\n"
    assert f":{process.pid}:" in beat.instance
    with storage.reading(engine) as conn:
        assert heartbeats.of_role(conn, role) == []
    engine.dispose()
