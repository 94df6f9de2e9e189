"""The page's pure parts: view, figures, sentences, freshness, lanes, tokens."""

from __future__ import annotations

import doctest
import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from dashboard import figures, lanes, parts, sentences, words
from dashboard.fill import TARGETS, page
from dashboard.freshness import DAY_MS, Sample, judge
from dashboard.tokens import TOKENS
from dashboard.view import View, load
from driftline.events import REASONS
from monitor.storage import engine as storage
from monitor.storage import reads
from monitor.storage import schema as t
from monitor.storage.engine import reading
from tests.seed_database import HOSTILE, NOW_MS, seed, seed_hostile, start_ms

CSS = Path(figures.__file__).parent / "assets" / "00-tokens.css"


@pytest.fixture
def view(engine: Engine) -> View:
    seed(engine)
    return opened(engine)


def opened(engine: Engine, days: int | None = None) -> View:
    with reading(engine) as conn:
        found = load(conn, model=None, version=None, days=days)
    assert found is not None
    return found


def text_of(part: object) -> str:
    return json.dumps(part, default=lambda p: p.to_plotly_json())


def test_the_stylesheet_and_the_figures_have_the_same_colours() -> None:
    blocks = re.findall(r":root[^{]*\{([^}]*)\}", CSS.read_text())
    for scheme, block in zip(("light", "dark"), blocks, strict=True):
        found = dict(re.findall(r"--([\w-]+):\s*(#[0-9A-F]{6})", block))
        assert found == TOKENS[scheme]  # type: ignore[index]


def test_the_examples_in_the_docstrings_hold() -> None:
    for module in (words, figures):
        assert doctest.testmod(module).failed == 0


def test_the_worst_model_is_opened_and_pending_incidents_are_not_shown(view: View) -> None:
    assert view.model.name == "flight-delay"
    assert [(line.name, line.health) for line in view.models] == [
        ("flight-delay", "drifting"),
        ("gate-hold", "collecting"),
    ]
    assert 99 not in {i.number for i in view.incidents}
    assert [i.number for i in view.firing] == [20, 19]


def test_predictions_are_pinned_and_what_alarms_now_comes_first(view: View) -> None:
    assert view.heat.features[:4] == ("prediction", "prediction.score", "dest", "temp")
    assert view.heat.pinned == 2
    assert view.heat.ratio.shape == (18, 104)
    assert int(view.drifted[-1]) == 2


def test_only_days_of_segment_all_are_on_the_page(view: View) -> None:
    assert view.days[0] == date(2013, 2, 1)
    assert view.days[-1] == date(2013, 5, 15)
    assert int(view.volume.min()) > 300
    assert list(view.incomplete) == [date(2013, 3, 3)]


def test_the_range_keeps_the_last_days(engine: Engine) -> None:
    seed(engine)
    view = opened(engine, days=28)
    assert len(view.days) == 28
    assert view.heat.ratio.shape[1] == 28
    assert len(view.incidents) == 9


def test_a_window_of_long_ago_does_not_stretch_the_range(engine: Engine) -> None:
    seed(engine)
    with storage.transaction(engine) as conn:
        conn.execute(
            sa.update(t.window)
            .where(t.window.c.length == "day", t.window.c.start_ms == start_ms(date(2013, 4, 20)))
            .values(start_ms=start_ms(date(2011, 6, 1)), end_ms=start_ms(date(2011, 6, 2)))
        )
    view = opened(engine, days=28)
    assert (view.days[0], view.days[-1]) == (date(2013, 4, 18), date(2013, 5, 15))
    assert len(opened(engine).days) > 700


def test_the_axis_says_the_year_where_it_changes() -> None:
    days = tuple(date(2025, 11, 3) + timedelta(days=n) for n in range(90))
    shown = [date(2025, 12, 1), date(2025, 12, 29), date(2026, 1, 12), date(2026, 1, 26)]
    said = [word.replace(words.NBSP, " ") for word in figures.tick_words(shown, days)]
    assert said == ["1 Dec 2025", "29 Dec", "12 Jan 2026", "26 Jan"]
    assert figures.tick_words([days[0]], days[:9]) == [words.day_text(days[0])]


