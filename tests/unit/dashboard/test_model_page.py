"""The model page: its verdict, its lanes and heatmap on one axis, its links, its states."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from living_database import NOW_MS
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine

from dashboard import lanes
from dashboard import sentences_model as say
from dashboard.address import Asked
from dashboard.figures import heat as figures
from dashboard.figures.factory import MAX_POINTS, MAX_SHAPES, MAX_TRACES
from dashboard.look import Look, Screen
from dashboard.pages import model
from dashboard.words import NBSP
from monitor.storage.engine import reading
from monitor.views import heat as rows
from monitor.views.heat import Arrangement, arranged
from monitor.views.scope import NoSuch, resolve
from monitor.views.timeline import Timeline, timeline

Page = Callable[..., tuple[Mapping[str, Any], list[str]]]


@pytest.fixture
def page(living: Engine) -> Iterator[Page]:
    """A function that fills the page of a model and returns its slots and its notes."""
    with reading(living) as conn:

        def fill(
            name: str = "parcel-delay", search: str = "", **screen: Any
        ) -> tuple[Mapping[str, Any], list[str]]:
            from monitor.storage import reads

            look = Look(
                conn=conn,
                engine=living,
                path=("models", name),
                asked=Asked(search),
                screen=Screen(**screen),
                now_ms=NOW_MS,
                checkpoint_interval_s=30.0,
                model_zone=reads.zone_of(conn, name),
            )
            return model.fill(look), look.asked.notes

        yield fill


@pytest.fixture
def found(living: Engine) -> Timeline:
    with reading(living) as conn:
        scope, _ = resolve(conn, "parcel-delay")
        return timeline(conn, scope)


def text(value: Any) -> str:
    """What a slot holds, as the browser gets it, with plain spaces."""
    shown = json.dumps(json.loads(to_json_plotly(value)), ensure_ascii=False)
    return shown.replace(NBSP, " ")


def test_the_verdict_says_what_moved_since_when(page: Page) -> None:
    values, notes = page()
    said = text(values["verdict"])
    assert "2 of 11 features moved since 14 May." in said
    assert "carrier" in said
    assert "The prediction has not moved." in said
    assert notes == []
    assert "/incidents/" in said


def test_what_drifted_is_weighed_by_importance_where_it_is_known(page: Page) -> None:
    values, _ = page()
    assert re.search(r"\d+\s% by importance: ", text(values["kpis"]))


def test_rows_names_and_values_are_the_same_features_worst_first(page: Page) -> None:
    values, _ = page()
    rows = values["rows"]
    assert len(rows) == len(values["heat"]["layout"]["yaxis"]["ticktext"])
    order = values["heat"]["layout"]["yaxis"]["ticktext"]
    assert order[:4] == ["prediction", "prediction.score", "carrier", "weight"]
    assert rows[2]["name"] == "carrier"
    assert rows[2]["href"].startswith("/models/parcel-delay/features/carrier")
    assert rows[2]["firing"]
    assert not rows[0]["firing"]
    assert rows[2]["word"]
    assert rows[2]["limit"].startswith("/ ")


def test_bars_heatmap_and_lanes_share_one_axis(page: Page) -> None:
    values, _ = page()
    assert values["bars"]["layout"]["xaxis"]["range"] == values["heat"]["layout"]["xaxis"]["range"]
    columns = json.loads(values["columns"])
    assert len(columns["starts"]) == len(columns["ends"]) == 7
    assert columns["starts"][0] == "2026-05-08T22:00:00Z"  # midnight in Berlin
    assert columns["is_range"] is False


def test_figures_stay_within_what_a_browser_draws_at_once(page: Page) -> None:
    for search in ("", "?window=hour", "?window=hour&from=2026-05-09&to=2026-05-15"):
        values, _ = page(search=search)
        for name in ("bars", "heat"):
            figure = values[name]
            assert len(figure["data"]) <= MAX_TRACES
            assert len(figure["layout"]["shapes"]) <= MAX_SHAPES
            for trace in figure["data"]:
                assert len(trace["x"].get("bdata", "")) * 3 / 4 / 8 <= MAX_POINTS


def test_a_table_says_the_same_as_the_heatmap(page: Page) -> None:
    values, _ = page(search="?view=table")
    said = text(values["twin"])
    assert "carrier" in said
    assert "Incident" in said
    assert "heat" not in values
    assert values["chart"] == "chart table-only"


def test_a_filter_that_nothing_matches_names_the_way_out(page: Page) -> None:
    values, _ = page(search="?q=zzz")
    assert "No feature is called “zzz”" in text(values["note"])
    values, _ = page(search="?q=CARR")
    assert values["heat"]["layout"]["yaxis"]["ticktext"] == ["carrier"]


def test_a_model_that_collects_says_when_its_first_verdict_is_due(page: Page) -> None:
    values, _ = page("gate-hold")
    said = text(values["verdict"])
    assert "Collecting: the first verdict is due on 16 May" in said
    assert "UTC of event time" in said
    assert values["chart"] == "chart collecting"
    assert "16 May is" in text(values["states"])
    assert "full; it closes at" in text(values["states"])


def test_a_reference_without_times_is_said_to_be_uncalibrated(page: Page) -> None:
    values, _ = page("taxi-out")
    assert "Uncalibrated at 1 day" in text(values["states"])


def test_lost_records_are_hatched_and_told(page: Page) -> None:
    values, _ = page(search="?version=1")
    assert any(trace["name"] == "incomplete" for trace in values["heat"]["data"])
    assert "incomplete" in text(values["states"])
    assert "judged again after late events" in text(values["note"])


def test_what_a_link_asks_for_and_is_not_there_is_told(page: Page) -> None:
    _, notes = page(search="?window=month&version=9&segment=depot%3DMars&sort=odd&evidence=ks")
    said = " ".join(notes)
    for word in ("month", "9", "depot=Mars", "odd", "ks"):
        assert word in said
    assert len(notes) == 5


def test_an_unknown_model_has_no_page(page: Page) -> None:
    with pytest.raises(NoSuch) as missing:
        page("parcel-dellay")
    assert missing.value.nearest == ("parcel-delay",)


def test_the_page_asks_the_database_a_fixed_number_of_times(page: Page, living: Engine) -> None:
    asked: list[str] = []
    sa.event.listen(living, "before_cursor_execute", lambda *a: asked.append(a[2]))
    page()
    first = len(asked)
    assert first <= 36
    asked.clear()
    page(search="?window=hour&from=2026-05-01&to=2026-05-15")
    assert len(asked) <= first + 2


def test_the_whole_link_names_everything_absolutely(page: Page) -> None:
    values, _ = page()
    link = values["view"]
    for part in ("version=2", "segment=all", "window=day", "from=2026-05-08T22%3A00%3A00Z"):
        assert part in link


def test_a_repeated_hour_has_a_place_of_its_own(found: Timeline) -> None:
    first = 1_792_882_800_000  # 25 October 2026, 00:00 in Berlin: the clock goes back at 3
    starts = first + 3_600_000 * np.arange(6, dtype=np.int64)
    columns = replace(
        found.columns, unit="hour", starts=starts, ends=starts + 3_600_000,
        rows=np.ones(6, np.int64), windows=np.ones(6, np.int64), revised=np.zeros(6, np.bool_),
    )  # fmt: skip
    places = figures.centres(columns, found.scope.zone)
    assert len(set(places.tolist())) == 6


def test_incidents_that_come_and_go_together_share_a_bar(found: Timeline) -> None:
    at = figures.axis_of_columns(found.columns, found.scope.zone)
    bars, lost = lanes.pack(found.incidents, at, found.scope.zone, 800, found.number_of)
    assert lost == 0
    numbers = [i.number for bar in bars for i in bar.incidents]
    assert sorted(numbers) == sorted(i.number for i in found.incidents)
    for bar in bars:
        assert 0 <= bar.left < 100
        assert bar.left + bar.width <= 100.001


def test_a_healthy_model_says_what_is_closest_to_its_limit(found: Timeline) -> None:
    calm = replace(found, health="healthy", incidents=(), elsewhere=())
    said = say.verdict(calm)
    assert said.headline.replace(NBSP, " ") == (
        "Healthy: none of 11 features drifted in the last 7 days."
    )
    # What is over it in one window alone is no incident, and not calm either.
    assert said.notes[0][1].startswith("is over its limit:")
    assert said.notes[0][1].endswith("twice in three windows is an incident.")
    below = {n: row for n, row in found.latest.items() if (row["ratio"] or 0.0) < 1.0}
    (name, words) = say.verdict(replace(calm, latest=below)).notes[0]
    assert words.startswith("is closest to its limit:")
    assert name in below


@pytest.mark.parametrize("evidence", ["worst", "psi"])
def test_what_is_blind_is_not_drawn_as_calm(living: Engine, evidence: str) -> None:
    with reading(living) as conn:
        scope, _ = resolve(conn, "parcel-delay", version="1")
        found = timeline(conn, scope, evidence=evidence)
    heat = arranged(found.squares, found.standing, Arrangement())
    row = heat.features.index("reading")
    blind = heat.verdict[row] == rows.BLIND
    assert blind.any()
    assert np.isnan(heat.ratio[row][blind]).all()
    assert (heat.source[row][blind] == rows.SOURCES.index("blind")).all()
    figure = figures.heatmap(found, heat, "light")
    assert any("blind at this length" in trace.get("hovertemplate", "") for trace in figure["data"])


def test_alarms_are_outlined_on_the_rows_they_belong_to(found: Timeline) -> None:
    heat = arranged(found.squares, found.standing, Arrangement())
    figure = figures.heatmap(found, heat, "dark")
    frame = next(trace for trace in figure["data"] if trace["name"] == "alarm")
    runs = sum(len(figures.runs(row.tolist())) for row in heat.alarm)
    assert runs > 0
    assert len(frame["x"]["bdata"]) * 3 // 4 // 8 == 6 * runs
