"""Events over HTTP: checked as consumers check, all or nothing, written to the broker."""

from __future__ import annotations

import gc
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import uvicorn
from fastapi.testclient import TestClient
from kafka_gate import KafkaGate
from logged import ids_of, records_in, rows_of
from sqlalchemy.engine import Engine

from consumers.admit import Rules, admit
from driftline import ApiError, Client, ServerUnavailable
from driftline.admissible import check_lines
from driftline.arrow import encode_events
from driftline.delivering import Delivery
from driftline.producer import ARROW, MAX_RECORD_BYTES
from driftline.wire import decode
from monitor.api.app import create_app
from monitor.api.events import MAX_EVENTS_BYTES
from monitor.clock import HeldClock

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)
NOW_MS = 1_760_000_000_000
PATH = "/api/v1/events"


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[KafkaGate]:
    with KafkaGate(tmp_path / "broker.log") as opened:
        yield opened


@contextmanager
def asking(engine: Engine, delivery: Delivery | None) -> Iterator[TestClient]:
    app = create_app(engine, with_dashboard=False, clock=HeldClock(NOW_MS), delivery=delivery)
    with TestClient(app, base_url="http://127.0.0.1:8050", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def api(engine: Engine, gate: KafkaGate) -> Iterator[TestClient]:
    with (
        Delivery(gate.bootstrap, "driftline.events", timeout_s=3.0) as delivery,
        asking(engine, delivery) as client,
    ):
        yield client


@pytest.fixture
def checking(engine: Engine) -> Iterator[TestClient]:
    """The API without a broker: what is refused before one is needed."""
    with asking(engine, None) as client:
        yield client


def event(id: Any, **changes: Any) -> dict[str, Any]:
    return {
        "type": "prediction", "id": id, "model": "m", "version": "3", "time": NOW_MS,
        "features": {"x": 1.5}, "prediction": 0.5,
    } | changes  # fmt: skip


def test_one_event_is_one_json_object_in_the_topic(api: TestClient, gate: KafkaGate) -> None:
    answer = api.post(PATH, json=event("a"))
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1})
    (record,) = records_in(gate.bootstrap, 1)
    assert msgspec.json.decode(record.value) == event("a")


def test_an_array_written_over_many_lines_is_ndjson(api: TestClient, gate: KafkaGate) -> None:
    text = json.dumps([event(i) for i in range(1_500)], indent=2)
    answer = api.post(PATH, content=text, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1_500})
    found = records_in(gate.bootstrap, 1_500)
    assert sorted(len(rows_of(record)) for record in found) == [500, 1_000]
    assert ids_of(found) == list(range(1_500))


@pytest.mark.parametrize(
    ("kind", "body"), [("json", "[{}]"), ("json", "{}"), ("x-ndjson", "{}\n{}")]
)
def test_a_mark_of_byte_order_before_the_first_event_is_no_part_of_it(
    kind: str, body: str, checking: TestClient
) -> None:
    sent = b"\xef\xbb\xbf" + body.encode()
    answer = checking.post(PATH, content=sent, headers={"content-type": f"application/{kind}"})
    faults = answer.json()["faults"]
    assert {fault["reason"] for fault in faults} == {"type_missing"}
    assert len(faults) == body.count("{")


def test_ndjson_is_taken_line_by_line(api: TestClient, gate: KafkaGate) -> None:
    lines = "\r\n".join(json.dumps(event(i)) for i in range(3)) + "\n\n"
    answer = api.post(PATH, content=lines, headers={"content-type": "application/x-ndjson"})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 3})
    assert ids_of(records_in(gate.bootstrap, 3)) == [0, 1, 2]


def test_an_arrow_stream_stays_one_and_a_large_one_is_cut(api: TestClient, gate: KafkaGate) -> None:
    events = [
        decode(json.dumps(event(i, features={"t": "a" * 600})).encode()) for i in range(2_500)
    ]
    stream = encode_events(events)
    assert stream is not None
    assert len(stream) > MAX_RECORD_BYTES
    answer = api.post(PATH, content=stream, headers={"content-type": ARROW})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 2_500})
    found = records_in(gate.bootstrap, 2_500)
    assert all(len(record.value) <= MAX_RECORD_BYTES and record.headers for record in found)
    assert ids_of(found) == list(range(2_500))


