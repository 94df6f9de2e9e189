"""The page of a feature, filled from windows and panes that are real."""

from __future__ import annotations

import doctest
import json
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from living_database import NOW_MS
from sqlalchemy.engine import Engine

from dashboard import address, cards_feature, sentences_feature, sentences_series, statistics
from dashboard.address import Asked
from dashboard.figures import distribution as part_figures
from dashboard.figures import series as series_figures
from dashboard.figures.factory import MAX_POINTS, MAX_SHAPES, MAX_TRACES
from dashboard.filling import digest
from dashboard.look import Cache, Look, Screen
from dashboard.pages import feature as page
from dashboard.pages.feature_choice import Chosen, choose
from dashboard.pages.feature_skeleton import SLOTS, skeleton
from dashboard.words import two
from monitor.api.app import create_app
from monitor.storage import engine as storage
from monitor.storage import reads
from monitor.storage import schema as t
from monitor.storage.engine import reading
from monitor.storage.rows import OPEN_STATES
from monitor.views import bars as bar_views
from monitor.views.distribution import ADDED_UP
from monitor.views.episodes import group
from monitor.views.scope import NoSuch
from monitor.views.series import Run, Series
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS
from tests.feature_world import DRIFT_MS, START_MS, FeatureWorld, Statements, drifted, reference

UTC = ZoneInfo("UTC")


@pytest.fixture
def world(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureWorld]:
    made = drifted(tmp_path_factory.getbasetemp(), tmp_path)
    yield made
    made.engine.dispose()


def look_at(world: FeatureWorld, conn: Any, feature: str, search: str = "", **more: Any) -> Look:
    return Look(
        conn=conn,
        engine=world.engine,
        path=("models", "m", "features", feature),
        asked=Asked(search),
        screen=Screen(is_narrow=more.pop("is_narrow", False), scheme=more.pop("scheme", "light")),
        now_ms=world.now_ms,
        checkpoint_interval_s=30.0,
        model_zone=UTC,
        version=1,
        cache=more.pop("cache", None) or Cache(),
    )


def filled(world: FeatureWorld, feature: str, search: str = "", **more: Any) -> dict[str, Any]:
    with reading(world.engine) as conn:
        look = look_at(world, conn, feature, search, **more)
        return {**page.fill(look), "notes": look.asked.notes}


def chosen(world: FeatureWorld, feature: str, search: str = "") -> Chosen:
    with reading(world.engine) as conn:
        return choose(look_at(world, conn, feature, search))


def said(part: Any) -> str:
    """The words of a part, as a reader meets them."""
    if isinstance(part, str):
        return part
    if isinstance(part, list | tuple):
        return " ".join(filter(None, (said(each).strip() for each in part)))
    return said(getattr(part, "children", None) or "")


def parts_of(part: Any) -> Iterator[Any]:
    if isinstance(part, list | tuple):
        for each in part:
            yield from parts_of(each)
    elif part is not None and not isinstance(part, str):
        yield part
        yield from parts_of(getattr(part, "children", None))


def numbers(array: Any) -> Any:
    return np.frombuffer(b64decode(array["bdata"]), dtype=f"<{array['dtype']}")


def day(n: int) -> str:
    return address.rfc3339(START_MS + n * DAY_MS)


def test_every_slot_is_a_component_and_is_filled(world: FeatureWorld) -> None:
    there = {getattr(part, "id", None) for part in parts_of(skeleton())}
    assert {name for name, _ in SLOTS.values()} <= there
    for feature in world.reference.gridset.names():
        values = filled(world, feature)
        values.pop("notes")
        assert set(values) <= set(SLOTS)
        assert set(SLOTS) - set(values) <= {"part"}  # a chart that is hidden stays as it is


def test_a_numeric_feature_that_moved_says_where_its_median_went(world: FeatureWorld) -> None:
    words = said(filled(world, "x")["verdict"])
    assert "x moved up: its median is 6" in words
    assert "the reference of v1 has 50" in words or "the reference of v1 has 49" in words
    assert "in 3 of the last 3 days" in words
    assert "comes from values above" in words
    assert "Incident #" in words


