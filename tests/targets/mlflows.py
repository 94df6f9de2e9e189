"""A real MLflow server of its own environment, and Python with MLflow that talks to it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import psutil

from monitor.cli.processes import free_port

ROOT = Path(__file__).parents[2]
_START_S = 120
_BEFORE = """
import json, sys, warnings
warnings.simplefilter("ignore")
import mlflow
from mlflow import MlflowClient
given = json.loads(sys.argv[1])
service = MlflowClient()
"""


@dataclass
class MLflow:
    """One that runs: its address, and the environment that it runs in."""

    url: str
    home: Path
    python: Path
    environment: Mapping[str, str]

    def run(self, program: str, **given: Any) -> Any:
        """Run lines of Python with `mlflow`, `service` and `given`; return what they print."""
        done = subprocess.run(
            [self.python, "-c", _BEFORE + program, json.dumps(given)],
            env={**self.environment, "MLFLOW_TRACKING_URI": self.url, "PYTHONPATH": str(ROOT)},
            cwd=self.home, capture_output=True, text=True, timeout=_START_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3_000:]
        last = done.stdout.strip().splitlines()
        return json.loads(last[-1]) if last else None


@contextmanager
def running(environment: Path, home: Path) -> Iterator[MLflow]:
    """An MLflow on SQLite that may send webhooks to this machine."""
    home.mkdir(parents=True, exist_ok=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DRIFTLINE_"))},
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
        # Otherwise it remembers for a minute which webhooks there are.
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
    command = [
        environment / "bin" / "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}",
        "--artifacts-destination", str(home / "artifacts"), "--workers", "1",
    ]  # fmt: skip
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            command, env=variables, stdout=log, stderr=log, cwd=home, start_new_session=True
        )
    try:
        _wait(url, home)
        yield MLflow(url, home, environment / "bin" / "python", variables)
    finally:
        _end(server)


def _wait(url: str, home: Path) -> None:
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        try:
            if httpx2.get(f"{url}/health", timeout=5).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.3)
    raise AssertionError(f"MLflow did not start: {(home / 'server.log').read_text()[-2_000:]}")


def _end(server: subprocess.Popen[bytes]) -> None:
    family = [psutil.Process(server.pid)]
    family += family[0].children(recursive=True)
    server.terminate()
    _, alive = psutil.wait_procs(family, timeout=8)
    for one in alive:
        one.kill()
    psutil.wait_procs(alive, timeout=8)
    server.wait(10)