BAD = [
    (event("a", type="guess"), "type_unknown"),
    (event("a", model=""), "model_missing"),
    (event("a", model="a\u0000b"), "model_invalid"),
    (event("a", model="m" * 201), "model_invalid"),
    (event("a", version=""), "version_missing"),
    (event("a", version=10**40), "version_invalid"),
    (event("a", time="2025-02-08T10:15:00"), "time_no_offset"),
    (event("a", time=5), "time_out_of_range"),
    (event("a", time=NOW_MS + 300_001), "time_in_future"),
    (event("a", time="soon"), "time_invalid"),
    (event("a", features=[1]), "features_invalid"),
    ({"type": "label", "model": "m", "time": NOW_MS, "label": 1}, "id_missing"),
    ({"type": "label", "model": "m", "time": NOW_MS, "id": 1}, "label_missing"),
    ([], "not_an_object"),
    ("text", "not_an_object"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_what_the_consumer_refuses_is_refused_here_for_the_same_reason(
    bad: Any, reason: str, checking: TestClient
) -> None:
    value = json.dumps(bad).encode()
    record = SimpleNamespace(offset=0, timestamp=NOW_MS, value=value, headers=())
    assert [letter.reason for letter in admit([record], Rules()).letters] == [reason]
    answer = checking.post(PATH, json=[event("good"), bad])
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    (fault,) = answer.json()["faults"]
    assert (fault["line"], fault["reason"]) == (2, reason)


@pytest.mark.parametrize("time_ms", [NOW_MS + 300_000, 946_684_800_000, 1])
def test_whatever_is_taken_the_consumer_counts(time_ms: int) -> None:
    value = json.dumps(event("a", time=time_ms)).encode()
    record: Any = SimpleNamespace(offset=0, timestamp=NOW_MS, value=value, headers=())
    is_counted = not admit([record], Rules()).letters
    assert bool(check_lines([(1, value)], NOW_MS).lines) is is_counted


def test_one_bad_event_of_many_writes_nothing_and_twenty_are_told(
    api: TestClient, gate: KafkaGate
) -> None:
    before = gate.produced
    lines = [json.dumps(event(i)) for i in range(100)]
    for i in range(0, 100, 2):
        lines[i] = "{"
    answer = api.post(
        PATH, content="\n".join(lines), headers={"content-type": "application/x-ndjson"}
    )
    problem = answer.json()
    assert answer.status_code == 422
    assert len(problem["faults"]) == 20
    assert [fault["line"] for fault in problem["faults"]] == list(range(1, 41, 2))
    assert problem["detail"].startswith("Event 1: bad_json")
    assert "and 49 more" in problem["detail"]
    assert gate.produced == before


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", "application/json"),
        ("[]", "application/json"),
        ("[", "application/json"),
        ("\n \n", "application/x-ndjson"),
        ("no stream", ARROW),
        ("", ARROW),
        ("[" * 100_000, "application/json"),
        ("\ufeff", "application/json"),
    ],
)
def test_a_body_without_events_is_refused(body: str, kind: str, checking: TestClient) -> None:
    answer = checking.post(PATH, content=body.encode(), headers={"content-type": kind})
    assert answer.status_code == 422
    assert answer.json()["faults"]


