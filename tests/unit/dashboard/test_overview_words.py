"""The overview says what is wrong in words, and its page is filled from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from living_database import NOW_MS
from plotly.io.json import to_json_plotly
from sqlalchemy.engine import Engine

from dashboard import sentences_overview as say
from dashboard.address import Asked
from dashboard.look import Cache, Look, Screen
from dashboard.pages import overview as page
from dashboard.words import NBSP
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.views.overview import Line, Overview, Pipe, overview
from tests.slots import text

UTC = ZoneInfo("UTC")
DAY = 86_400_000


def filled(engine: Engine, search: str = "", **screen: Any) -> dict[str, Any]:
    """The page's slots, as they are sent: plain JSON."""
    with reading(engine) as conn:
        look = Look(
            conn=conn, engine=engine, path=(), asked=Asked(search), screen=Screen(**screen),
            now_ms=NOW_MS, checkpoint_interval_s=30.0,
        )  # fmt: skip
        values = page.fill(look)
    assert set(values) <= set(page.SLOTS)
    found: dict[str, Any] = json.loads(to_json_plotly(dict(values)))
    found["notes"] = look.asked.notes
    return found


def links(value: Any) -> list[str]:
    if isinstance(value, list):
        return [href for each in value for href in links(each)]
    if isinstance(value, dict):
        props = value.get("props", {})
        own = [props["href"]] if "href" in props else []
        return own + links(props.get("children"))
    return []


@pytest.fixture
def view(living: Engine) -> Overview:
    with reading(living) as conn:
        return overview(conn)


def line(name: str, health: str) -> Line:
    return Line(name, health, None, None, None, UTC)


@pytest.mark.parametrize(
    ("states", "said"),
    [
        (["silent", "drifting", "healthy", "healthy"], "1 of 4 models needs you now"),
        (["critical", "schema_broken", "healthy"], "2 of 3 models need you now"),
        (["drifting", "healthy"], "1 of 2 models drifts"),
        (["unreferenced", "healthy"], "1 of 2 models has no reference"),
        (["healthy"] * 4, "All 4 models are well"),
        (["healthy", "collecting"], "1 of 2 models is well, the rest collects"),
        (["collecting"], "No verdict yet: the first windows are still open"),
        (["healthy"], "Your model is well"),
        (["critical"], "Your model needs you now"),
    ],
)
def test_the_title_is_the_count(states: list[str], said: str) -> None:
    assert say.title([line(f"m{n}", state) for n, state in enumerate(states)]) == said


def test_the_line_below_names_the_worst_three_and_counts_the_rest(view: Overview) -> None:
    said = "".join(part for part, _ in say.lead(view.lines, UTC, view.judged_to_ms))
    assert said.startswith("parcel-delay is critical: carrier has new values since 13")
    assert "taxi-out drifts: reading drifted since 12" in said
    assert "that no reference can judge" in said
    assert said.endswith("The other one still collects.")
    bold = [part for part, is_bold in say.lead(view.lines, UTC, None) if is_bold]
    assert bold == ["parcel-delay", "taxi-out", "fare-estimate"]


def test_a_quiet_installation_says_that_quiet_is_good() -> None:
    healthy = [line("a", "healthy"), line("b", "healthy")]
    ((said, _),) = say.lead(healthy, UTC, 0)
    assert said == "Quiet is good: there was no incident so far."
    quiet = [replace(healthy[0], quiet_since_ms=0), healthy[1]]
    ((said, _),) = say.lead(quiet, UTC, 5 * DAY)
    assert said == f"Nothing is open; the last incident ended 5{NBSP}days ago."
    in_part = [replace(healthy[0], in_segments=1), quiet[0]]
    ((said, _),) = say.lead(in_part, UTC, 5 * DAY)
    assert said == "One incident is open in segments alone."


def test_what_to_do_is_told_in_words_of_what_exists(view: Overview) -> None:
    told = {found.name: say.to_do(found)["title"] for found in view.lines}
    assert told == {
        "parcel-delay": "Look at carrier",
        "taxi-out": "Look at reading",
        "fare-estimate": "Register a reference",
        "gate-hold": "Nothing to do",
    }
    assert say.to_do(line("m", "silent"))["title"] == "Check its logger"


def test_a_first_window_says_how_full_it_is_and_when_its_verdict_is_due(view: Overview) -> None:
    found = next(each for each in view.lines if each.name == "gate-hold")
    assert say.drifted(found)["text"].startswith("First hour ")
    assert say.status(found, UTC, 2026)["sub"] == f"first verdict 16{NBSP}May 15:10"
    assert say.volume(found, NOW_MS)["sub"] == "so far"


