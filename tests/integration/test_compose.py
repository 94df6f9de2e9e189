"""What the containers would run, run by hand: there is no container engine where tests run.

The composed file is read by docker-compose itself, then held to its own promises; and every
service's own command runs here as a process, with the environment that the file gives it, on
a PostgreSQL and a Kafka-compatible broker. Only the names of hosts and ports are others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx2
import postgres
import pytest
import yaml
from kafka import KafkaProducer

from monitor.cli.app import VERBS
from monitor.cli.broker import EmbeddedBroker
from monitor.cli.processes import free_port
from monitor.config import load

ROOT: Final = Path(__file__).parents[2]
SECRETS: Final = {"POSTGRES_PASSWORD": "a-word", "DRIFTLINE_TOKEN": "t" * 40}
ROLES: Final = ("ingest", "evaluate", "deliver", "web")
# A role imports its libraries in seconds, on a busy machine in some more.
START_S: Final = 90.0


def compose(*arguments: str, given: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    program = shutil.which("docker-compose")
    if program is None:
        why = "docker-compose is missing: apt-get install docker-compose"
        if os.environ.get("CI", "").lower() in ("true", "1"):
            pytest.fail(f"CI must check the containers: {why}")
        pytest.skip(why)
    clean = {k: v for k, v in os.environ.items() if k not in SECRETS}
    return subprocess.run(
        [program, "--file", ROOT / "docker-compose.yml", *arguments],
        env={**clean, **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Every service as the file has it, its variables filled in and its anchors resolved."""
    text = (ROOT / "docker-compose.yml").read_text()
    for name, value in SECRETS.items():
        text = re.sub(rf"\$\{{{name}:\?[^}}]*\}}", value, text)
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text)
    assert "${" not in text
    found: dict[str, Any] = yaml.safe_load(text)["services"]
    return found


def ours(services: dict[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in services.items() if "build" in one}


def test_docker_compose_takes_the_file() -> None:
    done = compose("config", given=SECRETS)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) >= {"kafka", "postgres", "migrate", *ROLES}


@pytest.mark.parametrize("missing", SECRETS)
def test_nothing_starts_without_its_secret(missing: str) -> None:
    given = {name: value for name, value in SECRETS.items() if name != missing}
    done = compose("config", given=given)
    assert done.returncode != 0
    assert missing in done.stderr


def test_every_container_is_bounded_and_can_gain_no_right(services: dict[str, Any]) -> None:
    for one in services.values():
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in one
        assert one["mem_limit"]
        assert one["cpus"]
        assert one["pids_limit"]
        assert one["healthcheck"]
        for port in one.get("ports", ()):
            assert port.startswith("127.0.0.1:")


def test_ours_and_the_database_run_as_nobody_special_and_write_to_volumes_only(
    services: dict[str, Any],
) -> None:
    for name, one in (*ours(services).items(), ("postgres", services["postgres"])):
        assert one["read_only"] is True, name
        assert one["user"] not in ("root", "0", "0:0"), name
        assert any(where.startswith("/tmp") for where in one["tmpfs"]), name
    assert set(ours(services)) == {"migrate", "topic", *ROLES}


def test_images_are_pinned_to_a_release(services: dict[str, Any]) -> None:
    for one in services.values():
        assert re.fullmatch(r"[\w/.-]+:\d+\.\d+(\.\d+)?", one["image"])
    version = re.search(r'__version__ = "(.*)"', (ROOT / "driftline/__init__.py").read_text())
    assert version is not None
    assert {one["image"] for one in ours(services).values()} == {f"driftline:{version[1]}"}


def test_every_variable_is_a_setting_and_every_command_a_verb(services: dict[str, Any]) -> None:
    for one in ours(services).values():
        load(one["environment"])  # an unknown key raises
        assert one["command"][0] in VERBS
        check = one["healthcheck"].get("test")
        assert check is None or check[:3] == ["CMD", "driftline", "health"]


def test_a_role_starts_when_the_schema_and_the_topic_are_there(services: dict[str, Any]) -> None:
    for role in ROLES:
        after = {name: c["condition"] for name, c in services[role]["depends_on"].items()}
        assert after["migrate"] == after["topic"] == "service_completed_successfully"
        assert services[role]["healthcheck"]["test"][-1] == role
    assert services["kafka"]["environment"]["KAFKA_LOG_MESSAGE_TIMESTAMP_TYPE"] == "LogAppendTime"


