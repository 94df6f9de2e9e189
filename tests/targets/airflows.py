"""A real Airflow of its own environment, as light as it starts, with our DAG in its folder."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

from monitor.cli.processes import free_port

EXAMPLES = Path(__file__).parents[2] / "examples"
USERS = {"drift": ("op", "password of drift"), "look": ("viewer", "password of look")}
PAUSED = """
from retrain import retrain
from airflow_dag import dag, get_current_context, task

@dag(dag_id="asleep", schedule=None, is_paused_upon_creation=True)
def asleep():
    @task
    def train():
        return retrain(get_current_context()["dag_run"].conf)
    train()

asleep()
"""
_START_S = 150


@dataclass
class Airflow:
    """One that runs: its address, and what it was started with."""

    major: str
    url: str
    home: Path
    program: Path
    environment: Mapping[str, str]

    @property
    def api(self) -> str:
        return f"{self.url}/api/v2" if self.major == "3" else f"{self.url}/api/v1"

    def call(self, method: str, path: str, body: object = None) -> httpx2.Response:
        """Ask its API as the user that may."""
        password = USERS["drift"][1]
        if self.major == "2":
            return httpx2.request(
                method, self.api + path, json=body, auth=("drift", password), timeout=30
            )
        login = {"username": "drift", "password": password}
        token = httpx2.post(f"{self.url}/auth/token", json=login, timeout=30).json()["access_token"]
        headers = {"authorization": f"Bearer {token}"}
        return httpx2.request(method, self.api + path, json=body, headers=headers, timeout=30)

    def runs(self, dag: str) -> list[str]:
        found = self.call("GET", f"/dags/{dag}/dagRuns").json()
        return [run["dag_run_id"] for run in found["dag_runs"]]

    def run(self, *words: str) -> None:
        """Run a verb of its command line to its end."""
        subprocess.run(
            [self.program, *words], env=self.environment, check=True, timeout=_START_S,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.home,
        )  # fmt: skip


@contextmanager
def running(environment: Path, home: Path, told: Mapping[str, str]) -> Iterator[Airflow]:
    """An Airflow out of an environment; `told` is what its DAGs find in theirs."""
    major = environment.name.removeprefix("airflow")
    dags = home / "dags"
    dags.mkdir(parents=True)
    for name in ("airflow_dag.py", "retrain.py"):
        (dags / name).write_text((EXAMPLES / name).read_text())
    (dags / "asleep.py").write_text(PAUSED)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = _THREE if major == "3" else _TWO
    variables = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "DRIFTLINE_"))},
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "2",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
        **{name: value.format(port=port, home=home) for name, value in settings.items()},
        **told,
    }
    airflow = Airflow(major, url, home, environment / "bin" / "airflow", variables)
    (home / "passwords.json").write_text(
        json.dumps({name: password for name, (_, password) in USERS.items()})
    )
    airflow.run("db", "migrate")
    parts = ("scheduler", "dag-processor", "api-server") if major == "3" else (
        "scheduler", "webserver",
    )  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []
    try:
        for part in parts:
            with (home / f"{part}.log").open("wb") as log:
                started.append(
                    subprocess.Popen(
                        [airflow.program, part], env=variables, stdout=log, stderr=log, cwd=home,
                        start_new_session=True,
                    )
                )  # fmt: skip
        _wait(lambda: httpx2.get(f"{airflow.api}/version", timeout=5).status_code == 200)
        if major == "2":
            for name, (role, password) in USERS.items():
                airflow.run(
                    "users", "create", "--username", name, "--password", password, "--role",
                    role.capitalize(), "--firstname", name, "--lastname", name,
                    "--email", f"{name}@firm.example",
                )  # fmt: skip
        for dag in ("driftline_retrain", "asleep"):
            _wait(lambda dag=dag: airflow.call("GET", f"/dags/{dag}").status_code == 200)
        yield airflow
    finally:
        for process in started:
            _end(process)


def _wait(is_so: object) -> None:
    deadline_s, last = time.monotonic() + _START_S, "it said no"
    while time.monotonic() < deadline_s:
        try:
            if is_so():  # type: ignore[operator]
                return
        except (httpx2.HTTPError, KeyError, ValueError) as error:
            last = repr(error)
        time.sleep(0.5)
    raise AssertionError(f"Airflow did not start within {_START_S} s: {last}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children, some of which are in groups of their own."""
    try:
        family = [psutil.Process(process.pid)]
        family += family[0].children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    _, alive = psutil.wait_procs(family, timeout=8)
    for each in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(alive, timeout=8)
    process.wait(10)


_THREE = {
    "AIRFLOW__API__HOST": "127.0.0.1",
    "AIRFLOW__API__PORT": "{port}",
    "AIRFLOW__API__WORKERS": "1",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": "http://127.0.0.1:{port}/execution/",
    "AIRFLOW__API_AUTH__JWT_SECRET": "0123456789abcdef" * 4,
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
        f"{name}:{role}" for name, (role, _) in USERS.items()
    ),
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": "{home}/passwords.json",
}
_TWO = {
    "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth",
    "AIRFLOW__WEBSERVER__WEB_SERVER_HOST": "127.0.0.1",
    "AIRFLOW__WEBSERVER__WEB_SERVER_PORT": "{port}",
    "AIRFLOW__WEBSERVER__WORKERS": "1",
    "AIRFLOW__WEBSERVER__SECRET_KEY": "0123456789abcdef",
    "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "5",
}
