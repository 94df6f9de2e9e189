"""What a consumer tells of itself, by its real loop on a made-up topic; and when it is ready."""

from __future__ import annotations

import http.client
import json
from typing import Any

import pytest
from fake_source import prediction
from fastapi.testclient import TestClient
from ingest_rig import Rig
from kafka.errors import KafkaConnectionError
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.engine import Engine

from consumers.loop import Loop
from consumers.metrics import STUCK_S, Ingesting
from driftline.errors import BrokerUnavailable, ConfigError, StreamError
from monitor.api.metrics import create_role_app
from monitor.cli import measuring
from monitor.cli.processes import free_port
from monitor.config import load
from monitor.metrics.exposing import exposition
from monitor.metrics.names import FAMILIES
from monitor.metrics.working import Working
from monitor.storage import checkpoint
from monitor.storage.heartbeats import DEAD_AFTER_MS

TOKEN = "a-token-of-more-than-20-characters"
LOCAL = "http://127.0.0.1:9101"


class Measured:
    """A loop that is measured."""

    def __init__(self, engine: Engine, **settings: object) -> None:
        self.rig = Rig(engine, partitions=2, **settings)
        self.meter = Ingesting(self.rig.clock)
        rig = self.rig
        rig.loop = Loop(rig.engine, rig.source, rig.settings, rig.clock, meter=self.meter)

    def value(self, name: str, **labels: str) -> float:
        text = exposition(self.meter.registry, "")[0].decode()
        for family in text_string_to_metric_families(text):
            for one in family.samples:
                if one.name == name and one.labels == labels:
                    return one.value
        raise AssertionError((name, labels, text))


@pytest.fixture
def measured(engine: Engine) -> Measured:
    return Measured(engine)


def test_a_loop_tells_what_it_holds_and_how_its_checkpoints_ended(measured: Measured) -> None:
    rig = measured.rig
    for i in range(5):
        rig.topic.append(prediction(i), i % 2)
    rig.loop.step()
    rig.loop.step()
    assert measured.value("driftline_held_events") == 5
    assert measured.value("driftline_held_bytes") > 0
    rig.settle()
    assert measured.value("driftline_held_events") == 0
    assert measured.value("driftline_partitions", state="assigned") == 2
    assert measured.value("driftline_partitions", state="claimed") == 2
    assert measured.value("driftline_rebalances_total", kind="assigned") == 1
    assert measured.value("driftline_checkpoint_seconds_count", result="committed") == 2
    buckets = measured.value("driftline_checkpoint_seconds_bucket", result="committed", le="+Inf")
    assert buckets == 2
    assert measured.value("driftline_checkpoint_seconds_count", result="watched") > 0


def test_a_fence_and_a_poll_that_raised_are_counted(measured: Measured) -> None:
    rig = measured.rig
    rig.settle(1)
    rig.topic.append(prediction(0))
    rig.loop.step()
    with rig.engine.begin() as conn:  # another owner claims behind our back
        stream_id = conn.exec_driver_sql("SELECT id FROM stream").scalar_one()
        checkpoint.claim(
            conn, stream_id=stream_id, partition=0, owner="other",
            group_id=rig.settings.group_id,
        )  # fmt: skip
    rig.source.skip_and_raise = 1
    rig.settle(1)
    assert measured.value("driftline_checkpoint_seconds_count", result="fenced") == 1
    assert measured.value("driftline_poll_errors_total", error="StreamError") == 1


def test_a_poll_that_raised_is_counted_by_what_the_client_raised(measured: Measured) -> None:
    """Wrong were: one class of ours for all that can go wrong."""
    rig = measured.rig
    rig.settle(1)
    polls = rig.source.poll

    def interrupted(_timeout_s: float) -> Any:
        rig.source.poll = polls  # type: ignore[method-assign]
        raise StreamError("reading failed: cut") from KafkaConnectionError("cut")

    rig.source.poll = interrupted  # type: ignore[method-assign]
    rig.settle(1)
    assert measured.value("driftline_poll_errors_total", error="KafkaConnectionError") == 1
    with pytest.raises(AssertionError):
        measured.value("driftline_poll_errors_total", error="StreamError")


def test_reading_that_pauses_is_told(engine: Engine) -> None:
    measured = Measured(engine, max_rows=3)
    rig, now = measured.rig, measured.value
    rig.settle(1)
    rig.topic.extend(prediction(i) for i in range(10))
    # The broker does not say whose topic it is: nothing can be written, and nothing is dropped.
    rig.source.identity = _fails  # type: ignore[method-assign]
    rig.loop.step()
    rig.loop.step()
    assert now("driftline_reading_paused") == 1
    assert now("driftline_held_events") == 10


