"""Models are archived, taken back, deleted and judged otherwise; each is confirmed and written."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any

import living_database
import postgres
import pytest
import sqlalchemy as sa
from fake_source import KAFKA_MS, FakeSource, FakeTopic, counters, prediction, register
from fastapi.testclient import TestClient
from hostile import Names
from sqlalchemy.engine import Engine

from consumers.loop import Loop
from consumers.settings import IngestSettings
from driftline import Client
from driftline.answers import FixedLimit
from driftline.errors import ApiConflict, ApiError
from monitor import cli
from monitor.api.app import create_app
from monitor.clock import HeldClock
from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.evaluate.backtest import backtest
from monitor.storage import backup, models
from monitor.storage import engine as storage
from monitor.storage import schema as t

PLAIN = Names()
MODEL = PLAIN.model
BOTH = pytest.mark.both_databases


@pytest.fixture
def there(
    backend: str, living: Engine, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Engine]:
    """The living database, in SQLite or in PostgreSQL."""
    if backend == "sqlite":
        yield living
        return
    databases: postgres.Databases = request.getfixturevalue("databases")

    def fill(engine: Engine) -> None:
        backup.restore(backup.write(living, tmp_path / "living-backup.db").file, engine)

    url = databases.copy_of("living-restored", fill)
    engine = storage.create(url)
    yield engine
    engine.dispose()
    databases.drop(url)


@pytest.fixture
def api(there: Engine) -> Iterator[TestClient]:
    app = create_app(there, with_dashboard=False, clock=HeldClock(living_database.NOW_MS))
    with TestClient(app, base_url="http://127.0.0.1:8050") as client:
        yield client


def rows(engine: Engine, table: sa.Table, *where: Any) -> list[Any]:
    with storage.reading(engine) as conn:
        return list(conn.execute(sa.select(table).where(*where)))


def names(api: TestClient, query: str = "") -> list[str]:
    return [item["model"] for item in api.get(f"/api/v1/models{query}").json()["items"]]


def revision(engine: Engine) -> int:
    return int(rows(engine, t.registry)[0].revision)


def version_ids(engine: Engine, model: str = MODEL) -> set[int]:
    (owner,) = rows(engine, t.model, t.model.c.name == model)
    return {row.id for row in rows(engine, t.model_version, t.model_version.c.model_id == owner.id)}


@BOTH
def test_an_archived_model_is_on_no_list_and_comes_back_as_it_was(
    there: Engine, api: TestClient
) -> None:
    places = ("models", "incident-groups?state=firing", "incidents?state=open", "overview")
    before = {place: api.get(f"/api/v1/{place}").json() for place in places}
    assert before["incidents?state=open"]["items"]
    number = revision(there)
    answer = api.post(f"/api/v1/models/{MODEL}/archive")
    assert answer.status_code == 200
    assert answer.json()["archived"] == "2026-05-16T14:40:00Z"
    assert api.post(f"/api/v1/models/{MODEL}/archive").json() == answer.json()
    assert revision(there) == number + 1
    assert MODEL not in names(api)
    assert MODEL in names(api, "?archived=true")
    assert api.get(f"/api/v1/models/{MODEL}").json()["archived"]
    for place in places[1:3]:
        assert not [
            i for i in api.get(f"/api/v1/{place}").json()["items"] if i["model"] == MODEL
        ], place
    assert api.post(f"/api/v1/models/{MODEL}/unarchive").json()["archived"] is None
    after = {place: api.get(f"/api/v1/{place}").json() for place in places}
    assert {k: v for k, v in after.items() if k != "overview"} == {
        k: v for k, v in before.items() if k != "overview"
    }
    said = [(row.actor, row.action, row.subject) for row in rows(there, t.audit)][1:]
    assert said == [
        ("api:loopback", "model.archive", MODEL),
        ("api:loopback", "model.unarchive", MODEL),
    ]


@BOTH
def test_events_of_an_archived_model_are_unmonitored_and_stop_nobody(engine: Engine) -> None:
    register(engine)
    clock, topic = HeldClock(now_ms=KAFKA_MS), FakeTopic()
    source = FakeSource(topic, clock)
    loop = Loop(engine, source, IngestSettings("", "", checkpoint_interval_s=1.0), clock)
    source.give(0)

    def count(numbers: range) -> dict[str, int]:
        topic.extend(prediction(number) for number in numbers)
        for _ in range(6):
            loop.step()
            clock.advance(1.1)
        return counters(engine)

    assert count(range(10)) == {"prediction": 10}
    with storage.transaction(engine) as conn:
        models.archive(conn, "m", actor="a", now_ms=1)
    assert count(range(10, 15)) == {"prediction": 10, "unmonitored": 5}
    with storage.transaction(engine) as conn:
        models.unarchive(conn, "m", actor="a", now_ms=1)
    assert count(range(15, 18)) == {"prediction": 13, "unmonitored": 5}
    with storage.transaction(engine) as conn:
        models.archive(conn, "m", actor="a", now_ms=1)
    models.delete(engine, "m", actor="a", now_ms=1)
    assert count(range(18, 20)) == {"prediction": 13, "unmonitored": 7}
    register(engine)
    assert count(range(20, 21)) == {"prediction": 14, "unmonitored": 7}
    assert sum(row.rows for row in rows(engine, t.pane, t.pane.c.segment == "all")) == 1


@BOTH
def test_a_deleted_model_leaves_nothing_but_what_became_of_its_events(
    there: Engine, api: TestClient
) -> None:
    refused = api.delete(f"/api/v1/models/{MODEL}")
    assert refused.status_code == 409
    assert "archive" in refused.json()["mend"]
    gone = version_ids(there)
    numbers = {r.number for r in rows(there, t.incident, t.incident.c.version_id.in_(gone))}
    kept = (t.counter, t.dead_letter, t.deficit, t.stream_position, t.outbox, t.endpoint)
    before = {table.name: rows(there, table) for table in kept}
    others = {
        table.name: rows(there, table, table.c.version_id.not_in(gone))
        for table in t.metadata.sorted_tables
        if "version_id" in table.c
    }
    api.post(f"/api/v1/models/{MODEL}/archive")
    before["outbox"] = rows(there, t.outbox)  # an archived model's alerts end, and that is told
    number = revision(there)
    deleted = api.delete(f"/api/v1/models/{MODEL}").json()
    assert {"finding", "window", "pane", "incident", "reference"} <= deleted["rows"].keys()
    for table in t.metadata.sorted_tables:
        if "version_id" in table.c:
            assert not rows(there, table, table.c.version_id.in_(gone)), table.name
            assert sorted(map(str, rows(there, table))) == sorted(map(str, others[table.name]))
    for table, column in (
        (t.incident_event, "incident_number"),
        (t.alert_incident, "incident_number"),
    ):
        assert not rows(there, table, table.c[column].in_(numbers)), table.name
    assert {table.name: rows(there, table) for table in kept} == before
    assert revision(there) == number + 1
    assert api.get(f"/api/v1/models/{MODEL}").status_code == 404
    assert api.delete(f"/api/v1/models/{MODEL}").status_code == 404
    bound = {row.reference_digest for row in rows(there, t.binding)}
    assert {row.digest for row in rows(there, t.reference)} == bound
    last = rows(there, t.audit)[-1]
    assert (last.action, last.subject) == ("model.delete", MODEL)
    assert json.loads(last.detail)["rows"] == deleted["rows"]
    for page in ("overview", "incidents", "incident-groups", "references", "pipeline"):
        assert api.get(f"/api/v1/{page}").status_code == 200


@BOTH
def test_a_deletion_that_is_cut_short_is_finished_by_the_next(
    there: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "AT_ONCE", 200)
    with storage.transaction(there) as conn:
        models.archive(conn, MODEL, actor="a", now_ms=1)
    gone = version_ids(there)
    begin, count = models.transaction, 0

    def cut(engine: Engine) -> AbstractContextManager[Any]:
        nonlocal count
        count += 1
        if count == 6:
            raise KeyboardInterrupt
        return begin(engine)

    monkeypatch.setattr(models, "transaction", cut)
    with pytest.raises(KeyboardInterrupt):
        models.delete(there, MODEL, actor="a", now_ms=2)
    left = len(rows(there, t.finding, t.finding.c.version_id.in_(gone)))
    assert left > 0
    assert rows(there, t.model, t.model.c.name == MODEL)
    monkeypatch.setattr(models, "transaction", begin)
    deleted = models.delete(there, MODEL, actor="a", now_ms=3)
    assert deleted is not None
    assert deleted["finding"] == left
    assert models.delete(there, MODEL, actor="a", now_ms=4) is None


@BOTH
def test_no_number_comes_again_after_a_deletion(there: Engine) -> None:
    every = {row.number for row in rows(there, t.incident)}
    ids = {row.id for row in rows(there, t.model_version)}
    for row in rows(there, t.model):
        with storage.transaction(there) as conn:
            models.archive(conn, row.name, actor="a", now_ms=1)
        models.delete(there, row.name, actor="a", now_ms=2)
    with storage.transaction(there) as conn:
        conn.execute(sa.insert(t.model_version).values(model_id=1, name="x", created_ms=1))
        made = {
            column.name: 0
            if isinstance(column.type, (sa.Integer, sa.BigInteger, sa.Boolean))
            else "x"
            for column in t.incident.c
            if not column.nullable and column.name != "number"
        }
        conn.execute(sa.insert(t.incident).values(made | {"muted": False}))
    assert rows(there, t.incident)[0].number > max(every)
    assert rows(there, t.model_version)[0].id > max(ids)


@BOTH
def test_an_evaluator_that_is_behind_writes_nothing_of_an_archived_model(there: Engine) -> None:
    found = version_ids(there)
    with storage.transaction(there) as conn:
        for table in (t.window, t.finding, t.evaluator_cursor):
            conn.execute(sa.delete(table).where(table.c.version_id.in_(found)))
    evaluator = Evaluator(there, EvaluateSettings(""), now_ms=lambda: living_database.NOW_MS)
    read = evaluator._read

    def archived(bound: Any, judged_to_ms: int | None) -> Any:
        got = read(bound, judged_to_ms)
        with storage.transaction(there) as conn:
            models.archive(conn, MODEL, actor="a", now_ms=1)
        return got

    evaluator._read = archived  # type: ignore[method-assign]
    evaluator.step()
    assert not rows(there, t.window, t.window.c.version_id.in_(found))


# -- how a model is judged -------------------------------------------------------------------


@BOTH
def test_a_monitor_that_is_set_is_a_revision_and_says_what_changed(
    there: Engine, api: TestClient
) -> None:
    put = f"/api/v1/models/{MODEL}/monitor"
    asked = {"lengths": ["week", "day"], "lateness_ms": 1_800_000}
    told = api.put(put, json=asked).json()
    assert told["revision"] == 2
    assert told["lengths"] == ["day", "week"]
    assert told["before"] == {"lengths": ["hour", "day", "week"], "lateness_ms": 600_000}
    assert api.put(put, json=asked).json() == told | {"before": {}}
    assert api.put(put, json={}).json()["revision"] == 2
    assert [m["revision"] for m in api.get(f"/api/v1/monitors?model={MODEL}").json()["items"]] == [
        2,
        1,
    ]
    _, said = rows(there, t.audit)
    assert (said.action, json.loads(said.detail)["after"]["lateness_ms"]) == (
        "monitor.set",
        1_800_000,
    )
    for bad in (
        {"lengths": []}, {"lengths": ["month"]}, {"lateness_ms": -1}, {"lateness_ms": "10"},
        {"lateness_ms": 10**12}, {"max_hold_ms": 0}, {"latenes_ms": 1}, [], 7,
        {"profile": "loud"}, {"limits": [{"feature": "weight"}]}, {"limits": {}},
        {"limits": [{"feature": "weight", "statistic": "ks", "warning": "0.1"}]},
    ):  # fmt: skip
        answer = api.put(put, json=bad)
        assert answer.status_code == 422, bad
        assert answer.json()["mend"]
    assert api.put("/api/v1/models/nobody/monitor", json={}).status_code == 404


def limit(feature: str, statistic: str, *values: float) -> dict[str, Any]:
    values_ = dict(zip(("warning", "critical"), values, strict=False))
    return {"feature": feature, "statistic": statistic, **values_}


def test_a_profile_and_fixed_limits_are_kept_and_told(living: Engine, changing: TestClient) -> None:
    put = f"/api/v1/models/{MODEL}/monitor"
    asked = {
        "profile": "quiet", "lengths": ["4weeks", "day"],
        "limits": [limit("weight", "ks", 0.15, 0.3), limit("*", "missing", 0.05)],
    }  # fmt: skip
    told = changing.put(put, json=asked).json()
    assert (told["profile"], told["lengths"]) == ("quiet", ["day", "4weeks"])
    assert told["limits"] == [limit("weight", "ks", 0.15, 0.3),
                              limit("*", "missing", 0.05) | {"critical": None}]  # fmt: skip
    assert told["before"]["limits"] == []
    assert changing.put(put, json=asked).json()["before"] == {}
    (now, before) = changing.get(f"/api/v1/monitors?model={MODEL}").json()["items"]
    assert now["limits"] == told["limits"]
    assert (before["profile"], before["limits"]) == ("standard", [])
    _, said = rows(living, t.audit)
    assert json.loads(said.detail)["after"]["limits"] == told["limits"]
    assert before["after"] == {}
    assert now["after"] == told["after"]
    last = {
        length: max(row.end_ms for row in rows(living, t.window, t.window.c.length == length))
        for length in ("hour", "day", "week")
    }
    assert {
        length: datetime.fromisoformat(at).timestamp() * 1_000
        for length, at in now["after"].items()
    } == last
    assert changing.put(put, json={"limits": []}).json()["limits"] == []
    late = changing.put(put, json={"profile": "standard", "expect_revision": 2})
    assert late.status_code == 409
    assert "revision 3 is in force, not 2" in late.json()["detail"]
    assert changing.put(put, json={"profile": "standard", "expect_revision": 3}).status_code == 200


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (limit("weight", "psy", 0.2), "did you mean 'psi'?"),
        (limit("wieght", "psi", 0.2), "did you mean 'weight'?"),
        (limit("weight", "ks", 1.5), "from 0 to 1, not 1.5"),
        (limit("weight", "missing", -0.1), "as a share: 0.05 is 5 %"),
        (limit("weight", "psi", 0.3, 0.2), "critical (0.2) must not be below warning (0.3)"),
        (limit("", "psi", 0.3), "name a feature, or * for all"),
        (limit("carrier", "ks", 0.2), "carrier is a category, and has no ks; it has psi"),
    ],
)
def test_a_limit_that_cannot_judge_is_refused_with_what_is_wrong(
    world: TestClient, bad: dict[str, Any], said: str
) -> None:
    answer = world.put(f"/api/v1/models/{MODEL}/monitor", json={"limits": [bad]})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert "feature:statistic=warning" in answer.json()["mend"]


def test_a_limit_that_is_no_number_or_comes_twice_is_refused(world: TestClient) -> None:
    put = f"/api/v1/models/{MODEL}/monitor"
    body = '{"limits": [{"feature": "weight", "statistic": "psi", "warning": NaN}]}'
    answer = world.put(put, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert "warning must be a number from 0 up, not nan" in answer.json()["detail"]
    twice = [limit("weight", "psi", 0.2), limit("weight", "psi", 0.3)]
    assert "is there twice" in world.put(put, json={"limits": twice}).json()["detail"]
    assert world.get(f"/api/v1/monitors?model={MODEL}").json()["items"][0]["revision"] == 1


def test_a_back_test_of_the_monitor_that_stands_changes_nothing(world: TestClient) -> None:
    post = f"/api/v1/models/{MODEL}/monitor/backtest"
    found = world.post(post, json={}).json()
    assert found["before"] == found["after"]
    assert found["gone"] == found["new"] == []
    assert found["same"] == found["before"]["incidents"] > 0
    assert found["windows"] > 0
    deaf = [limit("*", name, 1.0) for name in ("missing", "unseen", "out_of_range", "type_error")]
    deaf.append(limit("*", "psi", 1_000.0))
    quiet = world.post(post, json={"limits": deaf}).json()
    assert quiet["after"]["incidents"] < found["before"]["incidents"]
    assert {each["number"] for each in quiet["gone"]} <= {
        each["id"] for each in world.get(f"/api/v1/incidents?model={MODEL}").json()["items"]
    }
    loud = world.post(post, json={"limits": [limit("distance", "ks", 0.0)]}).json()
    new = [each for each in loud["new"] if each["feature"] == "distance"]
    assert new[0]["statistic"] == "ks"
    assert new[0]["value"] > new[0]["limit"] == 0
    assert world.get(f"/api/v1/monitors?model={MODEL}").json()["items"][0]["limits"] == []
    early = world.post(post, json={"version": "1", "to": "2026-05-02T00:00:00Z"}).json()
    assert early["before"] == {"incidents": 0}
    assert world.post(post, json={"from": "yesterday"}).status_code == 422
    assert world.post(post, json={"version": "9"}).status_code == 404
    assert world.post(post, json={"limits": [limit("nobody", "ks", 0.1)]}).status_code == 422


def test_a_back_test_tells_each_segment_and_refuses_one_that_is_not_there(
    world: TestClient,
) -> None:
    post = f"/api/v1/models/{MODEL}/monitor/backtest"
    version = {"version": "2"}
    found = world.post(post, json=version).json()
    names = [part["segment"] for part in found["segments"]]
    known = world.get(f"/api/v1/segments?model={MODEL}&length=day&version=2").json()["items"]
    assert names[0] == "all"
    assert set(names) == {each["segment"] for each in known}
    assert found["left_out"] == []
    assert found["hours_from"] is None
    for key, whole in (("windows", found["windows"]), ("same", found["same"]),
                       ("before", found["before"]["incidents"]),
                       ("after", found["after"]["incidents"])):  # fmt: skip
        assert sum(part[key] for part in found["segments"]) == whole
    one = world.post(post, json=version | {"segments": [names[-1]]}).json()
    assert [part["segment"] for part in one["segments"]] == ["all", names[-1]]
    assert one["segments"][1] == found["segments"][-1]
    alone = world.post(post, json=version | {"segments": []}).json()
    assert alone["segments"] == found["segments"][:1]
    refused = world.post(post, json=version | {"segments": [names[-1] + "x"]})
    assert refused.status_code == 404
    assert names[-1] in refused.json()["mend"]


def test_one_back_test_runs_at_a_time(world: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each keeps a core busy: a second one is refused, and may be asked for when it has ended."""
    post = f"/api/v1/models/{MODEL}/monitor/backtest"
    begun, may_end = Event(), Event()

    def slowly(*args: Any, **options: Any) -> Any:
        begun.set()
        assert may_end.wait(20)
        return backtest(*args, **options)

    monkeypatch.setattr("monitor.api.trials.backtest", slowly)
    with ThreadPoolExecutor(1) as beside:
        first = beside.submit(world.post, post, json={})
        assert begun.wait(20)
        second = world.post(post, json={})
        may_end.set()
        assert first.result().status_code == 200
    assert second.status_code == 409
    assert second.json()["detail"] == (
        f"a back-test of {MODEL} has not ended; one is tried at a time"
    )
    assert world.post(post, json={}).status_code == 200


