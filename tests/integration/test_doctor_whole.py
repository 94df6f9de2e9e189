"""`driftline doctor` on an embedded broker and SQLite, well and with each part broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from kafka import KafkaAdminClient, KafkaProducer

from driftline.stats.reference import build_reference
from monitor.cli.broker import EmbeddedBroker, ensure_topic
from monitor.cli.processes import free_port
from monitor.storage import engine as storage
from monitor.storage import registry
from monitor.storage import schema as t

DRIFTLINE = [sys.executable, "-m", "monitor.cli"]


def doctor(folder: Path, **settings: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code, and the lines by name: of two with one name, the worse."""
    variables = {f"DRIFTLINE_{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(
        [*DRIFTLINE, "doctor", "--json"], cwd=folder, env={**os.environ, **variables},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.stderr == "", done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] == (done.returncode == 0)
    found: dict[str, dict[str, Any]] = {}
    for line in told["checks"]:
        assert line["said"], line
        assert (line["mend"] is None) == (line["state"] in ("ok", "not checked")), line
        if line["check"] not in found or line["state"] == "fail":
            found[line["check"]] = line
    return done.returncode, found


def failing(lines: dict[str, dict[str, Any]]) -> set[str]:
    return {name for name, line in lines.items() if line["state"] == "fail"}


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(0) as running:
        yield running


