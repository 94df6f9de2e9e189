"""An Apache Kafka with TLS, logins and rights: least privilege is enough, and less is told.

A writer may write the topic, a reader may read it and its group; nobody may more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apache_kafka
import pytest
from certificates import Authority
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)

from driftline import EventLogger

TOPIC = "driftline.events"
USERS = {"admin": "admin-pw", "writer": "writer-pw", "reader": "reader-pw", "stranger": "x-pw"}
WAIT_S = 120.0


@dataclass
class Secured:
    """A broker that speaks to those it knows."""

    broker: apache_kafka.Broker
    ca: Path
    stranger_ca: Path

    def options(self, user: str) -> dict[str, Any]:
        """kafka-python's options of a user."""
        return {
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "ssl_cafile": str(self.ca),
            "sasl_plain_username": user,
            "sasl_plain_password": USERS[user],
        }

    def run(
        self, *words: str, user: str = "reader", cwd: Path, **changed: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the program as a user, with settings of Kafka changed."""
        return subprocess.run(
            [sys.executable, "-m", "monitor.cli", *words],
            cwd=cwd, env=self.environment(user, **changed), capture_output=True, text=True,
            timeout=WAIT_S, check=False,
        )  # fmt: skip

    def environment(self, user: str, **changed: str) -> dict[str, str]:
        """The settings of the program as variables."""
        said = {
            "bootstrap": self.broker.bootstrap,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": user,
            "sasl_password": USERS[user],
            "ssl_cafile": str(self.ca),
            **changed,
        }
        named = {f"DRIFTLINE_KAFKA__{name.upper()}": value for name, value in said.items()}
        return {**os.environ, **named}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    apache_kafka.require()
    apache_kafka.fetch()
    folder, other = tmp_path_factory.mktemp("ca"), tmp_path_factory.mktemp("other-ca")
    authority = Authority(folder)
    store = folder / "store.pem"
    certificate = authority.certificate("broker", "DNS:localhost,IP:127.0.0.1")
    store.write_bytes(certificate.read_bytes() + authority.file.read_bytes())
    jaas = "org.apache.kafka.common.security.scram.ScramLoginModule required"
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
            f'{jaas} username="admin" password="{USERS["admin"]}";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:admin;User:ANONYMOUS",
    }
    made = Secured(None, authority.file, Authority(other).file)  # type: ignore[arg-type]
    broker = apache_kafka.Broker(
        settings, protocol="SASL_SSL", users=USERS, options=made.options("admin")
    )
    made.broker = broker
    try:
        broker.start()
        done = made.run("topic", "create", user="admin", cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap, **made.options("admin"))
        admin.create_acls(
            [
                _may("writer", ACLOperation.WRITE, ResourceType.TOPIC, TOPIC),
                _may("reader", ACLOperation.READ, ResourceType.TOPIC, TOPIC),
                _may("reader", ACLOperation.READ, ResourceType.GROUP, "driftline"),
            ]
        )
        admin.close()
        yield made
    finally:
        broker.remove()


def _may(user: str, what: ACLOperation, kind: ResourceType, name: str) -> ACL:
    pattern = ResourcePattern(kind, name)
    return ACL(f"User:{user}", "*", what, ACLPermissionType.ALLOW, pattern)


def test_what_a_writer_logs_a_reader_counts(secured: Secured, tmp_path: Path) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    with EventLogger(
        secured.broker.bootstrap, model="churn", version="3", kafka=secured.options("writer")
    ) as logger:
        for n in range(100):
            assert logger.log({"age": n}, 0.5, id=n, time=at)
        assert logger.flush(60)
        assert logger.counts().sent == 100
    label = {"type": "label", "model": "churn", "time": f"{at:%Y-%m-%dT%H:%M:%SZ}", "label": 1}
    lines = "".join(json.dumps({**label, "id": n}) + "\n" for n in range(50))
    (tmp_path / "labels.ndjson").write_text(lines)
    done = secured.run("log", "labels.ndjson", user="writer", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr

    assert secured.run("db", "upgrade", cwd=tmp_path).returncode == 0
    with (tmp_path / "ingest.log").open("wb") as log:
        ingest = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", "ingest"], cwd=tmp_path, stdout=log, stderr=log,
            env={**secured.environment("reader"), "DRIFTLINE_INGEST__CHECKPOINT_INTERVAL_S": "0.5"},
        )  # fmt: skip
    try:
        deadline = time.monotonic() + WAIT_S
        while "150" not in (said := secured.run("status", cwd=tmp_path).stdout):
            assert ingest.poll() is None, (tmp_path / "ingest.log").read_text()
            assert time.monotonic() < deadline, said
            time.sleep(0.5)
    finally:
        ingest.terminate()
        ingest.wait(30)


NO_LOGIN = dict.fromkeys(("sasl_mechanism", "sasl_username", "sasl_password", "ssl_cafile"), "")


@pytest.mark.parametrize(
    ("user", "changed", "wanted"),
    [
        ("reader", {}, []),
        ("reader", {"sasl_password": "wrong"}, ["broker credentials"]),
        ("reader", {"ssl_cafile": "{stranger}"}, ["certificate is not trusted"]),
        ("stranger", {}, ["may not read the topic", "may not use the group"]),
        ("reader", {**NO_LOGIN, "security_protocol": "PLAINTEXT"}, ["expects TLS"]),
    ],
)
def test_the_doctor_tells_what_a_broker_hides(
    secured: Secured, tmp_path: Path, user: str, changed: dict[str, str], wanted: list[str]
) -> None:
    changed = {k: v.format(stranger=secured.stranger_ca) for k, v in changed.items()}
    done = secured.run("doctor", user=user, cwd=tmp_path, **changed)
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAIL")]
    # No database was made here, and no web process runs.
    of_kafka = [line for line in failed if not line.startswith(("FAIL database", "FAIL web"))]
    assert len(of_kafka) == len(wanted), done.stdout
    for words, line in zip(wanted, of_kafka, strict=True):
        assert words in line
    assert "reader-pw" not in done.stdout + done.stderr