def test_a_feature_names_its_incident_by_the_number_that_lists_show(world: FeatureWorld) -> None:
    with reading(world.engine) as conn:
        groups = group(reads.incidents(conn, states=OPEN_STATES))
    told = [(i, one) for one in groups for i in one.members if i.segment == "all"]
    assert any(i.number != one.number for i, one in told)
    for incident, one in told:
        words = said(filled(world, incident.feature)["verdict"])
        assert f"Incident #{one.number}" in words


def test_sure_is_said_only_where_every_group_expects_five_rows(world: FeatureWorld) -> None:
    subject = chosen(world, "x").subject
    assert subject.distribution is not None
    honest = replace(subject, distribution=replace(subject.distribution, is_honest=True))
    thin = replace(subject, distribution=replace(subject.distribution, is_honest=False))
    assert "99.9" in said_of(honest)
    assert "99.9" not in said_of(thin) and "PSI " in said_of(thin)


def said_of(subject: sentences_series.Subject) -> str:
    made = sentences_feature.verdict(subject)
    return " ".join([made.headline, *(f"{bold} {words}" for bold, words in made.notes)])


def test_new_values_are_named_and_counted(world: FeatureWorld) -> None:
    values = filled(world, "c")
    assert "c has 1\N{NO-BREAK SPACE}value that the reference of v1 never saw" in said(
        values["verdict"]
    )
    assert "(new)" in said(values["verdict"])
    assert values["new_hidden"] is False and "new" in said(values["new"])
    assert filled(world, "x")["new_hidden"] is True


def test_missing_values_are_told_with_the_usual_share(world: FeatureWorld) -> None:
    words = said(filled(world, "zeros")["verdict"])
    assert "zeros is missing in 9.7" in words and "its reference has 0" in words
    assert "(1 point is usual)" in words


def test_a_calm_feature_is_calm(world: FeatureWorld) -> None:
    values = filled(world, "count")
    card = values["verdict"]
    assert "count is within its limits." in said(card)
    assert card.className == "verdict ok"
    assert "Incident" not in said(card)


def test_an_earlier_window_is_dated_and_judged_by_its_own_time(world: FeatureWorld) -> None:
    words = said(filled(world, "x", f"?at={day(3)}")["verdict"])
    assert words.startswith("4\N{NO-BREAK SPACE}Jan: x is within its limits.")
    assert "Incident" not in words


def test_the_first_window_over_the_limit_is_said_to_be_no_alarm_yet(world: FeatureWorld) -> None:
    words = said(filled(world, "x", f"?at={day(10)}")["verdict"])
    assert "in this day alone; an alarm needs two of three" in words


def test_choosing_a_window_redraws_no_series(world: FeatureWorld) -> None:
    cache = Cache()
    before, after = (filled(world, "x", f"?at={day(n)}", cache=cache) for n in (3, 11))
    drawn = ("series", "small", "series_head", "series_legend", "choices", "range", "tags")
    for key in (*drawn, "part_head"):
        assert digest(before[key]) == digest(after[key]), key
    assert before["frame"] != after["frame"]
    assert digest(before["part"]) != digest(after["part"])


def test_another_window_costs_its_panes_and_another_statistic_nothing(world: FeatureWorld) -> None:
    cache = Cache()
    filled(world, "c", cache=cache)
    counts = []
    asked_for = ("", "&stat=missing", "&stat=js", "&stat=js&look=table")
    for search in (f"?at={day(3)}", *(f"?at={day(4)}{more}" for more in asked_for)):
        with Statements(world.engine) as asked:
            filled(world, "c", search, cache=cache)
        counts.append(len(asked))
    # The watermark; panes, unseen values and what is kept beside the finding of a window that was
    # not looked at before; of a distance that findings do not have one statement, once.
    assert counts == [4, 4, 1, 2, 1]


def test_a_page_asks_a_fixed_number_of_times(world: FeatureWorld) -> None:
    filled(world, "x")
    counts = []
    for search in ("", "?window=week", f"?from={day(2)}&to={day(3)}", "?window=hour"):
        with Statements(world.engine) as asked:
            filled(world, "x", search)
        counts.append(len(asked))
    assert max(counts) <= 17 and max(counts) - min(counts) <= 1