def test_what_the_reference_knows_is_not_learnt_anew(changing: TestClient, living: Engine) -> None:
    post = f"/api/v1/models/{MODEL}/monitor/recalibrate"
    found = changing.post(post, json={"length": "day", "segment": "all"}).json()
    assert [each["is_new"] for each in found["items"]] == [False]
    assert "the reference knows its wobble" in found["items"][0]["why"]
    assert [row.action for row in rows(living, t.audit)] == ["model.promote"]
    refused = changing.post(post, json={"length": "4weeks"})
    assert refused.status_code == 409
    assert "is not judged by '4weeks'" in refused.json()["detail"]
    assert changing.post(post, json={"length": "month"}).status_code == 422


def test_windows_are_judged_as_the_monitor_says_from_then_on(living: Engine) -> None:
    with storage.transaction(living) as conn:
        models.set_monitor(conn, MODEL, {"lengths": ("day",)}, actor="a", now_ms=1)
        for table in (
            t.window, t.finding, t.model_window, t.evaluator_cursor, t.latch,
        ):  # fmt: skip
            conn.execute(sa.delete(table))
    Evaluator(living, EvaluateSettings(""), now_ms=lambda: living_database.NOW_MS).step()
    judged = rows(living, t.window, t.window.c.version_id.in_(version_ids(living)))
    assert {row.length for row in judged} == {"day"}
    # Its windows are new; the limits of windows that were judged before stay what they were.
    assert {row.monitor_revision for row in judged} == {1}