def test_the_image_is_the_wheel_with_its_extras_run_by_a_number() -> None:
    lines = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    assert any("driftline[server,postgres,confluent]" in line for line in lines)
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if word in ("RUN", "CMD", "ENTRYPOINT"):
            assert json.loads(rest), "no shell reads it"
    copied = {name for line in lines if re.match(r"COPY \w", line) for name in line.split()[1:-1]}
    allowed = set((ROOT / ".dockerignore").read_text().splitlines())
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in allowed


class Composed:
    """The services of the file, as processes on this machine."""

    def __init__(
        self, services: dict[str, Any], bootstrap: str, database_url: str, folder: Path
    ) -> None:
        self.services, self.folder = ours(services), folder
        self.bootstrap = bootstrap
        self.port = free_port()
        # What differs is where the others are, and that nothing here listens off loopback.
        self._elsewhere = {
            "DRIFTLINE_DATABASE__URL": database_url,
            "DRIFTLINE_KAFKA__BOOTSTRAP": bootstrap,
            "DRIFTLINE_WEB__HOST": "127.0.0.2",
        }
        self.url = f"http://127.0.0.2:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self, name: str) -> dict[str, str]:
        given = self.services[name]["environment"]
        told = {k: self._elsewhere.get(k, v) for k, v in given.items()}
        outside = {k: v for k, v in os.environ.items() if not k.startswith("DRIFTLINE_")}
        # Half a minute between two checkpoints would be most of this test's time.
        more = {"WEB__PORT": str(self.port), "INGEST__CHECKPOINT_INTERVAL_S": "0.5"}
        return {**outside, **{f"DRIFTLINE_{k}": v for k, v in more.items()}, **told}

    def run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the service's command, or another of the program in its environment, to its end."""
        return subprocess.run(
            [sys.executable, "-m", "monitor.cli", *(words or self.services[name]["command"])],
            cwd=self.folder,
            env=self.environment(name),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def health(self, name: str) -> subprocess.CompletedProcess[str]:
        return self.run(name, *self.services[name]["healthcheck"]["test"][2:])

    def start(self, name: str) -> None:
        command = [sys.executable, "-m", "monitor.cli", *self.services[name]["command"]]
        self.processes[name] = subprocess.Popen(
            command, cwd=self.folder, env=self.environment(name)
        )

    def wait_until_healthy(self, name: str) -> None:
        deadline = time.monotonic() + START_S
        while (done := self.health(name)).returncode != 0:
            assert self.processes[name].poll() is None
            assert time.monotonic() < deadline, done.stderr
            time.sleep(0.2)

    def stop(self) -> dict[str, int]:
        """As a container ends: SIGTERM, and the exit codes."""
        for process in self.processes.values():
            process.terminate()
        return {name: process.wait(20) for name, process in self.processes.items()}


@pytest.fixture
def composed(
    services: dict[str, Any], databases: postgres.Databases, tmp_path: Path
) -> Iterator[Composed]:
    url = databases.create()
    with EmbeddedBroker(0) as broker:
        made = Composed(services, broker.bootstrap, url, tmp_path)
        yield made
        for process in made.processes.values():
            process.kill()
            process.wait()
    databases.drop(url)


def test_every_service_runs_by_its_own_command_and_says_how_it_is(composed: Composed) -> None:
    for once in ("migrate", "topic"):
        first, again = composed.run(once), composed.run(once)
        assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
        assert "already" in again.stdout
    for role in ("ingest", "web"):
        assert composed.health(role).returncode == 1  # nothing runs yet

    for role in ROLES:
        composed.start(role)
    producer = KafkaProducer(bootstrap_servers=composed.bootstrap)
    event = {"type": "prediction", "model": "churn", "version": "3", "time": 1_735_689_600_000}
    topic = composed.services["ingest"]["environment"]["DRIFTLINE_KAFKA__TOPIC"]
    for i in range(20):
        record = json.dumps({**event, "id": str(i), "features": {"age": 40.5}, "prediction": 0.5})
        producer.send(topic, record.encode())
    producer.flush(30)
    producer.close()
    for role in ROLES:
        composed.wait_until_healthy(role)

    asked = httpx2.get(f"{composed.url}/api/v1/models")
    assert asked.status_code == 401
    bearer = {"Authorization": f"Bearer {SECRETS['DRIFTLINE_TOKEN']}"}
    assert httpx2.get(f"{composed.url}/api/v1/models", headers=bearer).status_code == 200

    def counted() -> int:
        found = json.loads(composed.run("ingest", "status", "--json").stdout)
        return sum(partition["position"] for partition in found["partitions"])

    deadline = time.monotonic() + START_S
    while counted() < 20:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert composed.stop() == dict.fromkeys(ROLES, 0)