def test_a_month_always_has_28_bars(view: Overview) -> None:
    for found in view.lines:
        values = say.volume(found, NOW_MS)["values"]
        assert len(values) in (0, 28)
    newest = next(each for each in view.lines if each.name == "parcel-delay")
    assert say.volume(newest, NOW_MS)["values"][-1] == newest.volume[-1]
    assert say.volume(newest, NOW_MS)["sub"].startswith("yesterday, ")


def test_the_worst_feature_is_told_against_its_limit(view: Overview) -> None:
    found = say.worst(view.lines[0])
    assert found["name"] == "carrier"
    assert found["said"].startswith("unseen ≥")
    assert found["ratio"] > 1


def test_what_drifted_is_weighed_by_importance_where_it_is_known(
    view: Overview, living: Engine
) -> None:
    weighed = next(each for each in view.lines if each.name == "parcel-delay")
    assert weighed.moved == 2
    assert weighed.whole is not None
    assert weighed.whole.weighted is not None
    percent = f"{100 * weighed.whole.weighted:.0f}{NBSP}% by importance"
    assert say.drifted(weighed)["weight"] == percent
    assert f"of 11 features have an incident, {percent}; at most" in say.drifted(weighed)["words"]
    rows = {row["id"]: row["drifted"] for row in filled(living)["rows"]}
    assert rows["parcel-delay"]["weight"] == percent
    assert rows["parcel-delay"]["weighted"] == percent.replace("by importance", "weighted")
    assert rows["taxi-out"]["weight"] == f"0{NBSP}% by importance"
    unknown = replace(weighed, whole=weighed.whole._replace(weighted=None))
    for found in (unknown, replace(weighed, moved=0), replace(weighed, whole=None)):
        assert say.drifted(found)["weight"] == ""
        assert "importance" not in say.drifted(found)["words"]
    said = text(filled(living, is_narrow=True)["cards"])
    assert said.count("by importance") == 2
    assert f"2 of 11 drifted{percent}" in said


def test_the_pipeline_is_one_line_of_facts(view: Overview) -> None:
    facts = say.pipeline(view.pipe, NOW_MS)
    assert facts[0].startswith("all 2 partitions caught up")
    assert f"1{NBSP}data gap" in facts
    assert facts[-1].endswith("without a reference")
    assert say.pipeline(Pipe((), 0, 0, 0, ()), NOW_MS) == ["no partition was read yet"]


def test_every_row_leads_to_its_model_and_what_has_no_model_to_the_pipeline(
    living: Engine,
) -> None:
    rows = filled(living)["rows"]
    assert [row["href"] for row in rows] == [
        "/models/parcel-delay", "/models/taxi-out", "/pipeline", "/models/gate-hold",
    ]  # fmt: skip
    assert len({row["id"] for row in rows}) == len(rows)


def test_show_and_sort_are_in_the_address(living: Engine) -> None:
    def names(search: str) -> list[str]:
        return [row["id"] for row in filled(living, search)["rows"]]

    assert names("?show=attention") == ["parcel-delay", "taxi-out", "fare-estimate"]
    assert names("?sort=name") == ["fare-estimate", "gate-hold", "parcel-delay", "taxi-out"]
    assert names("?sort=volume")[:2] == ["parcel-delay", "taxi-out"]
    assert names("?q=HOLD") == ["gate-hold"]
    wrong = filled(living, "?show=mine&sort=age")
    assert len(wrong["rows"]) == 4
    assert len(wrong["notes"]) == 2


def test_a_search_without_a_hit_says_the_way_out(living: Engine) -> None:
    values = filled(living, "?q=nothing-like-it")
    assert values["rows"] == []
    assert values["rows_hidden"] is True
    assert "No model matches" in text(values["none"])
    assert links(values["none"]) == ["/"]


def test_a_phone_gets_the_same_rows_as_cards(living: Engine) -> None:
    wide, narrow = filled(living), filled(living, is_narrow=True)
    assert wide["cards"] == []
    assert narrow["rows"] == []
    assert links(narrow["cards"]) == [row["href"] for row in wide["rows"]]
    said = text(narrow["cards"])
    for word in ("Critical", "Drifting", "No reference", "Collecting", "Promote version 3"):
        assert word in said