# -- from Python and from a shell ------------------------------------------------------------


@pytest.fixture
def sdk(
    living: Engine, serve: Callable[[Engine], AbstractContextManager[str]]
) -> Iterator[tuple[Client, str]]:
    with serve(living) as url, Client(url) as client:
        yield client, url


def test_the_client_does_what_the_routes_do(sdk: tuple[Client, str]) -> None:
    client, _ = sdk
    changed = client.set_monitor(MODEL, windows=["day"], lateness=timedelta(minutes=30))
    assert changed.before == {"lengths": ["hour", "day", "week"], "lateness_ms": 600_000}
    assert client.monitor(MODEL).lateness_ms == 1_800_000
    with pytest.raises(ApiError, match="lengths"):
        client.set_monitor(MODEL, windows=["year"])
    client.set_monitor(MODEL, profile="sensitive", limits=["weight:ks=0.15,0.3"])
    assert client.monitor(MODEL).limits == (FixedLimit("weight", "ks", 0.15, 0.3),)
    with pytest.raises(ApiError, match="did you mean 'weight'"):
        client.set_monitor(MODEL, limits=[FixedLimit("wieght", "psi", 0.1)])
    with pytest.raises(ApiError, match="number"):
        client.set_monitor(MODEL, limits=[FixedLimit("weight", "psi", math.nan)])
    for text in ("weight", "weight:psi=nan", "weight:psi=0.2,inf"):
        with pytest.raises(ValueError, match="write feature:statistic=warning"):
            client.set_monitor(MODEL, limits=[text])
    with pytest.raises(ApiConflict, match="revision 3 is in force"):
        client.set_monitor(MODEL, limits=[], expect_revision=1)
    with pytest.raises(ApiConflict, match="not archived"):
        client.delete_model(MODEL)
    assert client.archive_model(MODEL).archived is not None
    assert MODEL not in {model.model for model in client.models()}
    assert MODEL in {model.model for model in client.models(archived=True)}
    assert client.unarchive_model(MODEL).archived is None
    client.archive_model(MODEL)
    assert client.delete_model(MODEL)["model_version"] == 2
    with pytest.raises(ApiError, match="no such model"):
        client.archive_model(MODEL)


