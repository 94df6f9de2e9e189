"""The API over a real SQLite file and the real app: no part is replaced."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from driftline.stats.reference import build_reference
from monitor.api.app import create_app
from monitor.api.guard import MAX_BODY_BYTES, MAX_REFERENCE_BYTES
from monitor.clock import HeldClock
from monitor.storage import engine as storage
from monitor.storage import schema as t
from tests.seed_database import NOW_MS, seed

LOCAL = "http://127.0.0.1:8050"
JSON = {"content-type": "application/json"}


@pytest.fixture
def api(engine: Engine) -> Iterator[TestClient]:
    app = create_app(engine, with_dashboard=False, clock=HeldClock(NOW_MS))
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def seeded(engine: Engine, api: TestClient) -> TestClient:
    seed(engine, days=20)
    return api


def document(shift: float = 0.0) -> bytes:
    draw = np.random.default_rng(7)
    frame = pd.DataFrame(
        {
            "x": draw.normal(shift, 1, 1_200),
            "y": draw.choice(["a", "b"], 1_200),
            "s": draw.random(1_200),
        }
    )
    return build_reference(frame, score="s").to_document()


def body(reference: bytes, **more: Any) -> bytes:
    return msgspec.json.encode(
        {"model": "m", "version": "1", "reference": msgspec.Raw(reference), **more}
    )


def is_problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["status"] == status
    assert problem["title"]
    assert "Traceback" not in response.text
    return problem


def test_a_reference_is_registered_once_and_found_again(api: TestClient) -> None:
    first = api.post("/api/v1/references", content=body(document()), headers=JSON)
    assert first.status_code == 201
    again = api.post("/api/v1/references", content=body(document()), headers=JSON)
    assert again.status_code == 200
    assert again.json()["created"] is False
    assert again.json()["digest"] == first.json()["digest"]

    listed = api.get("/api/v1/references").json()["items"]
    assert [row["digest"] for row in listed] == [first.json()["digest"]]
    one = api.get(f"/api/v1/references/{first.json()['digest']}").json()
    assert one["rows"] == 1_200
    assert [(b["model"], b["version"]) for b in one["bound_to"]] == [("m", "1")]
    assert api.get("/api/v1/models/m").json()["versions"][0]["health"] == "collecting"


def test_another_reference_for_a_bound_version_is_refused_with_the_way_out(api: TestClient) -> None:
    api.post("/api/v1/references", content=body(document()), headers=JSON)
    problem = is_problem(
        api.post("/api/v1/references", content=body(document(shift=1)), headers=JSON), 409
    )
    assert "effective_from" in problem["mend"]
    later = body(document(shift=1), effective_from="2030-01-01T00:00:00Z")
    assert api.post("/api/v1/references", content=later, headers=JSON).status_code == 201


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422),
        (b"[" * 100_000, 422),
        (b"not json", 422),
        (b'{"model": "m", "version": "1"}', 422),
        (b'{"model": "m", "version": "1", "reference": {}}', 422),
        (b'{"model": "m", "version": "1", "reference": "x"}', 422),
        (b'{"model": "m", "version": "1", "reference": {}, "surprise": 1}', 422),
    ],
)
def test_what_is_no_registration_is_a_problem_not_a_traceback(
    api: TestClient, content: bytes, status: int
) -> None:
    is_problem(api.post("/api/v1/references", content=content, headers=JSON), status)


def test_a_name_that_is_too_long_and_a_time_without_offset_are_refused(api: TestClient) -> None:
    long = msgspec.json.encode(
        {"model": "m" * 201, "version": "1", "reference": msgspec.Raw(document())}
    )
    is_problem(api.post("/api/v1/references", content=long, headers=JSON), 422)
    naive = body(document(), effective_from="2030-01-01T00:00:00")
    is_problem(api.post("/api/v1/references", content=naive, headers=JSON), 422)


@pytest.mark.parametrize("name", ["a\tb", "a\u00a0b", "1\u200b", ""])
@pytest.mark.parametrize("place", ["model", "version", "replaces"])
def test_a_name_that_no_event_can_bear_is_refused(api: TestClient, place: str, name: str) -> None:
    asked = {"model": "m", "version": "1", "reference": msgspec.Raw(document()), place: name}
    answer = api.post("/api/v1/references", content=msgspec.json.encode(asked), headers=JSON)
    assert "printable characters" in is_problem(answer, 422)["detail"]


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+23:59", "1969-12-31T23:00:00Z", "9999-12-31T23:59:59-23:59"]
)
def test_a_reference_cannot_count_from_before_or_after_all_events(api: TestClient, at: str) -> None:
    answer = api.post(
        "/api/v1/references", content=body(document(), effective_from=at), headers=JSON
    )
    assert is_problem(answer, 422)["mend"]


def test_two_references_cannot_count_from_the_same_pane_on(api: TestClient) -> None:
    def post(shift: float, at: str | None) -> Any:
        content = body(document(shift), effective_from=at)
        return api.post("/api/v1/references", content=content, headers=JSON)

    assert post(0, None).status_code == 201
    assert post(1, "2030-01-01T00:10:00Z").status_code == 201
    assert post(1, "2030-01-01T00:10:00Z").status_code == 200
    said = is_problem(post(2, "2030-01-01T00:20:00Z"), 409)["detail"]
    assert post(1, "2030-01-01T00:10:00Z").json()["digest"][:12] in said
    assert "2030-01-01T01:00:00Z or later" in said
    assert post(2, "2030-01-01T01:00:00Z").status_code == 201


def test_a_number_that_no_float_holds_is_a_problem(api: TestClient) -> None:
    for part, key, value in (
        ("features", 0, {"low": 10**400}),
        ("facts", "importance", {"x": 10**400}),
    ):
        changed = json.loads(document())
        changed[part][key] |= value
        content = body(json.dumps(changed).encode())
        is_problem(api.post("/api/v1/references", content=content, headers=JSON), 422)


def test_only_json_is_taken_so_that_a_foreign_form_cannot_write(api: TestClient) -> None:
    is_problem(
        api.post(
            "/api/v1/references", content=body(document()), headers={"content-type": "text/plain"}
        ),
        415,
    )


def test_a_foreign_origin_may_not_write_and_a_foreign_host_may_not_read(api: TestClient) -> None:
    headers = {**JSON, "origin": "https://evil.example"}
    is_problem(api.post("/api/v1/references", content=b"{}", headers=headers), 403)
    broken = {**JSON, "origin": "http://["}
    assert is_problem(api.post("/api/v1/references", content=b"{}", headers=broken), 403)["mend"]
    is_problem(api.get("/api/v1/models", headers={"host": "evil.example"}), 421)
    assert api.get("/api/v1/models", headers={"host": "localhost:8050"}).status_code == 200
    assert api.get("/api/v1/models", headers={"host": "[::1]:8050"}).status_code == 200


def test_a_body_over_the_limit_is_refused_whether_it_says_its_length_or_not(
    api: TestClient,
) -> None:
    said = {**JSON, "content-length": str(MAX_REFERENCE_BYTES + 1)}
    is_problem(api.post("/api/v1/references", content=b"{}", headers=said), 413)

    def chunks() -> Iterator[bytes]:
        for _ in range(MAX_REFERENCE_BYTES // 1_048_576 + 2):
            yield b" " * 1_048_576

    is_problem(api.post("/api/v1/references", content=chunks(), headers=JSON), 413)
    is_problem(api.post("/api/v1/models", content=b" " * (MAX_BODY_BYTES + 1)), 413)


def test_windows_and_findings_come_in_pages_that_miss_and_repeat_nothing(
    seeded: TestClient,
) -> None:
    for path, limit, total in (("windows", 7, 20), ("findings", 50, 20 * 18)):
        seen: list[tuple[Any, ...]] = []
        cursor: dict[str, str] = {}
        while True:
            page = seeded.get(
                f"/api/v1/{path}", params={"model": "flight-delay", "limit": limit, **cursor}
            ).json()
            seen += [(i["start"], i["segment"], i.get("feature")) for i in page["items"]]
            if page["next"] is None:
                break
            cursor = {"cursor": page["next"]}
        assert len(seen) == len(set(seen)) == total
        assert seen == sorted(seen, key=str)


def test_a_range_of_windows_is_half_open_and_in_utc(seeded: TestClient) -> None:
    found = seeded.get(
        "/api/v1/windows",
        params={
            "model": "flight-delay",
            "from": "2013-02-03T00:00:00-05:00",
            "to": "2013-02-05T05:00:00Z",
        },
    ).json()["items"]
    assert [w["start"] for w in found] == ["2013-02-03T05:00:00Z", "2013-02-04T05:00:00Z"]


def test_findings_carry_each_rate_with_its_bound_and_its_limit(seeded: TestClient) -> None:
    found = seeded.get(
        "/api/v1/findings",
        params={"model": "flight-delay", "feature": "airport_delay", "from": "2013-02-08T05:00:00Z",
                "to": "2013-02-09T05:00:00Z"},
    ).json()["items"]  # fmt: skip
    assert [f["feature"] for f in found] == ["airport_delay"]
    assert found[0]["missing_excess"] > found[0]["missing_limit"] > 0
    assert found[0]["exceeds"] == ["missing"]


def test_pending_incidents_stay_out_unless_they_are_asked_for(seeded: TestClient) -> None:
    told = seeded.get("/api/v1/incidents").json()["items"]
    assert 99 not in {i["id"] for i in told}
    assert {i["state"] for i in told} >= {"firing", "resolved"}
    pending = seeded.get("/api/v1/incidents", params={"state": "pending"}).json()["items"]
    assert [i["id"] for i in pending] == [99]
    one = seeded.get("/api/v1/incidents/12").json()
    assert [line["event"] for line in one["history"]] == ["opened"]


def test_status_says_in_one_look_what_is_counted_and_what_is_not(seeded: TestClient) -> None:
    status = seeded.get("/api/v1/status").json()
    assert status["models"] == [
        {"model": "flight-delay", "version": "1", "health": "drifting"},
        {"model": "gate-hold", "version": "7", "health": "collecting"},
    ]
    assert status["dead_letters"] == {"time_in_future": 36, "bad_json": 24, "model_missing": 4}
    assert [p["partition"] for p in status["partitions"]] == [0, 1, 2, 3]
    assert status["deficits"][0]["records"] == 80
    assert status["gaps"][0]["kind"] == "retention"


def test_dead_letters_come_newest_first_in_pages_with_what_was_read_of_them(
    engine: Engine, seeded: TestClient
) -> None:
    with storage.transaction(engine) as conn:
        conn.execute(
            sa.insert(t.dead_letter),
            [
                {
                    "stream_id": 1, "partition": n % 2, "offset": 100 + n, "line": 0,
                    "reason": "model_missing", "detail": "no model", "size_bytes": 9_000,
                    "payload": b"\xff\x00<b>" + b"x" * 4_000, "payload_sha256": "1" * 64,
                    "kafka_ms": None, "created_ms": NOW_MS + n // 3 * 1_000,
                }
                for n in range(7)
            ],
        )  # fmt: skip
    seen: list[tuple[str, int, int]] = []
    cursor: dict[str, str] = {}
    while True:
        page = seeded.get("/api/v1/dead-letters", params={"limit": 3, **cursor}).json()
        seen += [(i["recorded"], i["partition"], i["offset"]) for i in page["items"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert len(seen) == len(set(seen)) == 8
    assert seen == sorted(seen, reverse=True)

    one = seeded.get("/api/v1/dead-letters", params={"reason": "bad_json"}).json()["items"]
    assert [(i["offset"], i["payload"]) for i in one] == [(40, '{"type": <b>')]
    last = seeded.get("/api/v1/dead-letters", params={"limit": 1}).json()["items"][0]
    assert last["payload"].startswith("\N{REPLACEMENT CHARACTER}\x00<b>x")
    assert len(last["payload"]) == 2_048
    assert last["written"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nothing",
        "/api/v1/models/no-such",
        "/api/v1/references/ffff",
        "/api/v1/incidents/4711",
        "/api/v1/incidents/99999999999999999999",
        "/api/v1/windows?model=no-such",
        "/api/v1/windows?model=flight-delay&version=9",
    ],
)
def test_what_is_not_there_is_a_problem_that_says_where_to_look(
    seeded: TestClient, path: str
) -> None:
    assert is_problem(seeded.get(path), 404)["mend"]


@pytest.mark.parametrize(
    "query", ["length=month", "limit=0", "limit=10001", "from=2013-02-03T00:00:00", "cursor=%25%25"]
)
def test_a_parameter_that_makes_no_sense_is_a_problem(seeded: TestClient, query: str) -> None:
    is_problem(seeded.get(f"/api/v1/windows?model=flight-delay&{query}"), 422)


def test_what_our_own_checks_say_has_no_prefix_of_the_library_s(seeded: TestClient) -> None:
    query = "model=flight-delay&from=2013-02-03T00:00:00"
    said = is_problem(seeded.get(f"/api/v1/windows?{query}"), 422)["detail"]
    assert said == (
        "query.from: a time without an offset is no instant: write 2013-02-08T10:15:00Z"
    )


@pytest.mark.parametrize("key", ["[1" + "0" * 30 + "]", "[" * 1_400])
def test_a_cursor_that_is_not_ours_is_a_problem(seeded: TestClient, key: str) -> None:
    cursor = base64.urlsafe_b64encode(key.encode()).decode()
    answer = seeded.get("/api/v1/windows", params={"model": "flight-delay", "cursor": cursor})
    assert is_problem(answer, 422)["mend"]


def test_the_event_schema_is_served(api: TestClient) -> None:
    schema = api.get("/api/v1/schemas/event.json").json()
    assert schema["$schema"].startswith("https://json-schema.org/")


def test_alive_and_ready_are_two_questions(tmp_path: Path, api: TestClient) -> None:
    assert api.get("/healthz").json() == {"status": "alive"}
    assert api.get("/readyz").json() == {"status": "ready"}
    empty = storage.create(f"sqlite:///{tmp_path / 'empty.db'}")
    app = create_app(empty, with_dashboard=False)
    with TestClient(app, base_url=LOCAL, raise_server_exceptions=False) as client:
        assert client.get("/healthz").status_code == 200
        assert "upgrade" in is_problem(client.get("/readyz"), 503)["mend"]
    empty.dispose()


def test_every_answer_tells_the_browser_to_be_careful(api: TestClient) -> None:
    for path in ("/api/v1/models", "/api/v1/nothing"):
        headers = api.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
