"""What every GET of the API keeps to: conditions, pages, tables, problems."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hostile import FORMULAS, hostile_names
from sqlalchemy.engine import Engine

from monitor.api import problems
from monitor.api.app import create_app
from monitor.api.csvs import FORMULA, cell, defused
from monitor.storage import schema as t
from monitor.storage.engine import transaction
from monitor.storage.registry import bump_data_version

MODEL = "parcel-delay"
V = f"model={MODEL}&version=1"
# One address of every route that reads.
READ = (
    "overview", "search?q=parcel", "models", f"models/{MODEL}", "versions", "references",
    "monitors", f"features?{V}", f"windows?{V}", f"findings?{V}", f"verdicts?{V}", f"segments?{V}",
    f"series?{V}&feature=weight", f"distributions?{V}&feature=weight", f"timeline?{V}",
    "incidents", "incidents/1", "incident-groups", "incident-groups/1",
)  # fmt: skip
STREAMED = (
    "partitions", "gaps", "deficits", "dead-letters", "status", "pipeline", "overview",
    "endpoints", "deliveries", "silences", "incidents/1/handling", "uploads", "service-incidents",
    "routes", "retrains", "hooks", "handling?incident=1",
)  # fmt: skip
TABLES = (
    "models", "versions", "references", f"windows?{V}", f"findings?{V}", f"verdicts?{V}",
    f"series?{V}&feature=weight", f"distributions?{V}&feature=weight",
    f"distributions?{V}&feature=carrier", "incidents", "incident-groups",
    "dead-letters",
)  # fmt: skip


def get(world: TestClient, path: str, **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.get(f"/api/v1/{path}", headers=names)


def problem(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json()
    assert found["mend"]
    return found


def with_format(path: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}format=csv"


def test_every_route_is_asked_here(world: TestClient) -> None:
    described = world.get("/api/v1/openapi.json").json()["paths"]
    asked = {path.split("?")[0].split("/")[0] for path in (*READ, *STREAMED)}
    served = {path.split("/")[3] for path in described if path.startswith("/api/v1/")}
    # What only writes is asked in tests of its own.
    assert served == {*asked, "schemas", "events"}


@pytest.mark.parametrize("path", [*READ, *STREAMED])
def test_an_answer_that_still_holds_is_not_sent_again(world: TestClient, path: str) -> None:
    first = get(world, path)
    assert first.status_code == 200, first.text
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    again = get(world, path, if_none_match=tag)
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    assert get(world, path, if_none_match=f'"other", {tag}').status_code == 304
    assert get(world, path, if_none_match='W/"other"').status_code == 200


def test_what_is_not_there_is_not_unchanged(world: TestClient) -> None:
    assert get(world, "models/nobody", if_none_match="*").status_code == 404


def test_what_is_judged_anew_changes_the_tag_of_what_is_judged_and_of_nothing_else(
    changing: TestClient, living: Engine
) -> None:
    before = {path: get(changing, path).headers["etag"] for path in ("incidents", "windows?" + V)}
    assert len(set(before.values())) == 2
    with transaction(living) as conn:
        conn.execute(
            sa.update(t.stream_position).values(checkpoints=t.stream_position.c.checkpoints + 1)
        )
    assert {path: get(changing, path).headers["etag"] for path in before} == before
    with transaction(living) as conn:
        bump_data_version(conn)
    assert all(get(changing, path).headers["etag"] != tag for path, tag in before.items())


@pytest.mark.parametrize("path", ["partitions", "dead-letters", "gaps", "deficits", "status"])
def test_a_checkpoint_changes_the_tag_of_what_streams_hold(
    changing: TestClient, living: Engine, path: str
) -> None:
    before = get(changing, path).headers["etag"]
    with transaction(living) as conn:
        p = t.stream_position.c
        conn.execute(sa.update(t.stream_position).values(checkpoints=p.checkpoints + 1))
    assert get(changing, path).headers["etag"] != before


def test_304_reads_only_the_marks(changing: TestClient, living: Engine) -> None:
    tag = get(changing, "overview").headers["etag"]
    statements: list[str] = []
    sa.event.listen(
        living, "before_cursor_execute",
        lambda _c, _cur, statement, *_: statements.append(statement),
    )  # fmt: skip
    assert get(changing, "overview", if_none_match=tag).status_code == 304
    assert len([s for s in statements if s.startswith("SELECT")]) == 1


@pytest.mark.parametrize("path", TABLES)
def test_a_table_has_the_rows_of_the_list_and_a_name(world: TestClient, path: str) -> None:
    table = get(world, with_format(path))
    assert table.status_code == 200
    assert table.headers["content-type"].startswith("text/csv; charset=utf-8")
    assert table.headers["content-disposition"].startswith('attachment; filename="')
    text = table.content.decode()
    assert text.endswith("\r\n")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert all(None not in row and None not in row.values() for row in rows)
    listed = get(world, path).json()
    if "items" in listed:
        assert len(rows) == len(listed["items"]) > 0
    else:
        counted = [row for row in rows if row["part"] not in ("missing", "type_error")]
        assert sum(int(row["current"]) for row in counted) == listed["current"]["values"] > 0
    assert get(world, path, accept="text/csv").content == table.content
    assert get(world, path, accept="text/csv;q=0.1, application/json").json() == listed


def test_a_table_holds_all_pages_unless_a_limit_is_given(
    world: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = get(world, with_format(f"findings?{V}&length=hour")).content
    monkeypatch.setattr("monitor.api.answering.BATCH", 100)
    assert get(world, with_format(f"findings?{V}&length=hour")).content == whole
    some = get(world, with_format(f"findings?{V}&length=hour&limit=250")).content
    assert some == b"".join(whole.splitlines(keepends=True)[:251])


@pytest.mark.parametrize("text", [*FORMULAS, "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert cell(text) == defused(text) == f"'{text}"
    assert cell([text, "b"]) == f"'{text}; b"
    assert cell(-1.5) == -1.5


def test_no_cell_of_hostile_data_is_a_formula(hostile: Engine) -> None:
    names = hostile_names()
    app = create_app(hostile, with_dashboard=False)
    with TestClient(app, base_url="http://127.0.0.1:8050") as world:
        asked = {"model": names.model, "format": "csv"}
        for path in ("findings", "windows", "dead-letters", "incidents", "models"):
            known = asked if path in ("findings", "windows") else {"format": "csv"}
            table = world.get(f"/api/v1/{path}", params=known)
            assert table.status_code == 200
            assert '"' not in table.headers["content-disposition"].split('filename="')[1][:-1]
            rows = list(csv.reader(io.StringIO(table.content.decode(), newline="")))
            assert len({len(row) for row in rows}) == 1
            cells = [found for row in rows[1:] for found in row if found.startswith(FORMULA)]
            assert all(float(found) < 0 for found in cells)
        features = world.get("/api/v1/features", params={"model": names.model}).json()["items"]
        made = world.get(
            "/api/v1/distributions",
            params={**asked, "feature": names.channel, "version": names.version},
        )
        assert "'=HYPERLINK" in made.text
        assert len(features) > 8


@pytest.mark.parametrize(
    ("path", "status", "mend"),
    [
        ("models/parcel-dellay", 404, "did you mean parcel-delay"),
        (f"windows?model={MODEL}&version=3", 404, "lists what there is"),
        (f"series?{V}&feature=wieght", 404, "did you mean weight"),
        (f"series?{V}&feature=weight&statistic=unseen", 404, "did you mean psi"),
        (f"series?{V}&feature=weight&segment=depot=Ulmm", 404, "did you mean depot=Ulm"),
        (f"series?{V}&feature=weight&from=2001-01-01T00:00:00Z&to=2002-01-01T00:00:00Z", 404,
         "judged windows are from 2026-04-30T22:00:00Z to 2026-05-"),
        (f"distributions?{V}&feature=weight&from=2001-01-01T00:00:00Z&to=2002-01-01T00:00:00Z",
         404, "data are from 2026-04-30T22:00:00Z to 2026-05-"),
        (f"distributions?{V}&feature=weight&from=2026-05-01T00:00:00Z", 422, "give both"),
        (f"distributions?{V}&feature=weight&vs_version=2&vs_from=2026-05-01T00:00:00Z"
         "&vs_to=2026-05-02T00:00:00Z", 422, "leave out"),
        (f"distributions?{V}&feature=weight&vs_version=2", 409, "one reference"),
        (f"distributions?{V}&feature=weight&vs_version=9", 404, "lists what there is"),
        ("distributions?model=gate-hold&feature=weight", 404, "give `from` and `to`"),
        (f"windows?{V}&from=2026-05-03T00:00:00Z&to=2026-05-02T00:00:00Z", 422, "swap"),
        (f"windows?{V}&from=2026-05-03T00:00:00+02:00", 422, ""),
        (f"windows?{V}&from=yesterday", 422, ""),
        (f"windows?{V}&cursor=WzFd.", 422, "without a cursor"),
        (f"windows?{V}&cursor=WyJhIl0", 422, "without a cursor"),
        (f"windows?{V}&lenght=day", 400, "did you mean length"),
        (f"windows?{V}&version=2", 400, "leave one out"),
        ("incidents?colour=red", 400, "it knows"),
        ("incidents/0", 404, "did you mean 1"),
        ("incident-groups/99999999999999999999", 404, "lists what there is"),
        ("references/zzzzzz", 404, "lists what there is"),
        ("dead-letters/1-2-3", 404, "lists what there is"),
        ("dead-letters/9999999999999999999-99999999999-1-1", 404, "lists what there is"),
        ("search?q=", 422, ""),
        ("nothing", 404, "openapi.json"),
        ("findings?model=parcel-dellay&format=csv", 404, "did you mean parcel-delay"),
        (f"series?{V}&feature=wieght&format=csv", 404, "did you mean weight"),
        (f"windows?{V}&format=xml", 422, ""),
    ],
)  # fmt: skip
def test_a_problem_says_what_mends_it(world: TestClient, path: str, status: int, mend: str) -> None:
    assert mend in problem(get(world, path), status)["mend"]


def test_a_value_that_only_one_database_cannot_hold_is_no_outage() -> None:
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    def refused() -> None:
        # What PostgreSQL's driver says of a NUL.
        raise sa.exc.DataError("SELECT", {}, ValueError("cannot contain NUL"))

    with TestClient(app) as client:
        assert "NUL" in problem(client.get("/"), 422)["detail"]


FAR = (
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "1600-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59",
)  # fmt: skip


@pytest.mark.parametrize("path", ["windows", "findings", "timeline", "series", "distributions"])
def test_a_range_beyond_all_calendars_is_a_range(world: TestClient, path: str) -> None:
    asked = {"model": MODEL, "version": "1", "length": "day"}
    if path in ("series", "distributions"):
        asked["feature"] = "weight"
    whole = world.get(f"/api/v1/{path}", params={**asked, "from": FAR[0], "to": FAR[-1]})
    assert whole.status_code == 200
    for first in FAR:
        for last in FAR:
            span = {"from": first, "to": last}
            assert world.get(f"/api/v1/{path}", params={**asked, **span}).status_code < 500
    for at in FAR:
        for query in ({"vs_from": at, "vs_to": FAR[-1]}, {"vs_from": FAR[0], "vs_to": at}):
            if path == "distributions":
                found = world.get(f"/api/v1/{path}", params={**asked, **query})
                assert found.status_code < 500
    assert get(world, f"overview?since={quote(FAR[1])}").status_code == 200
    assert get(world, f"overview?since={quote(FAR[-1])}").status_code == 200


def test_a_plus_that_became_a_space_is_explained(world: TestClient) -> None:
    said = problem(get(world, f"windows?{V}&from=2026-05-03T00:00:00+02:00"), 422)["detail"]
    assert "%2B" in said
    quoted = quote("2026-05-03T00:00:00+02:00")
    assert get(world, f"windows?{V}&from={quoted}").status_code == 200


def test_lists_come_in_pages_of_one_shape_that_miss_and_repeat_nothing(world: TestClient) -> None:
    paths = [
        "models", "versions", "references", "monitors", f"features?{V}", f"segments?{V}",
        "incidents", "incident-groups", "partitions", "gaps", "deficits", "dead-letters",
        f"series?{V}&feature=weight",
    ]  # fmt: skip
    for path in paths:
        whole = get(world, path).json()
        seen: list[Any] = []
        cursor = ""
        while True:
            joint = "&" if "?" in path else "?"
            page = get(world, f"{path}{joint}limit=1{cursor}").json()
            assert len(page["items"]) <= 1
            seen += page["items"]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert seen == whole["items"], path
        assert whole["next"] is None
        assert whole["items"] or path == "gaps"


def test_incidents_are_chosen_by_what_they_are(world: TestClient) -> None:
    every = get(world, "incidents").json()["items"]
    for name in ("kind", "feature", "segment", "state"):
        for value in {incident[name] for incident in every}:
            found = world.get("/api/v1/incidents", params={name: value}).json()["items"]
            assert found == [incident for incident in every if incident[name] == value]
            assert found
    assert get(world, "incidents?kind=none").json()["items"] == []


def test_a_reference_is_opened_by_the_beginning_of_its_digest(world: TestClient) -> None:
    for row in get(world, "references").json()["items"]:
        one = get(world, f"references/{row['digest'][:10]}").json()
        assert {name: one[name] for name in row} == row
        assert [b["version"] for b in one["bound_to"]] == [u["version"] for u in one["uses"]]
    first = get(world, "references").json()["items"]
    mine = next(r for r in first if any(b["model"] == MODEL for b in r["bound_to"]))
    whole = get(world, f"references/{mine['digest']}").json()
    assert whole["timezone"] == "Europe/Berlin"
    assert {length["length"] for length in whole["lengths"]} == {"hour", "day", "week"}
    weight = next(f for f in whole["features"] if f["feature"] == "weight")
    assert {seen["length"] for seen in weight["limits"]} == {"hour", "day", "week"}
    assert {s["segment"] for s in whole["segments"]} >= {"depot=Ulm"}
    assert (whole["limits_of"], whole["profile"], whole["excluded"]) == (MODEL, "standard", [])
    day = next(seen for seen in weight["limits"] if seen["length"] == "day")
    assert 0.2 < day["smallest_shift"] < 2 and 0.005 < day["smallest_missing"] < 0.2
    assert day["is_fixed"] is False and weight["fixed"] == []


def test_a_database_that_is_gone_is_said(living: Engine, changing: TestClient) -> None:
    with transaction(living) as conn:
        conn.execute(sa.text("ALTER TABLE incident RENAME TO gone"))
    assert problem(get(changing, "incidents"), 503)["title"].startswith("The database cannot")


@pytest.mark.parametrize("listing", ["findings", "windows", "incidents"])
def test_a_misspelt_name_is_told_from_one_of_which_nothing_was_found(
    world: TestClient, listing: str
) -> None:
    base = f"{listing}?model={MODEL}"
    if listing != "windows":
        assert get(world, f"{base}&feature=weight&to=2001-01-01T00:00:00Z").json()["items"] == []
        told = problem(get(world, f"{base}&feature=wieght"), 404)
        assert "weight" in told["mend"]
    segments = [row["segment"] for row in get(world, f"segments?{V}").json()["items"]]
    named = next(name for name in segments if name != "all")
    empty = get(world, f"{base}&segment={quote(named)}&to=2001-01-01T00:00:00Z")
    assert empty.json()["items"] == []
    told = problem(get(world, f"{base}&segment={quote(named[:-1])}"), 404)
    assert named in told["mend"]
