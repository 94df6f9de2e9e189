"""An Apache Kafka of the tests' own: one KRaft node on loopback, gone with whoever made it.

Its jars come from Maven once and are kept beside the virtual environment. Where Java or Maven
is missing, tests that need it are skipped; where `CI` is set they fail. `DRIFTLINE_TEST_KAFKA`
names a broker that is there already, as HOST:PORT.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

VARIABLE: Final = "DRIFTLINE_TEST_KAFKA"
VERSION: Final = "4.4.0"
JARS: Final = Path(sys.prefix) / f"kafka-{VERSION}"
POM: Final = Path(__file__).with_name("kafka") / "pom.xml"
DOWNLOAD_S: Final = 300.0
START_S: Final = 60.0
# The server ends with whoever holds its standard input open, even one that is killed.
WATCH: Final = '"$@" & server=$!; read -r _; kill -9 $server 2>/dev/null; wait $server'
# Small, and quick to give a group its partitions.
SETTINGS: Final = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "auto.create.topics.enable": "false",
    # Quick to compact, too.
    "log.cleaner.backoff.ms": "200",
    "num.partitions": "4",
}


class Broker:
    """One broker.

    Parameters
    ----------
    settings
        On top of the usual ones.
    protocol
        How its clients speak to it.
    users
        Names and passwords of SCRAM-SHA-512 that are there from the start.
    options
        kafka-python's, with which it is asked whether it answers.
    beside
        A broker that runs, whose cluster it joins as the second one.

    Examples
    --------
    ``broker = Broker(); broker.start(); broker.bootstrap; broker.remove()``
    """

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        protocol: str = "PLAINTEXT",
        users: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
        beside: Broker | None = None,
    ) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="driftline-kafka-"))
        self.port, controller = _free_ports(2)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        said = {
            **SETTINGS,
            "inter.broker.listener.name": protocol,
            "listener.security.protocol.map": f"{protocol}:{protocol},CONTROLLER:PLAINTEXT",
            "listeners": f"{protocol}://{self.bootstrap},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"{protocol}://{self.bootstrap}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(self.data),
            **({} if beside is None else self._second(beside)),
            **(settings or {}),
        }
        lines = "".join(f"{name}={value}\n" for name, value in said.items())
        self._properties.write_text(lines)
        self._options = dict(options or {})
        cluster = uuid.uuid4().hex[:22] if beside is None else beside._told("cluster.id")
        scram = [
            word
            for name, password in (users or {}).items()
            for word in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
        ]
        formatted = subprocess.run(
            [*_java("256m"), "kafka.tools.StorageTool", "format", "-t", cluster,
             "-c", str(self._properties), *scram],
            capture_output=True, text=True, timeout=START_S, check=False,
        )  # fmt: skip
        assert formatted.returncode == 0, formatted.stdout + formatted.stderr

    def _second(self, first: Broker) -> dict[str, str]:
        """Settings of a broker that is no controller."""
        return {
            "process.roles": "broker",
            "node.id": "2",
            "listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": first._told("controller.quorum.voters"),
        }

    def _told(self, name: str) -> str:
        """What its files say of itself."""
        for file in (self._properties, self.data / "meta.properties"):
            for line in file.read_text().splitlines():
                if line.startswith(f"{name}="):
                    return line.partition("=")[2]
        raise KeyError(name)

    @property
    def _properties(self) -> Path:
        return self._folder / "server.properties"

    @property
    def data(self) -> Path:
        """The folder of its logs."""
        return self._folder / "data"

    @property
    def pid(self) -> int:
        """The process that holds the broker."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", WATCH, "sh", *_java("768m"), "kafka.Kafka", self._properties],
                stdin=subprocess.PIPE, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.1)

    def _answers(self) -> bool:
        """Whether it knows of itself: its port is open a moment before that."""
        from kafka.admin import KafkaAdminClient
        from kafka.errors import KafkaError

        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
        try:
            admin = KafkaAdminClient(
                bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=3_000, **self._options
            )
        except KafkaError:
            return False
        try:
            return bool(admin.describe_cluster()["brokers"])
        except KafkaError:
            return False
        finally:
            admin.close()

    def log(self) -> str:
        """The end of what it wrote."""
        return (self._folder / "log").read_text(errors="replace")[-4_000:]

    def stop(self) -> None:
        """Kill it; what it had acknowledged is still there after `start`."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(timeout=START_S)
            self._process = None

    def remove(self) -> None:
        """Kill it and take its files away."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


def _java(heap: str) -> list[str]:
    return [
        "java", f"-Xmx{heap}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{JARS}/*",
    ]  # fmt: skip


def _free_ports(n: int) -> list[int]:
    held = [socket.socket() for _ in range(n)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def fetch() -> None:
    """Have the jars, fetched once for all workers of all runs."""
    JARS.parent.mkdir(parents=True, exist_ok=True)
    with (JARS.parent / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if JARS.is_dir():
            return
        part = JARS.with_name(f"{JARS.name}.part")
        shutil.rmtree(part, ignore_errors=True)
        done = subprocess.run(
            ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies",
             f"-DoutputDirectory={part}"],
            capture_output=True, text=True, timeout=DOWNLOAD_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        part.rename(JARS)


def require() -> None:
    """Skip the test where Apache Kafka cannot run, and fail it in CI."""
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if not missing:
        return
    said = f"{' and '.join(missing)} missing: apt-get install default-jre-headless maven"
    if os.environ.get("CI"):
        pytest.fail(said)
    pytest.skip(said)


def start() -> Broker | str:
    """Return a running broker, or the address of one that is there already."""
    given = os.environ.get(VARIABLE)
    if given:
        return given
    require()
    fetch()
    made = Broker()
    made.start()
    return made
