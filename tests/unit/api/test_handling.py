"""People acknowledge, assign, comment, judge and silence over the API, the SDK and the shell."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import living_database
import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from driftline import ApiConflict, ApiError, Client, answers
from monitor import cli
from monitor.api.answers import handled as told
from monitor.api.app import create_app
from monitor.clock import HeldClock
from monitor.storage import schema as t
from monitor.storage.engine import reading

NOW = datetime.fromtimestamp(living_database.NOW_MS / 1_000, UTC)
MODEL = "parcel-delay"
HOURS = {"for_s": 7_200}


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock(living_database.NOW_MS)


@pytest.fixture
def api(living: Engine, clock: HeldClock) -> Iterator[TestClient]:
    app = create_app(living, with_dashboard=False, clock=clock)
    with TestClient(app, base_url="http://127.0.0.1:8050", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def standing(api: TestClient) -> int:
    """A problem that stands, by its number."""
    found = api.get("/api/v1/incident-groups", params={"state": "firing"}).json()["items"]
    return int(found[0]["id"])


def post(api: TestClient, path: str, **body: Any) -> Any:
    answer = api.post(f"/api/v1{path}", json=body)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


def handling(api: TestClient, number: int) -> Any:
    return api.get(f"/api/v1/incidents/{number}/handling").json()


# -- incidents -----------------------------------------------------------------------------------


def test_an_incident_is_acknowledged_and_given_back(api: TestClient, standing: int) -> None:
    assert handling(api, standing)["acknowledged_by"] is None
    path = f"/incidents/{standing}"
    made = post(api, f"{path}/acknowledge", by="M. Keller", comment="a deploy at noon")
    assert made["acknowledged_by"] == "M. Keller"
    assert datetime.fromisoformat(made["acknowledged"]) == NOW
    assert [note["action"] for note in made["notes"]] == ["acknowledged", "commented"]
    assert standing in made["incidents"]
    assert handling(api, standing)["acknowledged_by"] == "M. Keller"
    several = api.get("/api/v1/handling", params={"incident": [standing]}).json()["items"]
    assert several == [handling(api, standing)]
    # Again by the same one is nothing new; another one takes over.
    post(api, f"{path}/acknowledge", by="M. Keller")
    assert len(handling(api, standing)["notes"]) == 2
    assert post(api, f"{path}/acknowledge", by="A. Roy")["acknowledged_by"] == "A. Roy"
    assert post(api, f"{path}/give-back", by="A. Roy")["acknowledged_by"] is None
    assert handling(api, standing)["notes"][-1] == {
        "action": "given back", "at": made["acknowledged"], "by": "A. Roy", "text": "",
    }  # fmt: skip


def test_who_gives_no_name_is_called_by_how_they_were_let_in(
    api: TestClient, standing: int
) -> None:
    assert post(api, f"/incidents/{standing}/acknowledge")["acknowledged_by"] == "api:loopback"


def test_what_is_one_problem_is_handled_as_one_unless_alone(
    api: TestClient, living: Engine
) -> None:
    groups = api.get("/api/v1/incident-groups", params={"state": "firing"}).json()["items"]
    group = max(groups, key=lambda one: len(one["incidents"]))
    first, *others = group["incidents"]
    assert others
    alone = post(api, f"/incidents/{first}/acknowledge", by="Mo", alone=True)
    assert alone["incidents"] == [first]
    assert handling(api, first)["acknowledged_by"] is None  # the others have nobody
    own = api.get(f"/api/v1/incidents/{first}/handling", params={"alone": True}).json()
    assert own["acknowledged_by"] == "Mo"
    whole = post(api, f"/incidents/{others[0]}/acknowledge", by="Li")
    assert {first, others[0]} <= {*whole["incidents"]}
    assert handling(api, first)["acknowledged_by"] == "Li"
    with reading(living) as conn:
        rows = conn.execute(t.incident_note.select()).all()
    # One note of each, told as one.
    assert len(rows) == 1 + len(whole["incidents"])
    assert len(handling(api, first)["notes"]) == 2


def test_it_is_assigned_commented_and_judged(api: TestClient, standing: int) -> None:
    path = f"/incidents/{standing}"
    assert (
        post(api, f"{path}/assign", to=" data  platform ", by="Mo")["assignee"] == "data platform"
    )
    assert (
        post(api, f"{path}/comment", text="the sensor\nwas replaced", by="Mo")["notes"][-1]["text"]
        == "the sensor\nwas replaced"
    )
    assert post(api, f"{path}/feedback", verdict="noise")["feedback"] == "noise"
    assert post(api, f"{path}/feedback", verdict="useful", comment="it was real")["feedback"] == (
        "useful"
    )
    assert post(api, f"{path}/feedback", verdict="none")["feedback"] is None
    assert post(api, f"{path}/assign", to="")["assignee"] is None
    told_of = [(note["action"], note["text"]) for note in handling(api, standing)["notes"]]
    assert told_of == [
        ("assigned", "data platform"),
        ("commented", "the sensor\nwas replaced"),
        ("noise", ""),
        ("useful", ""),
        ("commented", "it was real"),
        ("unjudged", ""),
        ("assigned", ""),
    ]


def test_what_is_over_is_not_acknowledged_but_may_be_judged(api: TestClient) -> None:
    over = api.get("/api/v1/incident-groups", params={"state": "resolved"}).json()["items"][0]["id"]
    for verb in ("acknowledge", "give-back"):
        answer = api.post(f"/api/v1/incidents/{over}/{verb}", json={"by": "Mo"})
        assert answer.status_code == 409
        assert "nobody needs to look after it" in answer.json()["detail"]
    assert post(api, f"/incidents/{over}/feedback", verdict="useful")["feedback"] == "useful"
    assert post(api, f"/incidents/{over}/comment", text="it was")["notes"][-1]["text"] == "it was"


@pytest.mark.parametrize("number", [4711, 0, -1, 10**30])
def test_an_unknown_incident_is_said_with_the_nearest(api: TestClient, number: int) -> None:
    for verb, body in (("acknowledge", {}), ("comment", {"text": "a"})):
        answer = api.post(f"/api/v1/incidents/{number}/{verb}", json=body)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    assert api.get(f"/api/v1/incidents/{number}/handling").status_code == 404


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("comment", {}),
        ("comment", {"text": ""}),
        ("comment", {"text": "a" * 4_001}),
        ("comment", {"text": "a\0b"}),
        ("comment", {"text": "\ud800"}),
        ("comment", {"text": "a", "to": "b"}),
        ("assign", {"to": "a" * 101}),
        ("assign", {"to": "a\x1b[31m"}),
        ("feedback", {"verdict": "great"}),
        ("acknowledge", {"by": ["Mo"]}),
        ("acknowledge", {"by": "M\x07"}),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    api: TestClient, living: Engine, standing: int, verb: str, body: dict[str, Any]
) -> None:
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    path = f"/api/v1/incidents/{standing}/{verb}"
    assert api.post(path, content=content, headers=headers).status_code == 422
    with reading(living) as conn:
        assert conn.execute(t.incident_note.select()).all() == []


def test_deleting_the_model_deletes_what_was_said(api: TestClient, living: Engine) -> None:
    found = api.get("/api/v1/incident-groups", params={"state": "firing"}).json()["items"][0]
    post(api, f"/incidents/{found['id']}/comment", text="a")
    assert api.post(f"/api/v1/models/{found['model']}/archive").status_code == 200
    gone = api.delete(f"/api/v1/models/{found['model']}").json()
    assert gone["rows"]["incident_note"] == 1
    with reading(living) as conn:
        assert conn.execute(t.incident_note.select()).all() == []


def test_what_stood_of_an_archived_model_still_opens_by_its_number(api: TestClient) -> None:
    found = api.get("/api/v1/incident-groups", params={"state": "firing"}).json()["items"][0]
    assert api.post(f"/api/v1/models/{found['model']}/archive").status_code == 200
    number = found["id"]
    group = api.get(f"/api/v1/incident-groups/{number}")
    assert (group.status_code, group.json()["incidents"]) == (200, found["incidents"])
    assert handling(api, number)["acknowledged_by"] is None
    assert post(api, f"/incidents/{number}/comment", text="a")["notes"][-1]["text"] == "a"
    listed = api.get("/api/v1/incident-groups", params={"state": "firing"}).json()["items"]
    assert number not in [one["id"] for one in listed]


# -- silences ------------------------------------------------------------------------------------


def test_a_silence_is_made_listed_lengthened_and_ended(api: TestClient, clock: HeldClock) -> None:
    until = (NOW + timedelta(hours=2)).isoformat()
    made = post(api, "/silences", model=MODEL, until=until, reason="the move", by="Mo")
    assert (made["number"], made["state"], made["by"]) == (1, "active", "Mo")
    assert made["matcher"]["model"] == MODEL
    assert datetime.fromisoformat(made["until"]) == NOW + timedelta(hours=2)
    later = (NOW + timedelta(hours=3)).isoformat()
    longer = post(api, "/silences/1/until", until=later)
    assert datetime.fromisoformat(longer["until"]) == NOW + timedelta(hours=3)
    start = (NOW + timedelta(days=1)).isoformat()
    post(api, "/silences", kind="missing", start=start, **HOURS)

    def listed(state: str) -> list[tuple[int, str]]:
        found = api.get("/api/v1/silences", params={"state": state}).json()["items"]
        return [(one["number"], one["state"]) for one in found]

    assert listed("all") == [(2, "scheduled"), (1, "active")]
    assert listed("active") == [(1, "active")]
    ended = post(api, "/silences/1/end", by="Li")
    assert (ended["state"], ended["ended_by"]) == ("over", "Li")
    assert post(api, "/silences/1/end", by="Mo")["ended_by"] == "Li"
    assert listed("standing") == [(2, "scheduled")]
    answer = api.post("/api/v1/silences/1/until", json={"until": later})
    assert (answer.status_code, answer.json()["title"]) == (409, "The silence is over")
    # By the clock alone, which changes nothing in the database.
    clock.advance(27 * 3_600)
    assert listed("all") == [(2, "over"), (1, "over")]
    assert api.get("/api/v1/silences", params={"format": "csv"}).text.count("\n") == 3


def test_a_list_that_changed_by_the_clock_alone_is_not_said_to_be_the_same(
    api: TestClient, clock: HeldClock
) -> None:
    post(api, "/silences", all=True, **HOURS)
    tag = api.get("/api/v1/silences").headers["etag"]
    same = api.get("/api/v1/silences", headers={"If-None-Match": tag})
    assert same.status_code == 304
    clock.advance(7_200)
    assert api.get("/api/v1/silences", headers={"If-None-Match": tag}).status_code == 200


def test_a_silence_says_what_it_would_hold_back_and_then_keeps_it_quiet(
    api: TestClient, standing: int
) -> None:
    group = api.get(f"/api/v1/incident-groups/{standing}").json()
    asked = {"model": group["model"], "version": group["version"]}
    seen = post(api, "/silences/preview", **asked, **HOURS)
    assert {standing} <= {*seen["firing"]} and {*seen["firing"]} <= {
        one["id"]
        for one in api.get("/api/v1/incidents", params={"state": "open", "limit": 999}).json()[
            "items"
        ]
    }
    assert api.get("/api/v1/silences").json()["items"] == []
    assert handling(api, standing)["silence"] is None
    post(api, "/silences", **asked, **HOURS, by="Mo")
    assert handling(api, standing)["silence"]["by"] == "Mo"
    again = api.post("/api/v1/silences", json={**asked, "feature": group["features"][0], **HOURS})
    assert again.status_code == 409
    assert "silence 1 holds all of this back already" in again.json()["detail"]
    assert post(api, "/silences/preview", **asked, **HOURS)["overlapping"] == [1]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"for_s": 60}, "Nothing says what is to be silent"),
        ({"severity": "warning", "for_s": 60}, "Nothing says what is to be silent"),
        ({"all": True}, "A silence needs an end"),
        ({"all": True, "for_s": 60, "until": "2099-01-01T00:00:00Z"}, "A silence needs an end"),
        ({"all": True, "until": "2001-01-01T00:00:00Z"}, "would be over before it begins"),
        ({"all": True, "until": "2099-01-01T00:00:00Z"}, "too long"),
        ({"all": True, "for_s": 10**12}, "too long"),
        ({"all": True, "for_s": 5}, "not valid"),
        ({"all": True, "until": "tomorrow"}, "not valid"),
        ({"all": True, "until": "2099-01-01"}, "not valid"),
        ({"kind": "weather", "for_s": 60}, "not valid"),
        ({"model": "", "for_s": 60}, "not valid"),
        ({"model": MODEL, "for_s": 60, "color": 1}, "not valid"),
    ],
)
def test_a_silence_that_makes_no_sense_is_refused(
    api: TestClient, body: dict[str, Any], said: str
) -> None:
    for path in ("/api/v1/silences", "/api/v1/silences/preview"):
        answer = api.post(path, json=body)
        assert answer.status_code == 422
        assert said in answer.json()["title"]
    assert api.get("/api/v1/silences").json()["items"] == []


@pytest.mark.parametrize(
    "matched",
    [
        {"model": "flight"},
        {"model": MODEL, "version": "99"},
        {"model": MODEL, "segment": "origin=XXX"},
        {"model": MODEL, "feature": "tmep"},
    ],
)
def test_a_name_that_nothing_has_is_refused(api: TestClient, matched: dict[str, str]) -> None:
    answer = api.post("/api/v1/silences", json={**matched, **HOURS})
    assert answer.status_code == 404
    assert answer.json()["title"].startswith("There is no such")


@pytest.mark.parametrize("number", [7, 0, -3, 10**30])
def test_an_unknown_silence_is_said(api: TestClient, number: int) -> None:
    answer = api.post(f"/api/v1/silences/{number}/end")
    assert (answer.status_code, "GET /api/v1/silences" in answer.json()["mend"]) == (404, True)
    later = {"until": (NOW + timedelta(hours=1)).isoformat()}
    assert api.post(f"/api/v1/silences/{number}/until", json=later).status_code == 404


def test_who_silences_stands_in_the_audit(api: TestClient, living: Engine) -> None:
    post(api, "/silences", model=MODEL, by="Mo", **HOURS)
    post(api, "/silences/1/end", by="Li")
    with reading(living) as conn:
        rows = conn.execute(t.audit.select().order_by(t.audit.c.id)).all()[-2:]
    assert [(row.action, row.subject) for row in rows] == [
        ("silence.add", "1"),
        ("silence.end", "1"),
    ]
    assert json.loads(rows[0].detail)["by"] == "Mo"
    assert json.loads(rows[0].detail)["model"] == MODEL


# -- the SDK and the shell -----------------------------------------------------------------------

Serve = Callable[[Engine], AbstractContextManager[str]]


@pytest.mark.parametrize(
    ("told_as", "answer"),
    [
        (told.HandlingAnswer, answers.Handling),
        (told.SilenceAnswer, answers.Silence),
        (told.PreviewAnswer, answers.SilencePreview),
        (told.NoteAnswer, answers.Note),
        (told.MatcherAnswer, answers.Matcher),
    ],
)
def test_the_client_knows_every_field(told_as: Any, answer: Any) -> None:
    assert set(told_as.model_fields) == set(answer.__dataclass_fields__)


def test_the_client_does_it_all(serve: Serve, living: Engine) -> None:
    with serve(living) as url, Client(url) as client:
        one = next(client.incident_groups(state="firing")).id
        assert client.acknowledge(one, by="Mo", comment="at it").acknowledged_by == "Mo"
        assert client.assign(one, "Li").assignee == "Li"
        assert client.comment(one, "a").notes[-1].text == "a"
        assert client.feedback(one, "useful").feedback == "useful"
        assert client.give_back(one).acknowledged_by is None
        assert client.handling(one).feedback == "useful"
        numbers = [group.id for group in client.incident_groups()]
        assert client.handlings(numbers) == {n: client.handling(n) for n in numbers}
        assert client.handlings([]) == {} and len(numbers) > 1
        with pytest.raises(ApiError, match="4711"):
            client.handlings([one, 4711])
        asked: dict[str, Any] = {"model": MODEL, "lasting": timedelta(hours=1)}
        assert client.preview_silence(**asked).overlapping == ()
        made = client.silence(**asked, by="Mo")
        assert made.until - made.start == timedelta(hours=1)
        with pytest.raises(ApiConflict, match="holds all of this back already"):
            client.silence(**asked)
        longer = client.set_silence_until(made.number, made.until + timedelta(hours=1))
        assert longer.until == made.until + timedelta(hours=1)
        assert [one.number for one in client.silences("active")] == [made.number]
        assert client.end_silence(made.number).state == "over"
        with pytest.raises(ApiError, match="parcel-delay"):
            client.silence(model="parcel-dely", lasting=timedelta(hours=1))


Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """What a command prints, on standard output or as its error."""

    def ran(url: str, *words: str, code: int = 0) -> str:
        monkeypatch.setattr("sys.argv", ["driftline", *words, "--url", url])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told = capsys.readouterr()
        assert (ended.value.code or 0) == code, told
        return told.err if code else told.out

    return ran


def test_the_shell_handles_incidents(run: Run, serve: Serve, living: Engine) -> None:
    with serve(living) as url:
        found = json.loads(run(url, "incident", "list", "--json"))
        number = str(found[0]["id"])
        assert found[0]["handling"]["acknowledged_by"] is None
        assert "acknowledged by Mo" in run(url, "incident", "acknowledge", number, "--by", "Mo")
        assert "acknowledged by Mo" in run(url, "incident", "list")
        assert "assigned to Li" in run(url, "incident", "assign", number, "Li")
        assert "commented" in run(url, "incident", "comment", number, "a\x1b[31m", "--by", "Mo")
        shown = run(url, "incident", "show", number)
        assert "assigned it to Li" in shown and "\xa0" not in shown
        assert "Mo said: a\N{REPLACEMENT CHARACTER}[31m" in shown and "\x1b" not in shown
        assert "noise" in run(url, "incident", "feedback", number, "noise")
        assert "nobody" in run(url, "incident", "give-back", number)
        assert json.loads(run(url, "incident", "show", number, "--json"))["handling"]["notes"]
        assert run(url, "incident", "list", "--state", "all").count("#") >= 2
        assert "one of firing" in run(url, "incident", "list", "--state", "open", code=2)
        assert "no such incident" in run(url, "incident", "acknowledge", "4711", code=1).lower()


def test_a_list_asks_the_server_as_often_for_many_as_for_one(
    run: Run, serve: Serve, living: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    call = Client._call

    def counting(client: Client, method: str, path: str, **more: Any) -> Any:
        asked.append(path)
        return call(client, method, path, **more)

    monkeypatch.setattr(Client, "_call", counting)
    with serve(living) as url:
        for most in ("1", "20"):
            found = json.loads(
                run(url, "incident", "list", "--state", "all", "--limit", most, "--json")
            )
            assert len(found) == 1 if most == "1" else len(found) > 2
            assert asked == ["/api/v1/incident-groups", "/api/v1/handling"]
            asked.clear()


def test_the_shell_silences(run: Run, serve: Serve, living: Engine) -> None:
    with serve(living) as url:
        assert "no silence" in run(url, "silence", "list")
        asked = ("--model", MODEL, "--for", "2h")
        seen = run(url, "silence", "add", *asked, "--preview")
        assert seen.startswith("would mute ")
        assert "no silence" in run(url, "silence", "list")
        made = run(url, "silence", "add", *asked, "--reason", "the move", "--by", "Mo")
        assert f"silence 1 of model={MODEL} until " in made
        listed = run(url, "silence", "list")
        assert "by Mo: the move" in listed
        # The server's clock is held, this one's is not.
        later = (NOW + timedelta(hours=4)).isoformat().replace("+00:00", "Z")
        assert "until" in run(url, "silence", "until", "1", later)
        assert "is over" in run(url, "silence", "end", "1")
        assert "by Mo: the move" in run(url, "silence", "list", "--all")
        for wrong in ((), ("--for", "2h", "--until", later), ("--for", "soon"), ("--for", "1s")):
            run(url, "silence", "add", "--model", MODEL, *wrong, code=2)
