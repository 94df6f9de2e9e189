"""Requests for a retraining on the pages: their steps, what they changed, whether one is due."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from living_database import NOW_MS
from plotly.utils import PlotlyJSONEncoder
from sqlalchemy.engine import Engine

from dashboard import cards_retraining as cards
from dashboard import sentences_retraining as say
from dashboard.address import Asked
from dashboard.look import Look, Screen
from dashboard.pages import Page, incident, incidents, model, overview, references, retrain
from dashboard.words import NBSP
from monitor.detect.retraining import Policy
from monitor.storage import promotions, reads, retrain_rows
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.promotions import Promotion
from monitor.storage.retrain_rows import Event, Retrain, Run
from monitor.storage.rows import ModelWindow
from monitor.views.episodes import listed
from monitor.views.retrained import Due, Effect, Side, due, effect, incidents_of, latest_about
from monitor.views.scope import NoSuch
from monitor.views.succession import replaced

UTC = ZoneInfo("UTC")
HOUR, DAY = 3_600_000, 86_400_000
ONE = Retrain(
    id=7, key="k", model_id=1, model="flight-delay", version_id=1, version="1",
    state="requested", is_dry_run=False, origin="policy", actor="evaluator",
    summary="it drifted", evidence={}, basis_withdrawn=False, event_ms=NOW_MS,
    requested_ms=NOW_MS - DAY, deadline_ms=NOW_MS + 4 * HOUR, answer_within_ms=4 * HOUR,
    endpoint_id=1, trainer="airflow", url="", run=None, look_ms=None, made_version=None,
    live_version_id=None, live_version=None, live_ms=None, ended_ms=None, events=(),
)  # fmt: skip
STATES = ("requested", "accepted", "running", "succeeded", "failed", "expired", "live")


def one(*states: str, **more: Any) -> Retrain:
    """A request that went through some states, an hour after each other."""
    events = tuple(
        Event(NOW_MS - DAY + n * HOUR, state, "airflow", f"word {n}")
        for n, state in enumerate(states)
    )
    state = next((s for s in reversed(states) if s in STATES and s != "live"), "requested")
    ended = state in ("failed", "expired") or "live" in states
    return replace(
        ONE, **{"events": events, "state": state, "ended_ms": NOW_MS if ended else None, **more}
    )


def steps(found: Retrain) -> list[tuple[str, str, str]]:
    return [
        (step.word, step.at.replace(NBSP, " "), step.tone) for step in say.steps(found, UTC, 2026)
    ]


def filled(page: Page, engine: Engine, *path: str, search: str = "", **more: Any) -> dict[str, Any]:
    with reading(engine) as conn:
        look = Look(
            conn=conn, engine=engine, path=path, asked=Asked(search), screen=Screen(**more),
            now_ms=NOW_MS, checkpoint_interval_s=30.0,
        )  # fmt: skip
        values = dict(page.fill(look))
    found: dict[str, Any] = json.loads(json.dumps(values, cls=PlotlyJSONEncoder))
    return found


def text(value: Any) -> str:
    """What a component says, with plain spaces."""
    if isinstance(value, list):
        return " ".join(filter(None, (text(each) for each in value)))
    if isinstance(value, dict):
        return text(value.get("props", {}).get("children"))
    return "" if value is None else " ".join(str(value).replace(NBSP, " ").split())


def test_a_step_is_done_where_it_stands_or_still_to_come() -> None:
    asked = one("requested")
    assert steps(asked) == [
        ("Requested", "15 May 14:40", "now"), ("Accepted", "", "ahead"), ("Running", "", "ahead"),
        ("Succeeded", "", "ahead"), ("Live", "", "ahead"),
    ]  # fmt: skip
    runs = one("requested", "accepted", "running")
    assert [tone for *_, tone in steps(runs)] == ["done", "done", "now", "ahead", "ahead"]
    whole = one("requested", "accepted", "running", "succeeded", "live",
                live_version="2", live_version_id=2)  # fmt: skip
    assert [tone for *_, tone in steps(whole)] == ["done"] * 5
    assert steps(whole)[-1][0] == "v2 live"
    # A new version that came without a word of the trainer: it succeeded all the same.
    quiet = one("requested", "live", live_version="2", live_version_id=2)
    assert [tone for *_, tone in steps(quiet)] == ["done"] * 5


@pytest.mark.parametrize("state", ["failed", "expired"])
def test_what_ended_badly_stands_in_the_place_that_it_did_not_reach(state: str) -> None:
    found = steps(one("requested", "accepted", state))
    assert [tone for *_, tone in found] == ["done", "done", "bad", "ahead", "ahead"]
    assert found[2][:2] == (say.WORDS[state], "16:40")


@pytest.mark.parametrize(
    ("found", "word", "tone", "said"),
    [
        (one("requested"), "Requested", "run", "airflow has not taken it yet: it expires in 4 h"),
        (one("requested", "accepted"), "Accepted", "run", "airflow has taken it"),
        (one("requested", "running"), "Running", "run", "airflow trains"),
        (
            one("requested", "running", deadline_ms=NOW_MS - 1),
            "Running", "run", "airflow trains: it is overdue.",
        ),
        (
            one("requested", "succeeded", made_version="3"),
            "Trained, not live", "run", "it is done; version 3 is not live yet",
        ),
        (
            one("requested", "live", live_version="2", live_version_id=2, actor="Mo",
                origin="asked"),
            "Succeeded", "ok", "Asked for by Mo; v2 took over.",
        ),
        (one("requested", "failed"), "Failed", "crit", "airflow says that it failed: word 1."),
        (one("requested", "expired"), "Expired", "crit", "did not bring a new version in time"),
        (one("requested", is_dry_run=True), "Dry run", "idle", "nothing was sent"),
        (
            one("requested", "running", basis_withdrawn=True),
            "Running", "run", "Late events withdrew the incidents that it stands on",
        ),
    ],
)  # fmt: skip
def test_how_a_request_stands_is_said(found: Retrain, word: str, tone: str, said: str) -> None:
    standing = say.standing(found, NOW_MS)
    assert (standing.word, standing.tone) == (word, tone)
    assert said in standing.said.replace(NBSP, " ")


def window(day: int, drifted: int, weighted: float | None = None) -> ModelWindow:
    return ModelWindow(day * DAY, (day + 1) * DAY, "all", 15, drifted, None, weighted, "ok")


BEFORE = Side("1", (window(1, 3), window(2, 4)), 7, 3, 15, 0.12, 2.21, 0.24)
AFTER = Side("2", (window(3, 0),), 7, 0, 15, 0.0, 0.27, 0.64)


def test_what_it_changed_is_a_sentence_and_three_numbers() -> None:
    found = Effect("temp", "psi", BEFORE, AFTER, 3 * DAY, 3 * DAY)
    assert say.effect_words(found, is_live=True) == (
        "Up to 3 of 15 features drifted before, none after."
    )
    heads, rows = say.table(found)
    assert [head.replace(NBSP, " ") for head in heads[1:]] == [
        "v1, last 7 days",
        "v2, first 7 days",
    ]
    assert [tuple(cell.replace(NBSP, " ") for cell in row) for row in rows] == [
        ("Features drifted", "3 of 15", "0 of 15"),
        ("By importance", "12 %", "0 %"),
        ("PSI of temp", "2.2, limit 0.24", "0.27, limit 0.64"),
    ]
    shares = replace(
        found, statistic="out_of_range", before=replace(BEFORE, value=0.27, limit=None)
    )
    shares = replace(shares, after=replace(AFTER, value=0.002, limit=None))
    name, *told = say.table(shares)[1][2]
    assert (name, [side.replace(NBSP, " ") for side in told]) == (
        "temp: out of range", ["27.0 %", "0.2 %"],
    )  # fmt: skip
    young = replace(found, after=None)
    assert say.effect_words(young, is_live=True).endswith("has not been judged yet.")
    # Nothing is claimed of what did not drift, nor of a training that goes on.
    calm = replace(found, before=replace(BEFORE, drifted=0))
    assert say.effect_words(calm, is_live=True) == say.effect_words(young, is_live=False) == ""


def test_bars_show_the_request_dotted_and_the_new_version_solid() -> None:
    found = Effect("temp", "psi", BEFORE, AFTER, 2 * DAY, 3 * DAY)
    drawn = json.dumps(cards.bars(found, ONE, UTC), cls=PlotlyJSONEncoder)
    assert drawn.count('"type": "I"') == 2  # a day without drift has no bar
    assert "bars-mark asked" in drawn and "bars-mark live" in drawn and "v2 live" in drawn
    assert "Features drifted by day" in drawn


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "//elsewhere.example"])
def test_a_run_that_is_no_page_is_no_link(url: str) -> None:
    drawn = json.dumps(cards.run(replace(ONE, run=Run("x", "r1", url))), cls=PlotlyJSONEncoder)
    assert '"href"' not in drawn and "r1" in drawn
    good = cards.run(replace(ONE, run=Run("airflow", "r1", "https://air.example/r1")))
    assert '"href": "https://air.example/r1"' in json.dumps(good, cls=PlotlyJSONEncoder)


def policy(verdict: str, days: int, *why: str, **more: Any) -> Due:
    given = {"trainer": "airflow", "is_ready": True, "asked_today": 3, **more}
    return Due(Policy(), verdict, days, why, **given)


@pytest.mark.parametrize(
    ("found", "current", "said"),
    [
        (
            policy("nothing", 0), None,
            "Retraining is not due: critical on 0 of the last 28 days, the policy asks for 5.",
        ),
        (
            policy("ask", 5), None,
            "Retraining is due: critical on 5 of the last 28 days, the policy asks for 5.",
        ),
        (
            policy("held", 6, "incident 4 is open: x, missing", "the budget"), None,
            "Retraining is held: incident 4 is open: x, missing.",
        ),
        (policy("nothing", 6, "no critical drift is open"), None,
         "Retraining is not due: no critical drift is open."),
        (None, one("requested", "accepted", "running"),
         "Retraining is running, since 15 May 16:40 (request 7)."),
        (policy("ask", 5), one("requested"),
         "Retraining was requested, since 15 May 14:40 (request 7)."),
        (None, None, ""),
    ],
)  # fmt: skip
def test_the_verdict_says_whether_it_is_due_with_our_number_beside_the_policy_s(
    found: Due | None, current: Retrain | None, said: str
) -> None:
    assert say.line(found, current, UTC, 2026).replace(NBSP, " ") == said


def test_why_nobody_can_ask_is_a_reason() -> None:
    after = Promotion(1, "m", "2", 2, "1", 1, 0, "api", "Mo", 0)
    ready = policy("nothing", 0)
    assert say.cannot(ready, None) == say.cannot(ready, one("requested", "failed")) == ""
    assert say.cannot(None, None).startswith("The model has no policy")
    assert "was removed" in say.cannot(policy("nothing", 0, trainer=None), None)
    assert "is switched off" in say.cannot(policy("nothing", 0, is_ready=False), None)
    assert say.cannot(ready, one("requested")) == "Request 7 is requested: one is open at a time"
    assert say.cannot(ready, None, after) == "v2 took over: ask for that one"


def test_the_page_of_a_request_has_before_and_after_the_run_and_the_message(
    living: Engine,
) -> None:
    found = filled(retrain.PAGE, living, "retrains", "2")
    assert text(found["title"]) == "Retraining of parcel-delay v1 , request 2"
    assert "Succeeded" in text(found["verdict"]) and "v2 took over" in text(found["verdict"])
    assert "open the run" in text(found["steps"])
    assert "v1, last" in text(found["effect"]) and "v2, first" in text(found["effect"])
    assert "503 in 0.6 s" in text(found["sent"]) and "200 in 0.6 s" in text(found["sent"])
    assert "Asked by M. Keller" in text(found["sent"])
    assert "Succeeded by trainer AUC 0.71" in text(found["happened"])
    assert found["waits"] is None
    assert "/incidents/1" in json.dumps(found["why"])
    dry = filled(retrain.PAGE, living, "retrains", "1")
    assert "nothing was sent" in text(dry["steps"]) and "strip" not in json.dumps(dry["sent"])
    running = filled(retrain.PAGE, living, "retrains", "5")
    assert "its reason is gone" in text(running["verdict"]) and running["waits"]
    for wrong in ("99", "one", "9" * 30):
        with pytest.raises(NoSuch):
            filled(retrain.PAGE, living, "retrains", wrong)


def test_an_incident_has_its_requests_and_the_list_the_newest_of_them(living: Engine) -> None:
    found = filled(incident.PAGE, living, "incidents", "6")
    assert found["retrain_hidden"] is False
    said = text(found["retrain"])
    assert "Running" in said and "Late events withdrew" in said
    assert "Request 4" in said and "Request 3" in said
    assert "Request 1" in text(filled(incident.PAGE, living, "incidents", "1")["retrain"])
    rows = {row["id"]: row["retraining"] for row in filled(incidents.PAGE, living)["rows"]}
    assert rows == {"8": "Not live yet", "6": "No basis", "1": "Succeeded"}
    # The message that asked is among the deliveries, and counted apart from the alerts.
    assert "retrain.requested" in text(found["sent"])
    assert text(found["sent_head"]).startswith("Deliveries 2 of 3 arrived")


def test_without_a_request_an_incident_says_what_the_policy_asks_for(living: Engine) -> None:
    with transaction(living) as conn:
        conn.execute(sa.delete(t.retrain_incident))
    said = text(filled(incident.PAGE, living, "incidents", "8")["retrain"])
    assert "critical drift stood on 5 of the last 28 days" in said
    over = filled(incident.PAGE, living, "incidents", "1")
    assert (over["retrain"], over["retrain_hidden"]) == (None, True)
    with transaction(living) as conn:
        conn.execute(sa.delete(t.retraining))
    none = filled(incident.PAGE, living, "incidents", "8")
    assert "No policy asks for a retraining" in text(none["retrain"])


def test_a_model_says_whether_it_is_due_and_marks_its_requests(living: Engine) -> None:
    found = filled(model.PAGE, living, "models", "parcel-delay")
    assert "A new version was trained, and is not live yet (request 6)." in text(found["verdict"])
    assert "Last retraining" in text(found["kpis"]) and "v1 → v2" in text(found["kpis"])
    marks = [bar for bar in found["lanes"]["versions"] if "mark" in bar]
    assert [mark["mark"] for mark in marks] == ["retraining requested"]
    dotted = [s for s in found["bars"]["layout"]["shapes"] if s["line"].get("dash") == "dot"]
    assert len(dotted) == 1
    assert "Retraining requested 15 May: request 6" in text(found["note"])
    button = json.dumps(found["verdict"])
    assert "Request 6 is succeeded: one is open at a time" in button
    with transaction(living) as conn:
        conn.execute(sa.update(t.retrain).values(ended_ms=NOW_MS, state="failed"))
        conn.execute(sa.update(t.data_version).values(value=t.data_version.c.value + 1))
    found = filled(model.PAGE, living, "models", "parcel-delay")
    assert "Retraining is not due: critical on " in text(found["verdict"])
    assert "of the last 28 days, the policy asks for 5." in text(found["verdict"])
    assert '"data-do": "retrain"' in json.dumps(found["verdict"])
    # A model that nobody retrains has its incidents there, and no button.
    with transaction(living) as conn:
        for table in (t.retrain_incident, t.retrain, t.retraining):
            conn.execute(sa.delete(table))
        conn.execute(sa.update(t.data_version).values(value=t.data_version.c.value + 1))
    found = filled(model.PAGE, living, "models", "parcel-delay")
    assert "Retrain" not in text(found["verdict"]) and "Incidents" in text(found["kpis"])


def test_a_version_that_was_replaced_says_by_which_and_since_when(living: Engine) -> None:
    found = filled(model.PAGE, living, "models", "parcel-delay", search="?version=1")
    assert "replaced by v2 since 8 May" in text(found["tags"])
    assert not any(isinstance(tag, list) for tag in found["tags"])  # React draws no list in a list
    assert "v2 took over: ask for that one" in json.dumps(found["verdict"])
    assert "replaced" not in text(filled(model.PAGE, living, "models", "parcel-delay")["tags"])
    rows = filled(references.PAGE, living, "references")["rows"]
    said = [row["model"]["sub"] for row in rows if "replaced by version 2 since" in str(row)]
    assert len(said) == 1 and said[0].startswith("version 1 · replaced by version 2 since 8")


def test_a_version_that_is_live_again_is_not_replaced() -> None:
    def made(number: int, new: int, old: int | None, at: int) -> Promotion:
        return Promotion(number, "m", str(new), new, str(old), old, at, "api", "Mo", at)

    there = made(1, 2, 1, 10)
    assert {old: p.version for old, p in replaced([there]).items()} == {1: "2"}
    back = made(2, 1, 2, 20)
    assert {old: p.version for old, p in replaced([back, there]).items()} == {2: "1"}


def test_what_a_retraining_changed_is_read_from_both_versions(living: Engine) -> None:
    with reading(living) as conn:
        found = retrain_rows.find(conn, 2)
        assert found is not None
        changed = effect(conn, found, incidents_of(conn, found))
        assert changed.after is not None and changed.took_over_ms is not None
        assert (changed.before.version, changed.after.version) == ("1", "2")
        assert changed.before.windows[-1].end_ms <= changed.took_over_ms
        assert (changed.feature, changed.statistic) == ("temperature", "missing")
        assert changed.before.value is not None
        newest = latest_about(conn, listed(conn).groups)
        assert {number: one.id for number, one in newest.items()} == {8: 6, 6: 5, 1: 2}
        assert promotions.listed(conn, "parcel-delay")[0].version == "2"
        now = due(conn, reads.models(conn, name="parcel-delay")[0].versions[0], NOW_MS)
    assert now is not None and (now.trainer, now.is_ready) == ("trainer", True)
    assert 0 < now.days < 5 and now.verdict == "nothing"


def test_the_overview_says_to_wait_for_a_training_or_to_promote_what_was_made(
    living: Engine,
) -> None:
    rows = {row["id"]: row["todo"] for row in filled(overview.PAGE, living)["rows"]}
    assert rows["parcel-delay"] == {"title": "Promote version 3", "sub": "trained by request 6"}
    assert rows["taxi-out"] == {"title": "Wait for its retraining", "sub": "request 5, running"}
    assert rows["gate-hold"]["title"] == "Nothing to do"
    cards = text(filled(overview.PAGE, living, is_narrow=True)["cards"])
    assert "Promote version 3" in cards and "Wait for its retraining" in cards