def test_names_of_any_kind_are_archived_and_deleted(
    hostile: Engine, serve: Callable[[Engine], AbstractContextManager[str]]
) -> None:
    with serve(hostile) as url, Client(url) as client:
        for model in client.models():
            assert client.set_monitor(model.model, lateness=timedelta(0)).revision == 2
            client.archive_model(model.model)
            client.delete_model(model.model)
        assert client.models(archived=True) == []


@pytest.fixture
def run(
    sdk: tuple[Client, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def ran(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["driftline", *words, "--url", sdk[1]])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return ran


def test_the_commands_ask_first_and_say_what_they_did(
    run: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("monitor", "show", MODEL)[1].splitlines()[1:3] == [
        "  windows: hour,day,week",
        "  lateness: 10m",
    ]
    code, out, _ = run("monitor", "set", MODEL, "--lateness", "1h30m", "--windows", "hour, day")
    assert code == 0
    assert "lateness: 1h30m (was 10m)" in out
    assert "windows: hour,day (was hour,day,week)" in out
    assert "nothing changed" in run("monitor", "set", MODEL, "--lateness", "90m")[1]
    assert run("monitor", "set", MODEL, "--lateness", "soon")[0] == 2
    limits = ("--limit", "weight:ks=0.2", "--limit", "*:missing=0.05,0.2")
    code, _, err = run("monitor", "set", MODEL, "--profile", "quiet", *limits)
    assert (code, "--yes, to save it without asking" in err) == (2, True)
    code, out, _ = run("monitor", "set", MODEL, "--profile", "quiet", *limits, "--yes")
    assert code == 0
    assert "windows judged so:" in out
    assert re.search(r"  incidents: \d+ instead of \d+, \d+ the same\n    all rows ", out)
    assert re.search(r"\n    depot=.* \d+ instead of \d+, \d+ the same\n", out)
    assert re.search(
        r"  judges: hours that end after 2026-05-16 \d\d:00 UTC, days that end after "
        r"2026-05-\d\d 22:00 UTC\n", out,
    )  # fmt: skip
    assert "profile: quiet (was standard)" in out
    assert "fixed limits: weight:ks=0.2 *:missing=0.05,0.2 (was none)" in out
    assert "  fixed limits: weight:ks=0.2" in run("monitor", "show", MODEL)[1]
    again = run(
        "monitor", "set", MODEL, "--limit", "weight:ks=0.3", "--yes", "--json", "--try", "all"
    )[1]
    tried = json.loads(again)["backtest"]
    assert [part["segment"] for part in tried["segments"]] == ["all"]
    assert [each["warning"] for each in json.loads(again)["limits"]] == [0.3, 0.05]
    assert json.loads(again)["backtest"]["windows"] > 0
    learnt = run("monitor", "recalibrate", MODEL, "--length", "day", "--segment", "all")[1]
    assert learnt == (
        "all, 1 day: the reference knows its wobble: register a new reference to change it\n"
    )
    code, out, _ = run("monitor", "set", MODEL, "--no-limit", "*:missing", "--yes")
    assert "(was weight:ks=0.3 *:missing=0.05,0.2)" in out
    code, _, err = run("monitor", "set", MODEL, "--no-limit", "weight:psi", "--yes")
    assert (code, "one of weight:ks, all" in err) == (2, True)
    assert run("monitor", "set", MODEL, "--no-limit", "all", "--yes")[0] == 0
    assert "fixed limits: none" in run("monitor", "show", MODEL)[1]
    code, _, err = run("monitor", "set", MODEL, "--limit", "weight:kz=0.2", "--yes")
    assert (code, "there is no statistic 'kz'" in err) == (1, True)
    assert run("monitor", "set", MODEL, "--limit", "weight", "--yes")[0] == 2
    assert run("monitor", "set", MODEL)[0] == 2
    assert run("monitor", "set", MODEL, "--lateness", "30d")[0] == 1
    code, _, err = run("model", "archive", MODEL)
    assert code == 1
    assert "--yes" in err
    assert run("model", "archive", "nobody", "--yes")[0] == 1
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", lambda *_, **__: "something else")
    assert run("model", "archive", MODEL)[0] == 1
    monkeypatch.setattr("typer.prompt", lambda *_, **__: MODEL)
    assert run("model", "archive", MODEL)[0] == 0
    assert MODEL not in run("model", "list")[1]
    assert f"{MODEL} (Europe/Berlin, archived 2026-05-16" in run("model", "list", "--archived")[1]
    assert run("model", "unarchive", MODEL)[0] == 0
    for words in ((), ("--yes",)):
        # Nobody is asked to confirm what would be refused.
        code, _, err = run("model", "delete", MODEL, *words)
        assert code == 1
        assert err == (
            f"driftline: model {MODEL} is not archived: `driftline model archive {MODEL}` first, "
            "then delete it\n"
        )
    assert run("model", "archive", MODEL, "--yes")[0] == 0
    code, out, _ = run("model", "delete", MODEL, "--yes", "--json")
    assert json.loads(out)["rows"]["model"] == 1
    listed = json.loads(run("model", "list", "--json")[1])
    assert MODEL not in {model["model"] for model in listed}