def test_a_time_that_was_not_judged_shows_the_nearest_and_says_so(world: FeatureWorld) -> None:
    values = filled(world, "x", "?at=2031-05-05T00:00:00Z")
    assert "14\N{NO-BREAK SPACE}Jan" in said(values["part_step"])
    assert any("the nearest is 14\N{NO-BREAK SPACE}Jan 2024" in note for note in values["notes"])
    inside = filled(world, "x", f"?at={address.rfc3339(START_MS + 3 * DAY_MS + 3_600_000)}")
    assert "4\N{NO-BREAK SPACE}Jan" in said(inside["part_step"]) and inside["notes"] == []


@pytest.mark.parametrize("feature", ["x", "c", "zeros", "same"])
def test_an_hour_whose_counts_were_added_up_to_a_day_is_not_called_empty(
    feature: str, world: FeatureWorld
) -> None:
    hour = f"?window=hour&at={address.rfc3339(START_MS + 2 * DAY_MS + 5 * HOUR_MS)}"
    before = filled(world, feature, hour)
    assert not before["part_hidden"] or feature in ("c", "same")
    assert "Rows" in said(before["numbers"])
    assert world.add_up(START_MS + 2 * DAY_MS) == 24
    for view in ("", "&view=table", "&view=cumulative", "&rows=all"):
        values = filled(world, feature, hour + view)
        body = said(values["part_body"])
        assert "The counts of this window are gone" in body
        assert ADDED_UP in body
        assert "No value in this window" not in body
        assert values["part_hidden"]
        # What was judged stands; no row is said to be none.
        assert "Rows" not in said(values["numbers"])
        if feature == "x":
            assert "Mean moved by" in said(values["numbers"])
    whole = filled(world, feature, f"?at={day(2)}")
    assert ADDED_UP not in said(whole["part_body"])


def test_what_a_link_asks_for_and_is_not_there_is_said_and_replaced(world: FeatureWorld) -> None:
    values = filled(world, "x", "?stat=entropy&view=pie&vs=nonsense&window=month")
    assert len(values["notes"]) == 4
    assert "Histogram" in json.dumps(values["part_head"], default=lambda p: p.to_plotly_json())
    with pytest.raises(NoSuch) as raised:
        filled(world, "cuont")
    assert raised.value.nearest[0] == "count"


def test_the_stepper_knows_the_windows_that_keys_may_reach(world: FeatureWorld) -> None:
    found = parts_of(filled(world, "x", f"?at={day(5)}")["part_step"])
    steps = next(part for part in found if hasattr(part, "data-starts"))
    starts = [start * 60_000 for start in json.loads(getattr(steps, "data-starts"))]
    assert starts == [START_MS + n * DAY_MS for n in range(14)]
    assert (getattr(steps, "data-place"), getattr(steps, "data-last")) == ("5", "13")
    last = parts_of(filled(world, "x")["part_step"])
    disabled = [p for p in last if getattr(p, "data-step", None) == "on"]
    assert disabled[0].disabled is True


def test_a_page_opens_with_the_newest_window_that_alarmed(world: FeatureWorld) -> None:
    world.write(DRIFT_MS + 4 * DAY_MS, 24 * 4, seed=9)
    world.judge()
    values = filled(world, "x")
    words = said(values["verdict"])
    assert words.startswith("14\N{NO-BREAK SPACE}Jan: x moved up")
    assert (
        "14\N{NO-BREAK SPACE}Jan, the newest day that alarmed; 18\N{NO-BREAK SPACE}Jan is" in words
    )
    assert "is within its limits." in words
    button = next(p for p in parts_of(values["verdict"]) if hasattr(p, "data-write"))
    assert said(button) == "Newest day"
    assert json.loads(getattr(button, "data-write")) == {"at": "newest"}
    newest = filled(world, "x", "?at=newest")
    assert "18\N{NO-BREAK SPACE}Jan" in said(newest["part_step"]) and newest["notes"] == []
    assert "Shown:" not in said(newest["verdict"])
    calm = filled(world, "count")  # without an alarm the newest one is shown
    assert "18\N{NO-BREAK SPACE}Jan" in said(calm["part_step"])
    assert "Newest day" not in said(calm["verdict"])