def test_the_verdict_counts_and_quotes_the_worst(view: View) -> None:
    verdict = sentences.verdict(view)
    assert verdict.headline.replace(words.NBSP, " ") == (
        "Drifting: 2 of 16 features moved since 12 May."
    )
    assert [subject for subject, _ in verdict.notes] == ["dest", "temp", ""]


def test_since_is_the_first_opening_and_a_feature_is_named_once(view: View) -> None:
    worst, other = view.firing
    again = replace(worst, number=21, kind="missing", opened_ms=worst.opened_ms + 1)
    verdict = sentences.verdict(replace(view, incidents=(again, worst, other)))
    assert [subject for subject, _ in verdict.notes] == ["dest", "temp", ""]
    kpi = sentences.kpis(view, None)[4]
    assert kpi.note.replace(words.NBSP, " ").startswith("since 12 May;")


def test_an_incident_that_came_back_stands_since_it_was_first_opened(engine: Engine) -> None:
    seed(engine)
    back = [[start_ms(date(2013, 5, 15)), start_ms(date(2013, 5, 14)), 0, None]]
    with storage.transaction(engine) as conn:
        conn.execute(sa.update(t.incident).values(episodes=json.dumps(back)))
    since = opened(engine).since
    assert since is not None
    assert since.date() == date(2013, 5, 12)


def test_open_incidents_of_segments_are_counted_and_listed(engine: Engine) -> None:
    seed(engine)
    with storage.transaction(engine) as conn:
        conn.execute(
            sa.update(t.incident).where(t.incident.c.number == 19).values(segment="origin=LGA")
        )
    view = opened(engine)
    assert [i.number for i in view.firing] == [20]
    assert [i.number for i in view.in_segments] == [19]
    filled = page(view, "light", {}, str)
    assert filled["incident_count"].startswith("1 firing, 1 more in segments;")
    assert "origin=LGA" in text_of(filled["incidents"])
    assert sentences.kpis(view, None)[4].note.endswith("; 1 more in segments")


def test_a_prediction_below_its_limit_in_an_incident_is_recovering(view: View) -> None:
    drift = replace(view.firing[0], feature="prediction")
    for ratio, word in ((0.4, "Recovering"), (1.2, "Drift")):
        rows = {
            name: {**row, "ratio": ratio if name == "prediction" else 0.1}
            for name, row in view.latest.items()
        }
        assert sentences.kpis(replace(view, incidents=(drift,), latest=rows), None)[1].value == word


def test_a_calm_model_is_called_healthy_with_what_is_closest(view: View) -> None:
    calm = replace(
        view,
        health="healthy",
        since=None,
        incidents=tuple(i for i in view.incidents if not i.is_open),
    )
    verdict = sentences.verdict(calm)
    assert verdict.headline.startswith("Healthy: none of 16")
    assert "closest to its limit" in verdict.notes[0][1]


def test_a_model_without_a_judged_day_is_collecting(engine: Engine) -> None:
    seed(engine)
    with reading(engine) as conn:
        view = load(conn, model="gate-hold", version=None, days=None)
    assert view is not None
    assert view.health == "collecting"
    filled = page(view, "light", {}, str)
    assert set(filled) == set(TARGETS)
    assert "Collecting" in text_of(filled["verdict"])


def test_a_link_to_a_model_that_is_gone_says_so(engine: Engine) -> None:
    seed(engine)
    with reading(engine) as conn:
        view = load(conn, model="gone", version=None, days=None)
    assert view is not None
    assert "which is not here" in text_of(page(view, "light", {"model": "gone"}, str)["page_error"])


def test_figures_have_no_side_margins_and_one_x_range(view: View) -> None:
    bars, heat = figures.bars(view, "light"), figures.heatmap(view, "light")
    for figure in (bars, heat):
        assert (figure.layout.margin.l, figure.layout.margin.r) == (0, 0)
    assert bars.layout.xaxis.range == heat.layout.xaxis.range
    assert heat.layout.height == 18 * figures.ROW_PX + figures.TICKS_PX + 1


def test_a_square_is_grey_below_the_limit_and_coloured_above() -> None:
    classes = np.digitize([0.49, 0.51, 0.99, 1.01, 2.1, 4.1], figures.HEAT_LIMITS, right=True)
    assert classes.tolist() == [0, 1, 1, 2, 3, 4]


