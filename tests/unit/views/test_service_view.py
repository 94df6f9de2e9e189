"""What is wrong with Driftline itself: in words, on the pages, in the terminal; with what to do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from living_database import NOW_MS
from plotly.utils import PlotlyJSONEncoder
from sqlalchemy.engine import Engine
from typer.testing import CliRunner

from dashboard.address import Asked
from dashboard.look import Look, Screen
from dashboard.pages import Page, incidents, overview
from monitor.alerts import messages
from monitor.cli.app import app
from monitor.storage import endpoints, service_incidents
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.views.service import PIPELINE_TO_DO, TO_DO, troubles

MINUTE = 60_000


def filled(page: Page, engine: Engine, search: str = "", **screen: Any) -> dict[str, Any]:
    with reading(engine) as conn:
        look = Look(
            conn=conn, engine=engine, path=("incidents",), asked=Asked(search),
            screen=Screen(**screen), now_ms=NOW_MS, checkpoint_interval_s=30.0,
        )  # fmt: skip
        values = dict(page.fill(look))
        values["notes"] = look.asked.notes
    found: dict[str, Any] = json.loads(json.dumps(values, cls=PlotlyJSONEncoder))
    return found


def text(value: Any) -> str:
    """What a component says, with plain spaces."""
    if isinstance(value, list):
        return " ".join(filter(None, (text(one) for one in value)))
    if isinstance(value, dict):
        return text(value.get("props", {}).get("children"))
    return "" if value is None else " ".join(str(value).split())


def enable(engine: Engine) -> None:
    with transaction(engine) as conn:
        found = endpoints.find(conn, "old-hook")
        assert found is not None
        messages.enable(conn, found, NOW_MS)


def begin(engine: Engine, kind: str, name: str) -> None:
    with transaction(engine) as conn:
        service_incidents.begin(
            conn,
            kind,
            f"x {name}",
            name=f"{name} 1",
            summary=f"Something of {name}.",
            now_ms=NOW_MS,
        )


def failed_subject(engine: Engine) -> str:
    with reading(engine) as conn:
        return service_incidents.listed(conn, kind="retrain")[0].subject


def test_each_is_told_with_what_to_do_and_over_it_asks_for_nothing(living: Engine) -> None:
    with reading(living) as conn:
        failed, one = troubles(conn, only_open=True)
    assert (failed.part, failed.incident.name) == ("Retraining", "taxi-out 1") and failed.todo
    assert (one.part, one.is_open) == ("Endpoint", True)
    assert one.command.endswith("endpoint enable old-hook") and one.todo
    enable(living)
    with reading(living) as conn:
        assert troubles(conn, only_open=True) == [failed]
        _, one = troubles(conn)
    assert (one.is_open, one.todo, one.command) == (False, "", "")


def test_every_command_that_is_named_is_one() -> None:
    hows = [how for *_, how in (*TO_DO.values(), *PIPELINE_TO_DO.values())]
    for how in hows:
        words = how.format(name="x").split()
        shown = CliRunner().invoke(app, [*words[: 2 if len(words) > 1 else 1], "--help"])
        assert shown.exit_code == 0, (how, shown.output)


def test_the_overview_counts_it_among_what_needs_somebody_and_says_what_first(
    living: Engine,
) -> None:
    found = filled(overview.PAGE, living)
    assert text(found["title"]).replace("\xa0", " ") == (
        "1 of 4 models needs you now, and so do 2 parts of Driftline"
    )
    lead = text(found["lead"])
    assert lead.startswith("The retraining of taxi-out 1 failed: the training data has no column")
    assert "old-hook gets no alerts: the endpoint was switched off. parcel-delay is" in lead
    told = text(found["open"])
    assert told.index("old-hook") < told.index("#8")
    assert "Mend the receiver, then switch it on" in told
    assert "4 of 6 nobody yet" in told
    # Without a model that is urgent it is why somebody is needed.
    with transaction(living) as conn:
        conn.execute(sa.update(t.incident).values(state="resolved", resolved_ms=NOW_MS - MINUTE))
        conn.execute(sa.update(t.data_version).values(value=t.data_version.c.value + 1))
    title = text(filled(overview.PAGE, living)["title"]).replace("\xa0", " ")
    assert title.startswith("2 parts of Driftline need you now; ")
    enable(living)
    with transaction(living) as conn:
        service_incidents.end(conn, "retrain", failed_subject(living), "made", now_ms=NOW_MS)
    assert "Driftline" not in text(filled(overview.PAGE, living)["title"])


def test_the_list_of_incidents_has_it_by_state_and_kind(living: Engine) -> None:
    found = filled(incidents.PAGE, living)
    assert text(found["title"]) == "4 are firing, 2 have no owner"
    assert found["service_hidden"] is False
    assert "endpoint enable old-hook" in json.dumps(found["service"])
    begin(living, "retrain", "parcel-delay")
    assert "Something of parcel-delay." in text(filled(incidents.PAGE, living)["service"])
    for search, says in {
        "?kind=delivery": ("old-hook", "parcel-delay"),
        "?kind=retrain": ("taxi-out 1", "old-hook"),
        "?model=parcel-delay": ("parcel-delay", "taxi-out"),
    }.items():
        told = filled(incidents.PAGE, living, search)
        assert says[0] in text(told["service"]) and says[1] not in text(told["service"])
        assert told["notes"] == []
    assert filled(incidents.PAGE, living, "?state=resolved")["service_hidden"] is True
    enable(living)
    told = filled(incidents.PAGE, living, "?state=resolved")
    assert "Enabled." in text(told["service"]) and "$" not in text(told["service"])
    assert "old-hook" not in text(filled(incidents.PAGE, living, "?state=firing")["service"])


def test_rows_that_stand_can_be_selected_and_say_what_they_are_about(living: Engine) -> None:
    rows = filled(incidents.PAGE, living)["rows"]
    assert {row["id"]: row["selectable"] for row in rows} == {"8": True, "6": True, "1": False}
    by = {row["id"]: row for row in rows}
    assert by["8"]["about"]["model"] == "parcel-delay" and by["1"]["about"] is None
    assert by["6"]["delivered"] == {"icon": "clock", "word": "2 of 3", "tone": "warn"}
    cards = json.dumps(filled(incidents.PAGE, living, is_narrow=True)["cards"])
    assert cards.count('"role": "checkbox"') == 2


@pytest.fixture
def told(living: Engine) -> Callable[[bool], str]:
    """A function that returns what `driftline status` says, as text or JSON."""

    def asked(as_json: bool) -> str:
        url = living.url.render_as_string()
        words = ["status", "--database", url, *(["--json"] if as_json else [])]
        found = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
        assert found.exit_code == 0, found.output
        return found.output

    return asked


def test_status_tells_it_with_the_command_that_mends_it(told: Callable[[bool], str]) -> None:
    failed, one = json.loads(told(True))["service_incidents"]
    assert failed["kind"] == "retrain" and failed["command"]
    assert (one["kind"], one["name"], one["opened_at"]) == (
        "delivery", "old-hook", "2026-05-11T22:00:01.180000Z",
    )  # fmt: skip
    assert one["command"].endswith("endpoint enable old-hook")
    said = " ".join(told(False).split())
    assert "WARNING: Endpoint old-hook was disabled: it answered 410 Gone" in said
    assert said.count("old-hook was disabled") == 1 and "endpoint enable old-hook`" in said
    assert "endpoint old-hook is disabled" not in said  # once is enough