def test_a_tiny_newest_window_hides_no_verdict(world: FeatureWorld) -> None:
    newest = START_MS + 13 * DAY_MS
    with storage.transaction(world.engine) as conn:
        few = (t.finding.c.length == "day", t.finding.c.start_ms == newest)
        conn.execute(
            sa.update(t.finding).where(*few).values(verdict="insufficient_data", exceeds="", n=4)
        )
        here = (t.window.c.length == "day", t.window.c.start_ms == newest)
        conn.execute(sa.update(t.window).where(*here).values(rows=4))
    words = said(filled(world, "count")["verdict"])
    assert words.startswith("13\N{NO-BREAK SPACE}Jan: count is within its limits.")
    assert (
        "the newest day with a verdict; 14\N{NO-BREAK SPACE}Jan has 4\N{NO-BREAK SPACE}rows."
        in words
    )
    # An alarm is older than the tiny window, and shown all the same.
    assert "13\N{NO-BREAK SPACE}Jan: x moved up" in said(filled(world, "x")["verdict"])


def test_verdict_chart_and_table_speak_of_one_window(world: FeatureWorld) -> None:
    for search in ("", f"?at={day(11)}", f"?at={day(3)}&from={day(0)}&to={day(5)}"):
        view = chosen(world, "x", search)
        assert view.window is not None and view.window.found is not None
        values = filled(world, "x", search)
        psi = two(view.window.found["psi"])
        assert f"PSI {psi}" in said(values["reading"]), search
        assert psi in said(values["numbers"]) and psi in said(values["verdict"])


def test_words_that_few_know_explain_themselves(world: FeatureWorld) -> None:
    values = filled(world, "x")
    keys = ("series_legend", "numbers", "numbers_aside")
    found = {said(p) for k in keys for p in parts_of(values[k]) if hasattr(p, "data-term")}
    assert {"limit", "alarm", "PSI", "KS", "watermark"} <= found
    assert any("sure" in word for word in found)


def test_the_range_moves_to_the_window_that_a_link_names(living: Engine) -> None:
    with reading(living) as conn:
        first = conn.execute(
            sa.select(sa.func.min(t.window.c.start_ms)).where(t.window.c.length == "hour")
        ).scalar_one()
    at = address.rfc3339(first + 30 * 3_600_000)
    moved = look_living(living, f"?window=hour&at={at}")
    assert moved.notes == []
    assert moved.window == first + 30 * 3_600_000
    named = look_living(living, f"?window=hour&at={at}&from=-24h")
    assert "lies outside of the range" in named.notes[0]


def test_walking_through_a_range_that_moved_moves_it_no_further(living: Engine) -> None:
    with reading(living) as conn:
        first = conn.execute(
            sa.select(sa.func.min(t.window.c.start_ms)).where(t.window.c.length == "hour")
        ).scalar_one()
    spans = {
        look_living(living, f"?window=hour&at={address.rfc3339(first + n * 3_600_000)}").span
        for n in range(30, 40)
    }
    assert len(spans) <= 2


def test_the_numbers_equal_what_was_judged(world: FeatureWorld) -> None:
    view = chosen(world, "x")
    assert view.window is not None and view.window.found is not None
    assert view.made.psi == view.window.found["psi"]  # type: ignore[union-attr]
    words = said(filled(world, "x")["numbers"])
    assert two(view.window.found["psi"]) in words
    assert "closed by watermark" in said(filled(world, "x")["numbers_aside"])


def test_two_windows_and_two_versions_can_be_compared(world: FeatureWorld) -> None:
    values = filled(world, "x", f"?vs={day(3)}")
    assert "4\N{NO-BREAK SPACE}Jan" in said(values["numbers"])
    assert "limit" not in said(values["numbers"])
    other = reference(seed=3, shift=12.0)
    world.register(other, "2")
    values = filled(world, "x", "?version=1&vs=v2")
    assert "cannot be compared" in said(values["part_body"]) and values["part_hidden"] is True
    assert "x moved up" in said(values["verdict"])  # the verdict is of its own reference