def test_no_name_becomes_markup_for_plotly(engine: Engine) -> None:
    seed_hostile(engine)
    heat = figures.heatmap(opened(engine), "dark").to_json()
    assert "<a href" not in heat
    assert "<img" not in heat
    assert "%{y} <b>bold" not in heat
    assert "‮" not in heat
    assert figures.CONFIG["showSendToCloud"] is False


def test_every_hostile_name_is_shown(engine: Engine) -> None:
    seed_hostile(engine)
    filled = page(opened(engine), "light", {}, str)
    said = text_of(filled["labels"])
    for name in HOSTILE:
        assert json.dumps(words.shown(name))[1:-1] in said


def test_incident_bars_never_overlap_in_a_lane(view: View) -> None:
    bars, lost = lanes.pack(view, figures.WIDE_PX)
    assert lost == 0
    for lane in {bar.lane for bar in bars}:
        row = sorted((bar for bar in bars if bar.lane == lane), key=lambda bar: bar.left)
        for one, other in pairwise(row):
            assert one.left + one.width <= other.left
    assert all(bar.left >= 0 and bar.left + bar.width <= 100.0001 for bar in bars)


@pytest.mark.parametrize(
    ("later_s", "behind", "word"), [(0, False, "Live"), (0, True, "Behind"), (120, False, "Stale")]
)
def test_freshness_is_a_word(engine: Engine, later_s: int, behind: bool, word: str) -> None:
    seed(engine, behind=behind)
    with reading(engine) as conn:
        positions, watermark = reads.positions(conn), reads.watermark_ms(conn)
    fresh = judge(
        positions,
        watermark_ms=watermark,
        now_ms=NOW_MS + later_s * 1000,
        checkpoint_interval_s=30,
    )
    assert fresh.word == word
    assert (fresh.alarm is not None) == (word == "Stale")


def test_a_replay_says_its_year_and_its_speed(engine: Engine) -> None:
    seed(engine)
    with reading(engine) as conn:
        positions, watermark = reads.positions(conn), reads.watermark_ms(conn)
    assert watermark is not None
    fresh = judge(
        positions,
        watermark_ms=watermark,
        now_ms=NOW_MS,
        checkpoint_interval_s=30,
        before=Sample(NOW_MS - 2_000, watermark - 8 * 86_400_000),
    )
    assert fresh.badge is not None
    assert fresh.badge.replace(words.NBSP, " ") == "Replaying 2013, 4.0 days a second"
    assert fresh.word == "Live"
    assert fresh.detail.startswith("read to ")
    late = [replace(p, end_offset=p.next_offset + 9, last_counted_kafka_ms=1) for p in positions]
    for before, word in (
        (Sample(NOW_MS - 2_000, watermark - DAY_MS), "Replaying"),
        (None, "Behind"),
    ):
        busy = judge(
            late, watermark_ms=watermark, now_ms=NOW_MS, checkpoint_interval_s=30, before=before
        )
        assert busy.word == word
    assert datetime.fromtimestamp(NOW_MS / 1000, UTC).year == 2025


def test_dead_letters_add_up_and_the_last_are_told(engine: Engine) -> None:
    seed(engine)
    with reading(engine) as conn:
        newest = reads.dead_letters(conn, limit=5)
    reasons = {name: 100 - n for n, name in enumerate(REASONS)}
    said = parts.dead_letters(reasons, newest, 1_000).to_plotly_json()
    bars = [row.children for row in said["props"]["children"][1].children]
    assert len(bars) == parts.MAX_REASONS
    assert sum(int(bar[1].children.replace(",", "")) for bar in bars) == sum(reasons.values())
    assert bars[-1][0].children.replace(words.NBSP, " ") == "13 more reasons"
    text = text_of(said)
    assert "expected a comma or } at byte 148" in text
    assert "partition 1, offset 40" in text
    few = text_of(parts.dead_letters({"bad_json": 2, "time_missing": 1}, [], 9))
    assert "not JSON" not in few
    assert "no time" not in few.replace("No time", "")


def test_no_positions_means_waiting() -> None:
    assert judge([], watermark_ms=None, now_ms=0, checkpoint_interval_s=30).word == "Waiting"
