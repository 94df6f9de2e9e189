"""Who has an incident, what keeps it quiet and what people said, on the list and on its page."""

from __future__ import annotations

import json
from typing import Any

import pytest
from living_database import NOW_MS
from plotly.utils import PlotlyJSONEncoder
from sqlalchemy.engine import Engine

from dashboard.address import Asked
from dashboard.look import Look, Screen
from dashboard.pages import Page, incident, incidents
from monitor.detect.silencing import Matcher
from monitor.storage import notes, silences
from monitor.storage.engine import reading, transaction
from monitor.views.episodes import Group, listed


def filled(page: Page, engine: Engine, path: tuple[str, ...] = (), **screen: Any) -> dict[str, Any]:
    with reading(engine) as conn:
        look = Look(
            conn=conn, engine=engine, path=("incidents", *path), asked=Asked(""),
            screen=Screen(**screen), now_ms=NOW_MS, checkpoint_interval_s=30.0,
        )  # fmt: skip
        values = page.fill(look)
    found: dict[str, Any] = json.loads(json.dumps(dict(values), cls=PlotlyJSONEncoder))
    return found


@pytest.fixture
def group(living: Engine) -> Group:
    """A problem that stands."""
    with reading(living) as conn:
        return listed(conn, state="firing").groups[0]


def do(engine: Engine, group: Group, action: str, text: str = "", by: str = "Mo") -> None:
    with transaction(engine) as conn:
        numbers = [member.number for member in group.members if member.is_open]
        notes.add(conn, numbers, action, by=by, actor="a", now_ms=NOW_MS, text=text)


def page(engine: Engine, group: Group) -> dict[str, Any]:
    found = filled(incident.PAGE, engine, (str(group.number),))
    return {
        name: json.dumps(found[name]).replace("\\u00a0", " ")
        for name in ("actions", "note", "rated", "happened")
    }


def row(engine: Engine, group: Group) -> dict[str, Any]:
    rows = filled(incidents.PAGE, engine)["rows"]
    return next(one for one in rows if one["id"] == str(group.number))


def test_what_stands_offers_all_and_what_is_over_a_comment(living: Engine, group: Group) -> None:
    shown = page(living, group)["actions"]
    for what in ("acknowledge", "assign", "silence", "comment"):
        assert f'"data-do": "{what}"' in shown
    with reading(living) as conn:
        over = next(one for one in listed(conn, state="resolved").groups)
    shown = page(living, over)["actions"]
    assert '"data-do": "comment"' in shown and '"data-do": "silence"' not in shown


def test_the_dialogs_know_what_they_are_about(living: Engine, group: Group) -> None:
    found = filled(incident.PAGE, living, (str(group.number),))
    about = json.loads(found["actions"]["props"]["data-about"])
    assert (about["number"], about["model"]) == (group.number, group.model)
    assert set(about["features"]) == {one.feature for one in group.told}
    assert about["silence"] is None


def test_an_acknowledgement_is_told_on_the_page_and_in_the_list(
    living: Engine, group: Group
) -> None:
    assert row(living, group)["owner"] == "nobody yet"
    before = filled(incidents.PAGE, living)["title"]
    do(living, group, notes.ACKNOWLEDGED)
    shown = page(living, group)
    assert "Acknowledged by " in shown["note"] and '"data-do": "give-back"' in shown["actions"]
    assert " acknowledged it" in shown["happened"]
    assert row(living, group)["owner"] == "Mo"
    assert filled(incidents.PAGE, living)["title"] != before
    do(living, group, notes.ASSIGNED, "Li")
    assert row(living, group)["owner"] == "Li"
    assert "Assigned to " in page(living, group)["note"]


def test_comments_are_text(living: Engine, group: Group) -> None:
    do(living, group, notes.COMMENTED, "<b>a</b>\nsecond line", by="<i>Mo</i>")
    shown = filled(incident.PAGE, living, (str(group.number),))["happened"]
    # A text is a child of an element, never markup of its own.
    assert json.dumps(["<b>a</b>\nsecond line"])[1:-1] in json.dumps(shown)
    assert "dangerously" not in json.dumps(shown)


def test_a_verdict_is_pressed_and_pressing_it_again_takes_it_back(
    living: Engine, group: Group
) -> None:
    assert '"aria-pressed": "true"' not in page(living, group)["rated"]
    do(living, group, notes.USEFUL)
    rated = page(living, group)["rated"]
    assert rated.count('"aria-pressed": "true"') == 1
    assert '"data-verdict": "none"' in rated and '"data-verdict": "noise"' in rated
    do(living, group, notes.UNJUDGED)
    assert '"aria-pressed": "true"' not in page(living, group)["rated"]


def test_a_silence_is_told_with_its_end_and_can_be_ended(living: Engine, group: Group) -> None:
    with transaction(living) as conn:
        made = silences.add(
            conn, Matcher(model=group.model), from_ms=NOW_MS, until_ms=NOW_MS + 3_600_000,
            reason="the move", by="Mo", now_ms=NOW_MS,
        )  # fmt: skip
    shown = page(living, group)
    assert "Silenced until 16 May 15:40 UTC by " in shown["note"]
    assert ": the move" in shown["note"] and '"data-do": "end-silence"' in shown["note"]
    found = filled(incident.PAGE, living, (str(group.number),))
    assert json.loads(found["actions"]["props"]["data-about"])["silence"] == made.number
    assert row(living, group)["state"]["sub"] == "silenced"
    with transaction(living) as conn:
        silences.end(conn, made.number, by="Mo", now_ms=NOW_MS)
    assert "Silenced" not in page(living, group)["note"]


def test_a_phone_says_who_has_it_too(living: Engine, group: Group) -> None:
    do(living, group, notes.ACKNOWLEDGED)
    shown = json.dumps(filled(incidents.PAGE, living, is_narrow=True)["cards"])
    assert ", Mo" in shown and ", nobody yet" in shown