def test_a_change_of_version_breaks_the_line_and_is_named(world: FeatureWorld) -> None:
    second = reference(seed=3, shift=12.0)
    world.register(second, "2")
    world.write(DRIFT_MS + 4 * DAY_MS, 24 * 3, seed=9, shift=12.0, reference=second, version_id=2)
    world.judge()
    values = filled(world, "x", f"?from={day(0)}&to={day(17)}&stat=psi")
    figure = values["series"]
    line = next(trace for trace in figure["data"] if trace["name"] == "PSI")
    y = numbers(line["y"])
    assert len(y) == 14 + 1 + 3 and list(np.flatnonzero(np.isnan(y))) == [14]
    assert any("v2 and its reference" in note["text"] for note in figure["layout"]["annotations"])
    assert "of its version" in values["series_title"]
    # Nobody has to ask for the time before a young version.
    assert chosen(world, "x").scope.from_ms == START_MS


def test_names_are_never_markup(world: FeatureWorld) -> None:
    version = "<a href='//x'>2</a>%{x}"
    with storage.transaction(world.engine) as conn:
        conn.execute(sa.update(t.model_version).values(name=version))
    values = filled(world, "c")
    text = json.dumps([values["series"], values.get("part", {})])
    assert "<a " not in text and "%{x}" not in text.replace("%{x|", "")


def test_each_state_is_said(world: FeatureWorld) -> None:
    with storage.transaction(world.engine) as conn:
        here = (t.window.c.length == "day", t.window.c.start_ms == START_MS + 5 * DAY_MS)
        conn.execute(
            sa.update(t.window).where(*here).values(
                revision=2, incomplete=json.dumps(["hold: partition 4", "retention: partition 2"])
            )
        )  # fmt: skip
    values = filled(world, "count", f"?at={day(5)}")
    words = said(values["states"])
    assert "judged again, revision 2" in words
    assert "Closed without partition 4" in words and "lost by retention" in words
    assert any(trace["name"] == "incomplete" for trace in values["series"]["data"])
    assert len(values["marks"]) == 1
    assert "incomplete" in said(values["series_legend"])
    assert "full; it closes at" in words


def test_a_window_with_too_few_rows_says_what_could_have_been_seen(world: FeatureWorld) -> None:
    subject = chosen(world, "x").subject
    assert subject.window is not None and subject.found is not None
    few = {**subject.found, "verdict": "insufficient_data", "exceeds": "", "n": 61}
    words = said_of(replace(subject, window=replace(subject.window, rows=61, found=few)))
    assert "too few rows for a verdict" in words
    assert "61\N{NO-BREAK SPACE}rows, 100 are needed for PSI" in words
    assert "Only a shift above 0." in words and "counts in its week" in words
    # What was judged says it: of categories, which have no sigma, nothing does.
    none = replace(subject.window, rows=61, found={**few, "visible": None})
    assert "Only a shift" not in said_of(replace(subject, window=none))
    infinite = {**few, "n": 0, "missing": 0.0}
    words = said_of(replace(subject, window=replace(subject.window, rows=61, found=infinite)))
    assert "No value of x is a finite number." in words
    gone = replace(subject.window, rows=61, found={**infinite, "missing": 1.0})
    assert "All of x is missing." in said_of(replace(subject, window=gone))


def test_a_blind_length_says_why_and_leads_to_the_one_that_judges(world: FeatureWorld) -> None:
    with storage.transaction(world.engine) as conn:
        conn.execute(
            sa.update(t.finding)
            .where(t.finding.c.length == "day", t.finding.c.feature == "count")
            .values(verdict="blind", psi_limit=13.1, marks="out_of_range=cc", exceeds="")
        )
    values = filled(world, "count")
    assert "Blind at 1\N{NO-BREAK SPACE}day" in said(values["verdict"])
    assert "limit (13) above the largest PSI possible" in said(values["verdict"])
    assert "Judged by weeks" in said(values["verdict"])
    assert "outside the reference's range" in values["series_title"]
    grey = filled(world, "count", "?stat=psi")
    limit = next(trace for trace in grey["series"]["data"] if trace["name"] == "limit")
    assert np.isnan(numbers(limit["y"])).all()
    assert "not judged" in said(grey["series_legend"])