def test_open_incidents_begin_with_driftline_s_own_then_the_critical_ones(living: Engine) -> None:
    values = filled(living)
    hrefs = links(values["open"])
    assert hrefs == [
        "/incidents?kind=retrain", "/deliveries?endpoint=old-hook", "/incidents/8", "/incidents/6",
    ]  # fmt: skip
    assert "critical" in text(values["open"])


def test_news_say_since_when(living: Engine) -> None:
    assert "In the last 7 days of data" in text(filled(living)["news_head"])
    visited = filled(living, last_visit_ms=NOW_MS - 3_600_000)
    assert "Since you last looked" in text(visited["news_head"])
    assert "today 13:40" in text(visited["news_head"])
    later = filled(living, last_visit_ms=NOW_MS + DAY)
    assert "Quiet" not in text(later["news"])
    assert "Nothing new. 2 incidents are still firing." in text(later["news"]).replace(NBSP, " ")


def test_quiet_is_good_only_where_nothing_fires(view: Overview) -> None:
    one = replace(view, groups=view.groups[:1])
    assert say.no_news(one)[0].replace(NBSP, " ") == "Nothing new. 1 incident is still firing."
    assert say.no_news(replace(view, groups=())) == (
        "Nothing happened. Quiet is good.", "circle-check",
    )  # fmt: skip
    young = replace(view, groups=(), judged_to_ms=None)
    assert say.no_news(young)[0] == "Nothing was judged yet."


def test_before_data_came_the_page_says_nothing_about_models() -> None:
    sent = to_json_plotly(page.skeleton())
    assert "No model" not in sent
    assert '"id":"overview-list","hidden":true' in sent.replace(" ", "")
    assert sent.count("skeleton") >= 4


def test_all_columns_fit_beside_the_small_bar_at_768() -> None:
    """Its bar of icons is 56 px; what is left without gutters is below 650."""
    assert sum(column["minWidth"] for column in page.COLUMNS) <= 640


def test_words_of_the_trade_are_explained(living: Engine) -> None:
    line = to_json_plotly(filled(living)["pipeline"])
    assert line.count('"data-term"') == 3


def test_records_that_are_counted_show_before_any_window_is_judged(living: Engine) -> None:
    cache = Cache()

    def pipeline() -> str:
        with reading(living) as conn:
            look = Look(
                conn=conn, engine=living, path=(), asked=Asked(), screen=Screen(), now_ms=NOW_MS,
                checkpoint_interval_s=30.0, version="same", cache=cache,
            )  # fmt: skip
            return json.dumps(json.loads(to_json_plotly(page.fill(look)["pipeline"])))

    before = pipeline()
    assert pipeline() == before
    with transaction(living) as conn:
        c = t.stream_position.c
        conn.execute(
            sa.update(t.stream_position).values(
                end_offset=c.end_offset + 7, next_offset=c.next_offset + 3
            )
        )
    assert "behind" in pipeline()


def test_many_models_are_drawn_as_they_scroll_into_view(living: Engine) -> None:
    with reading(living) as conn:
        few = overview(conn)
    many = replace(few, lines=tuple(replace(few.lines[0], name=f"model {n}") for n in range(200)))

    with reading(living) as conn:
        look = Look(
            conn=conn, engine=living, path=(), asked=Asked(), screen=Screen(), now_ms=NOW_MS,
            checkpoint_interval_s=30.0,
        )  # fmt: skip
        look.cached(page.key(look), lambda: many)
        values = page.fill(look)
    assert len(values["rows"]) == 200
    assert values["options"]["domLayout"] == "normal"
    assert values["height"]["height"] == "640px"
    assert not values["rows_hidden"]
    assert "Find a model" in to_json_plotly(values["controls"])


def test_hostile_names_are_text_and_addresses_are_encoded(
    copy_of: Callable[[Path], Engine], hostile_file: Path
) -> None:
    engine = copy_of(hostile_file)
    for values in (filled(engine), filled(engine, is_narrow=True)):
        hrefs = [row["href"] for row in values["rows"]] + links(values["cards"])
        assert hrefs
        for href in hrefs:
            assert href.startswith("/")
            assert not set(href) & set("<>\"' \u202e")
        for slot in ("lead", "open", "news", "cards"):
            assert "\u202e" not in text(values[slot])
        for row in values["rows"]:
            assert "\u202e" not in row["model"]["title"]
            assert "\u202e" not in row["worst"].get("name", "")