@pytest.fixture
def topic(broker: EmbeddedBroker, request: pytest.FixtureRequest) -> str:
    """A topic of the test's own."""
    name = f"events.{abs(hash(request.node.nodeid)) % 10**8}"
    ensure_topic(broker.bootstrap, name)
    return name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A database with one model, in the folder where the program looks for it."""
    engine = storage.create(f"sqlite:///{tmp_path / 'driftline.db'}")
    storage.upgrade(engine)
    frame = pd.DataFrame({"age": range(300), "plan": ["a", "b", "c"] * 100})
    with storage.transaction(engine) as conn:
        registry.register_reference(
            conn, build_reference(frame), model="churn", version="1", now_ms=1
        )
    engine.dispose()
    return tmp_path


def send(broker: EmbeddedBroker, topic: str, *values: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    try:
        for value in values:
            producer.send(topic, value).get(10)
    finally:
        producer.close()


def event(version: str = "1", age: Any = 41, **more: Any) -> bytes:
    at = datetime.now(UTC).isoformat()
    features = {"age": age, "plan": "a", **more}
    return json.dumps(
        {"type": "prediction", "model": "churn", "version": version, "time": at,
         "features": features, "prediction": 0.5}
    ).encode()  # fmt: skip


def place(broker: EmbeddedBroker, topic: str) -> dict[str, str]:
    return {"kafka__bootstrap": broker.bootstrap, "kafka__topic": topic}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_healthy_installation_has_no_failing_line(
    broker: EmbeddedBroker, topic: str, folder: Path
) -> None:
    send(broker, topic, *[event() for _ in range(150)])
    port = str(free_port())
    settings = {**place(broker, topic), "web__port": port, "kafka__group": "healthy",
                "ingest__checkpoint_interval_s": "0.2"}  # fmt: skip
    variables = {f"DRIFTLINE_{name.upper()}": value for name, value in settings.items()}
    roles: list[subprocess.Popen[bytes]] = []
    with (folder / "roles.log").open("wb") as log:
        try:
            # One by one: those that were started end, whatever happens to the next.
            roles.extend(
                subprocess.Popen(
                    [*DRIFTLINE, role], cwd=folder, env={**os.environ, **variables},
                    stdout=log, stderr=log,
                )
                for role in ("web", "ingest", "evaluate", "deliver")
            )  # fmt: skip
            deadline = time.monotonic() + 90
            while True:
                code, lines = doctor(folder, **settings)
                if code == 0 and lines["ingest"]["state"] == "ok":
                    break
                assert time.monotonic() < deadline, (lines, (folder / "roles.log").read_text())
        finally:
            for process in roles:
                process.terminate()
            for process in roles:
                process.wait(20)
    assert lines["records parse"]["said"] == "the last 100 records hold 100 events"
    assert "all 2 features as in the reference" in lines["records match a reference"]["said"]
    assert lines["topic"]["said"] == f"{topic}: 4 partitions, 150 records"
    assert lines["web"]["said"] == f"http://127.0.0.1:{port} is ready"
    assert "4 partitions" in lines["ingest"]["said"]
    assert {line["state"] for line in lines.values()} <= {"ok", "warn", "not checked"}


def test_a_broker_that_is_down_leaves_the_other_checks_as_they_are(folder: Path) -> None:
    code, lines = doctor(folder, kafka__bootstrap=f"127.0.0.1:{free_port()}")
    assert code == 1
    assert "broker reachable" in failing(lines)
    assert lines["topic"]["state"] == lines["records parse"]["state"] == "not checked"
    assert lines["schema"]["state"] == lines["database writable"]["state"] == "ok"


def test_a_topic_that_is_absent_is_not_made(broker: EmbeddedBroker, folder: Path) -> None:
    code, lines = doctor(folder, **place(broker, "not.there"))
    assert code == 1
    assert "topic create" in lines["topic"]["mend"]
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        assert "not.there" not in str(admin.list_topics())
    finally:
        admin.close()


def test_bad_records_are_counted_and_an_unknown_model_version_is_named(
    broker: EmbeddedBroker, topic: str, folder: Path
) -> None:
    send(broker, topic, b"no JSON", b"no JSON", event("2"), event("1", age="41", extra=1))
    code, lines = doctor(folder, **place(broker, topic))
    assert code == 1
    assert lines["records parse"]["state"] == "warn"
    assert "of the last 4 records: 2 bad_json" in lines["records parse"]["said"]
    matched = lines["records match a reference"]
    assert matched["state"] == "fail"
    assert "churn 2, which has no reference; churn has 1" in matched["said"]


def test_a_topic_without_records_is_no_fault(
    broker: EmbeddedBroker, topic: str, folder: Path
) -> None:
    _, lines = doctor(folder, **place(broker, topic))
    assert lines["topic"]["state"] == "ok"
    assert lines["records parse"]["said"] == "the topic is empty"


def test_an_absent_database_is_not_made(broker: EmbeddedBroker, topic: str, tmp_path: Path) -> None:
    send(broker, topic, event())
    code, lines = doctor(tmp_path, **place(broker, topic))
    assert code == 1
    assert "db upgrade" in lines["database reachable"]["mend"]
    assert lines["records parse"]["state"] == "ok"
    assert lines["records match a reference"]["state"] == "not checked"
    assert list(tmp_path.iterdir()) == []


def test_a_schema_of_another_release_and_a_file_that_is_no_database_are_said(
    folder: Path,
) -> None:
    engine = storage.create(f"sqlite:///{folder / 'driftline.db'}")
    with storage.transaction(engine) as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    before = files(folder)
    code, lines = doctor(folder)
    assert code == 1
    assert "version 0001" in lines["schema"]["said"]
    assert "db upgrade" in lines["schema"]["mend"]
    assert files(folder)["driftline.db"] == before["driftline.db"]
    (folder / "driftline.db").write_bytes(b"no database at all" * 100)
    code, lines = doctor(folder)
    assert "database reachable" in failing(lines)


def test_what_waits_to_be_sent_and_who_is_disabled_is_told(folder: Path) -> None:
    engine = storage.create(f"sqlite:///{folder / 'driftline.db'}")
    with storage.transaction(engine) as conn:
        conn.execute(
            sa.insert(t.endpoint).values(
                id=1, name="on-call", url="http://127.0.0.1:1/", secrets="[]", created_ms=1,
                disabled_ms=2, disabled_reason="it answered 410",
            )
        )  # fmt: skip
        conn.execute(
            sa.insert(t.outbox).values(
                endpoint_id=1, webhook_id="msg_1", sequence=1, type="drift.detected", body="{}",
                created_ms=1, state="pending", due_ms=1,
            )
        )  # fmt: skip
    engine.dispose()
    _, lines = doctor(folder)
    assert lines["deliver"]["state"] == "fail"
    assert lines["deliver"]["said"] == "it does not run; 1 message waits"
    assert "on-call is disabled (it answered 410)" in lines["endpoints"]["said"]


def test_settings_that_cannot_be_used_are_lines_too(folder: Path) -> None:
    code, lines = doctor(folder, kafka__security_protocol="SASL_SSL")
    assert code == 1
    assert "kafka.sasl_mechanism" in lines["broker settings"]["said"]
    assert lines["schema"]["state"] == "ok"
    code, lines = doctor(folder, web__host="0.0.0.0")
    assert "token_urlsafe" in lines["web settings"]["mend"]
    (folder / "driftline.toml").write_text("[kafka]\nbootstraps = 'x'\n")
    code, lines = doctor(folder)
    assert (code, set(lines)) == (1, {"settings"})


def test_a_port_that_speaks_plain_text_is_told_from_one_that_is_silent(
    broker: EmbeddedBroker, folder: Path
) -> None:
    _, lines = doctor(folder, kafka__bootstrap=broker.bootstrap, kafka__security_protocol="SSL")
    assert lines["broker reachable"]["state"] == "ok"
    assert "speaks plain text" in lines["broker protocol"]["said"]