def test_nothing_judged_yet_is_said_without_a_chart_of_nothing(engine: Engine) -> None:
    values = filled(FeatureWorld(engine), "x")
    assert "Collecting: the first verdict comes" in said(values["verdict"])
    assert "No day was judged yet" in said(values["collecting"])
    assert "No event of this version was counted so far." in said(values["collecting"])
    assert values["series_card_hidden"] and values["pair_hidden"]
    assert "series" not in values and "small" not in values  # no axis of 1970
    assert "1970" not in json.dumps(values, default=lambda part: part.to_plotly_json())
    links = [p.href for p in parts_of(values["verdict"]) if hasattr(p, "href")]
    assert links[0] == "/models/m" and links[1].startswith("/references/")


def test_a_constant_has_no_histogram(world: FeatureWorld) -> None:
    values = filled(world, "same")
    assert values["part_hidden"] is True
    assert "All of the reference is 7" in said(values["part_body"])
    assert "3\N{NO-BREAK SPACE}% of the values of this window differ" in said(values["part_body"])


def test_a_window_without_a_value_says_so(world: FeatureWorld) -> None:
    world.write(DRIFT_MS + 5 * DAY_MS, 24, missing=1.0)
    world.judge()
    values = filled(world, "zeros")
    assert "No value in this window" in said(values["part_body"])
    assert "zeros is missing in 100" in said(values["verdict"])


def test_charts_have_tables_beside_them(world: FeatureWorld) -> None:
    values = filled(world, "x", "?look=table&view=table")
    assert values["series_hidden"] is True and values["part_hidden"] is True
    rows = [part for part in parts_of(values["series_twin"]) if type(part).__name__ == "Tr"]
    assert len(rows) == 15
    assert said(values["part_body"]).count("values above") == 9
    assert filled(world, "x")["series_twin"] == []


def test_charts_say_their_verdict_aloud(world: FeatureWorld) -> None:
    values = filled(world, "x")
    assert "over its limit in 4 of 14, alarming in 3 of them" in values["series_words"]
    assert "of a PSI of" in values["part_words"]


def test_categories_are_ordered_as_asked(world: FeatureWorld) -> None:
    made = chosen(world, "c").made
    orders = {
        order: [row.name for row in cards_feature.level_rows(made, order)]  # type: ignore[arg-type]
        for order in cards_feature.ORDER
    }
    assert orders["share"][0] == "Unseen values"
    assert orders["size"][:2] == ["a", "b"]
    assert orders["name"] == ["Unseen values", "a", "b", "c", "Other known values"]


def test_a_long_range_stays_within_what_a_chart_may_hold(world: FeatureWorld) -> None:
    found = chosen(world, "x").series
    point = found.points[-1]
    draw = np.random.default_rng(0).random(series_figures.MAX_WINDOWS)
    points = tuple(
        replace(point, start_ms=i * 3_600_000, end_ms=(i + 1) * 3_600_000, value=float(v),
                low=float(v) / 2, incomplete=("hold: partition 1",))
        for i, v in enumerate(draw)
    )  # fmt: skip
    runs = tuple(Run(f"v{i}", "d", None, points[i * 70 : (i + 1) * 70], ()) for i in range(10))
    figure = series_figures.series(
        replace(found, runs=runs), series_figures.axis_of(0, 700 * 3_600_000, UTC), UTC, "light",
        is_root=True, is_narrow=False,
    )  # fmt: skip
    assert len(figure["data"]) <= MAX_TRACES
    assert len(figure["layout"]["shapes"]) <= MAX_SHAPES
    for trace in figure["data"]:
        x = trace["x"]
        assert (len(numbers(x)) if isinstance(x, dict) else len(x)) <= MAX_POINTS


def test_a_psi_axis_is_a_root_and_can_be_linear(world: FeatureWorld) -> None:
    value = chosen(world, "x").series.points[-1].value
    root, linear = (
        numbers(trace["y"])[-1]
        for search in ("?stat=psi", "?stat=psi&scale=linear")
        for trace in filled(world, "x", search)["series"]["data"]
        if trace["name"] == "PSI"
    )
    assert root == pytest.approx(value**0.5) and linear == pytest.approx(value)  # type: ignore[operator]


def test_the_frame_lies_over_the_chosen_window(world: FeatureWorld) -> None:
    style = filled(world, "x", f"?at={day(7)}")["frame"]
    assert style["left"] == "50.000%" and style["width"] == "max(7.143%, 5px)"