def test_bad_rows_of_an_arrow_stream_have_their_numbers(checking: TestClient) -> None:
    table = pa.table(
        {
            "type": ["prediction", "guess", "prediction"],
            "model": ["m", "m", ""],
            "version": ["1", "1", "1"],
            "time": [NOW_MS, NOW_MS, NOW_MS],
        }
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = checking.post(
        PATH, content=sink.getvalue().to_pybytes(), headers={"content-type": ARROW}
    )
    faults = answer.json()["faults"]
    assert [(f["line"], f["reason"]) for f in faults] == [(2, "type_unknown"), (3, "model_missing")]


def test_another_type_of_body_and_a_body_too_large_are_refused(checking: TestClient) -> None:
    answer = checking.post(PATH, content="x", headers={"content-type": "text/csv"})
    assert answer.status_code == 415
    assert "application/x-ndjson" in answer.json()["mend"]
    large = b"[" + b" " * MAX_EVENTS_BYTES + b"]"
    answer = checking.post(PATH, content=large, headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_another_site_may_not_log(checking: TestClient) -> None:
    answer = checking.post(PATH, json=event("a"), headers={"origin": "https://elsewhere.example"})
    assert answer.status_code == 403


def test_a_broker_that_is_gone_is_a_503_and_one_that_is_back_takes_events(
    api: TestClient, gate: KafkaGate
) -> None:
    gate.shut()
    answer = api.post(PATH, json=event("lost"))
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "no Kafka broker answers" in answer.json()["detail"]
    gate.open()
    assert api.post(PATH, json=event("a")).status_code == 202
    gate.shut()
    assert api.post(PATH, json=event("cut")).status_code == 503
    gate.open()
    assert api.post(PATH, json=event("b")).status_code == 202
    ids = ids_of(records_in(gate.bootstrap, 2))
    assert ids == ["a", "b"], "what was refused is not written later"


def test_a_broker_that_hangs_is_a_503_in_bounded_time(api: TestClient, gate: KafkaGate) -> None:
    assert api.post(PATH, json=event("a")).status_code == 202
    gate.hold()
    began = time.monotonic()
    assert api.post(PATH, json=event("b")).status_code == 503
    assert time.monotonic() - began < 12.0


def test_a_record_that_the_broker_refuses_is_no_outage(api: TestClient, gate: KafkaGate) -> None:
    gate.refuse_above_bytes = 100_000
    answer = api.post(PATH, json=event("a", features={"x": "a" * 200_000}))
    assert answer.status_code == 422
    assert "MessageSizeTooLarge" in answer.json()["detail"]
    assert api.post(PATH, json=event("b")).status_code == 202, "and it goes on"


def test_without_a_broker_s_address_it_says_so(checking: TestClient) -> None:
    answer = checking.post(PATH, json=event("a"))
    assert answer.status_code == 503
    assert answer.json()["title"] == "This server has no broker"


# -- the client -----------------------------------------------------------------------------


@pytest.fixture
def url(engine: Engine, gate: KafkaGate) -> Iterator[str]:
    """A real server that writes to the broker."""
    with Delivery(gate.bootstrap, "driftline.events", timeout_s=3.0) as delivery:
        app = create_app(engine, with_dashboard=False, clock=HeldClock(NOW_MS), delivery=delivery)
        config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning")
        server = uvicorn.Server(config)
        sock = config.bind_socket()
        thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
        server.should_exit = True
        thread.join(timeout=10)
        sock.close()


def test_the_client_logs_in_requests_that_the_server_reads(
    url: str, gate: KafkaGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("driftline.client.EVENTS_BYTES", 20_000)
    at = datetime.fromtimestamp(NOW_MS / 1_000, UTC)
    events = (event(i, time=at, features={"x": np.float32(i)}) for i in range(300))
    with Client(url) as client:
        assert client.log(events) == 300
        assert client.log([]) == 0
    found = records_in(gate.bootstrap, 300)
    assert ids_of(found) == list(range(300))
    assert len(found) > 1


def test_the_client_says_which_event_is_wrong_and_when_the_broker_is_gone(
    url: str, gate: KafkaGate
) -> None:
    with Client(url) as client:
        with pytest.raises(ApiError, match="Event 2: time_no_offset"):
            client.log([event("a"), event("b", time=datetime(2025, 1, 1))])
        gate.shut()
        with pytest.raises(ServerUnavailable, match="no Kafka broker answers"):
            client.log([event("c")])
    with Client("http://127.0.0.1:9") as client, pytest.raises(ServerUnavailable):
        client.log([event("d")])
