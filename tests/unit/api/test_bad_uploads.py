"""Uploads that are small to send and large to read: refused by their looks, one at a time."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from driftline import admissible
from driftline.admissible import MAX_FAULTS, check_lines
from driftline.errors import InvalidReference
from driftline.stats import document, reference
from driftline.stats.reference import Reference, build_reference
from monitor.api import events, registering
from monitor.api.app import create_app
from monitor.clock import HeldClock
from monitor.storage import registry
from monitor.storage.engine import transaction

NOW_MS = 1_760_000_000_000
JSON = {"content-type": "application/json"}


@pytest.fixture
def api(engine: Engine) -> Iterator[TestClient]:
    app = create_app(engine, with_dashboard=False, clock=HeldClock(NOW_MS))
    with TestClient(app, base_url="http://127.0.0.1:8050", raise_server_exceptions=False) as client:
        yield client


def small() -> Reference:
    frame = pd.DataFrame({"x": np.arange(1_200) % 7, "site": [f"s{i % 40}" for i in range(1_200)]})
    return build_reference(frame, segments=["site"])


def upload(said: bytes, model: str = "m") -> bytes:
    return msgspec.json.encode({"model": model, "version": "1", "reference": msgspec.Raw(said)})


@pytest.mark.parametrize("many", [b"[],", b'{"":{}},', b"0,", b'"a",'])
def test_a_document_of_millions_of_values_is_refused_before_it_is_read(
    api: TestClient, many: bytes
) -> None:
    """Wrong were: 46 seconds and 1.7 GB for 64 MB of empty lists."""
    bomb = b'{"format":1,"features":[' + many * 2_000_001 + b"0]}"
    with patch.object(document.json, "loads", side_effect=AssertionError("it was read")):
        answer = api.post("/api/v1/references", content=upload(bomb), headers=JSON)
    assert answer.status_code == 422
    assert "values, over 2,000,000" in answer.json()["detail"]


def test_fifty_thousand_features_are_refused_with_their_number(api: TestClient) -> None:
    said = json.loads(small().to_document())
    one = said["features"][0]
    said["features"] = [one | {"name": f"x{i}"} for i in range(50_000)]
    answer = api.post("/api/v1/references", content=upload(json.dumps(said).encode()), headers=JSON)
    assert answer.status_code == 422
    assert "50,000 entries, over 5,000" in answer.json()["detail"]


def test_fifty_thousand_columns_are_no_reference_and_the_mend_is_said() -> None:
    frame = pd.DataFrame(np.zeros((2, 50_000)), columns=[f"x{i}" for i in range(50_000)])
    with pytest.raises(InvalidReference, match="50,000 columns are over 5,000: name the features="):
        build_reference(frame)


def test_features_in_too_many_segments_are_refused_here_and_there(
    engine: Engine, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each feature and each segment is within its limit: what they are together is not."""
    made = small()
    assert len(made.dimensions["site"]) == 40
    monkeypatch.setattr(reference, "MAX_CELLS", 42 * made.gridset.size)
    small()  # all, 40 and the others: just enough
    monkeypatch.setattr(reference, "MAX_CELLS", 42 * made.gridset.size - 1)
    with pytest.raises(InvalidReference, match=r"42 segments are .* counts an hour"):
        small()
    answer = api.post("/api/v1/references", content=upload(made.to_document()), headers=JSON)
    assert answer.status_code == 422
    assert "counts an hour" in answer.json()["detail"]
    with transaction(engine) as conn, pytest.raises(InvalidReference, match="counts an hour"):
        registry.register_reference(conn, made, model="m", version="1", now_ms=1)
    # What is stored already is read: an upgrade must not stop a consumer.
    assert Reference.from_document(made.to_document()).digest == made.digest


def test_references_are_read_one_at_a_time(api: TestClient) -> None:
    """Each may take a gigabyte while it is unpacked."""
    now, most, lock = [0], [0], threading.Lock()
    register = registering._register

    def watched(*given: Any) -> Any:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        try:
            threading.Event().wait(0.02)
            return register(*given)
        finally:
            with lock:
                now[0] -= 1

    bodies = [upload(small().to_document(), f"m{i}") for i in range(8)]
    with patch.object(registering, "_register", watched), ThreadPoolExecutor(8) as pool:
        said = pool.map(
            lambda body: api.post("/api/v1/references", content=body, headers=JSON), bodies
        )
        assert [answer.status_code for answer in said] == [201] * 8
    assert most[0] == 1


@pytest.mark.parametrize(
    ("kind", "many", "n"),
    [
        ("json", b"0,", 1_000_001),
        ("json", b"{},", 600_000),
        ("json", b"[", 2_000_000),
        ("x-ndjson", b"{}\n", 600_000),
    ],
)
def test_events_of_a_million_values_are_refused_before_they_are_read(
    api: TestClient, kind: str, many: bytes, n: int
) -> None:
    body = (b"[" if kind == "json" else b"") + many * n
    with patch.object(events, "_objects", side_effect=AssertionError("it was read")):
        answer = api.post(
            "/api/v1/events", content=body, headers={"content-type": f"application/{kind}"}
        )
    assert answer.status_code == 422
    assert answer.json()["faults"][0]["reason"] == "oversized"


@pytest.mark.parametrize("kind", ["json", "x-ndjson"])
def test_after_a_thousand_faults_nothing_further_is_looked_at(api: TestClient, kind: str) -> None:
    """All or nothing: one would do."""
    body = b"{}\n" * 20_000 if kind == "x-ndjson" else b"[" + b"{}," * 20_000 + b"{}]"
    looked = 0
    decode = admissible.decode

    def counted(*given: Any) -> Any:
        nonlocal looked
        looked += 1
        return decode(*given)

    with patch.object(admissible, "decode", counted):
        answer = api.post(
            "/api/v1/events", content=body, headers={"content-type": f"application/{kind}"}
        )
    assert answer.status_code == 422
    assert looked == MAX_FAULTS
    assert "type_missing, and more." in answer.json()["detail"]
    assert len(answer.json()["faults"]) == 20


def test_who_takes_the_good_lines_hears_of_every_bad_one() -> None:
    """`driftline log` sends what is good: it may not end early."""
    found = check_lines(enumerate([b"{}"] * (MAX_FAULTS + 500), 1), NOW_MS)
    assert len(found.faults) == MAX_FAULTS + 500