def test_one_large_value_is_one_bar(world: FeatureWorld) -> None:
    made = chosen(world, "zeros").made
    bars = bar_views.bars(made).bars  # type: ignore[arg-type]
    zero = max(bars, key=lambda bar: bar.reference)
    assert zero.reference == pytest.approx(0.7, abs=0.05)


def test_a_phone_has_the_same_page(world: FeatureWorld) -> None:
    values = filled(world, "x", is_narrow=True)
    assert values["series"]["layout"]["margin"]["r"] < series_figures.MARGIN["r"]
    assert values["series"]["layout"]["annotations"] == []


def test_the_full_link_says_everything_that_is_shown(world: FeatureWorld) -> None:
    link = filled(world, "x", "?view=ecdf")["view"]
    again = filled(world, "x", link.partition("?")[2])
    assert again["notes"] == [] and again["view"] == link
    assert all(f"{key}=" in link for key in ("version", "window", "from", "to", "at", "stat"))


def test_the_tables_of_the_cards_are_answers_of_the_api(world: FeatureWorld) -> None:
    app = create_app(world.engine, with_dashboard=False)
    links = [
        part.href
        for search in ("?stat=psi", "?stat=missing&window=week", f"?vs={day(3)}", "?vs=v1")
        for key in ("series_head", "part_menu")
        for part in parts_of(filled(world, "x", search)[key])
        if "/api/v1/" in str(getattr(part, "href", ""))
    ]
    assert len(links) == 8
    with TestClient(app, base_url="http://127.0.0.1:8050") as client:
        for link in links:
            answer = client.get(link)
            assert answer.status_code == 200, (link, answer.text)
            assert answer.headers["content-type"].startswith("text/csv")
            assert len(answer.text.splitlines()) > 2


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (statistics, sentences_series, sentences_feature, series_figures, part_figures):
        assert doctest.testmod(module).failed == 0


def test_an_empty_series_is_drawn_as_an_empty_chart() -> None:
    nothing = Series("x", "psi", ("psi",), "psi", (), (), 0, False)
    figure = series_figures.series(
        nothing, series_figures.axis_of(0, DAY_MS, UTC), UTC, "dark", is_root=True, is_narrow=False
    )
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["UTC"]
    assert all(len(numbers(trace["x"])) == 0 for trace in figure["data"])


@dataclass(frozen=True)
class Living:
    window: int
    span: tuple[int, int]
    n_windows: int
    notes: list[str]


def look_living(living: Engine, search: str, cache: Cache | None = None) -> Living:
    with reading(living) as conn:
        look = Look(
            conn=conn,
            engine=living,
            path=("models", "parcel-delay", "features", "weight"),
            asked=Asked(search),
            screen=Screen(),
            now_ms=NOW_MS,
            checkpoint_interval_s=30.0,
            model_zone=ZoneInfo("Europe/Berlin"),
            version=1,
            cache=cache or Cache(),
        )
        made = choose(look)
        assert made.window is not None
        span = made.scope.from_ms, made.scope.to_ms
        return Living(made.window.start_ms, span, len(made.history.windows), look.asked.notes)


def test_a_link_shows_what_it_names_whoever_looked_before(living: Engine) -> None:
    cache = Cache()

    def windows(search: str) -> int:
        return look_living(living, search, cache).n_windows

    # The default reaches back before the young version; the same range, named, does not.
    assert windows("") > 7
    assert windows("?from=2026-05-08T22:00:00Z&to=2026-05-15T22:00:00Z") == 7
    assert windows("") > 7


@pytest.mark.parametrize(
    "zone", ["UTC", "America/New_York", "Europe/Berlin", "Africa/Casablanca", "Australia/Lord_Howe"]
)
@pytest.mark.parametrize("step_h", [0.5, 1, 24, 24 * 40])
def test_many_instants_are_shown_as_each_would_be(zone: str, step_h: float) -> None:
    info = ZoneInfo(zone)
    ms = [1_735_689_600_000 + n * step_h * 3_600_000 for n in range(int(24 * 400 / step_h))]
    expected = [series_figures.local_ms(one, info) for one in ms]
    assert series_figures.all_local_ms(ms, info).tolist() == expected
    assert series_figures.all_local_ms(ms[:1], info).tolist() == expected[:1]
    assert series_figures.all_local_ms([], info).tolist() == []