def _fails() -> None:
    raise BrokerUnavailable("no answer")


def test_it_is_ready_while_broker_and_database_answer(measured: Measured) -> None:
    rig, meter = measured.rig, measured.meter
    assert meter.not_ready() == "the loop has not begun"
    rig.settle(1)
    assert meter.not_ready() is None
    rig.topic.is_down = True
    rig.settle(1)
    assert meter.not_ready() == "the broker does not answer"
    assert measured.value("driftline_broker_up") == 0
    assert measured.value("driftline_ready") == 0
    rig.topic.is_down = False
    rig.settle(1)
    assert meter.not_ready() is None
    meter.database(is_up=False)  # a heartbeat failed
    assert meter.not_ready() == "the database does not answer"
    meter.database(is_up=True)
    assert meter.not_ready() is None


def test_a_loop_that_stands_still_is_not_ready(measured: Measured) -> None:
    measured.rig.settle(1)
    measured.rig.clock.advance(STUCK_S + 1)
    assert "stands still" in (measured.meter.not_ready() or "")


def test_who_owns_nothing_stands_by_and_is_ready(engine: Engine) -> None:
    measured = Measured(engine)
    measured.rig.settle(1)
    measured.rig.source.take(0, 1)
    measured.rig.settle(1)
    assert measured.value("driftline_partitions", state="assigned") == 0
    assert measured.meter.not_ready() is None


def test_a_heartbeat_that_hangs_is_no_yes(engine: Engine) -> None:
    rig = Rig(engine)
    working = Working("evaluate", rig.clock)
    assert working.not_ready() is not None
    working.database(is_up=True)
    assert working.not_ready() is None
    rig.clock.advance(DEAD_AFTER_MS / 1000 + 1)
    assert working.not_ready() == "the database does not answer"


def test_every_series_of_a_role_is_in_the_table_and_told(measured: Measured) -> None:
    rig = measured.rig
    rig.topic.append(prediction(0))
    rig.source.skip_and_raise = 1
    rig.settle()
    text = exposition(measured.meter.registry, "")[0].decode()
    families = {f.name: f for f in text_string_to_metric_families(text)}
    ours = {n: f for n, f in families.items() if n.startswith("driftline_")}
    expected = {
        name.removesuffix("_total"): known
        for name, known in FAMILIES.items()
        if known.where != "web"
    }
    assert ours.keys() == expected.keys()
    for name, known in expected.items():
        assert ours[name].type == known.kind
        assert ours[name].samples, name
        for one in ours[name].samples:
            assert set(one.labels) - {"le"} == set(known.labels)
    assert "process_resident_memory_bytes" in families


@pytest.fixture
def working(engine: Engine) -> Working:
    return Working("deliver", Rig(engine).clock)


def test_a_role_answers_probes_openly_and_series_only_by_its_token(working: Working) -> None:
    app = create_role_app(working, token=TOKEN, is_loopback=True)
    with TestClient(app, base_url=LOCAL, follow_redirects=False) as stranger:
        assert stranger.get("/healthz").json() == {"status": "alive"}
        answer = stranger.get("/readyz")
        assert answer.status_code == 503
        assert "database" in answer.json()["detail"]
        working.database(is_up=True)
        assert stranger.get("/readyz").json() == {"status": "ready"}
        assert stranger.get("/metrics").status_code == 401
        right = {"authorization": f"Bearer {TOKEN}"}
        assert b"driftline_ready 1.0" in stranger.get("/metrics", headers=right).content
        assert stranger.post("/metrics", headers=right).status_code == 405


def test_on_loopback_only_this_machine_s_names_are_heard(working: Working) -> None:
    app = create_role_app(working, token=None, is_loopback=True)
    with TestClient(app, base_url="http://evil.example") as stranger:
        assert stranger.get("/metrics").status_code == 421


def test_the_port_is_served_and_closed(working: Working) -> None:
    number = free_port()
    with measuring.served(working, load({}), measuring.LOCAL, number):
        asked = http.client.HTTPConnection("127.0.0.1", number, timeout=5)
        asked.request("GET", "/healthz")
        assert json.loads(asked.getresponse().read()) == {"status": "alive"}
        asked.close()
        with (
            pytest.raises(ConfigError, match="free port"),
            measuring.served(working, load({}), measuring.LOCAL, number),
        ):
            pass
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection("127.0.0.1", number, timeout=5).request("GET", "/healthz")


def test_another_address_needs_the_token(working: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRIFTLINE_TOKEN", raising=False)
    with (
        pytest.raises(ConfigError, match="DRIFTLINE_TOKEN"),
        measuring.served(working, load({}), "0.0.0.0", free_port()),
    ):
        pass
