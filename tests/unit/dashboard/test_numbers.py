"""The card in numbers, the choice of a statistic, and what is said where nothing is drawn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from test_feature import chosen, filled, parts_of, said

from dashboard.cards_numbers import numbers, resolution_words, stored_parts
from dashboard.figures.series import level_of
from dashboard.pages.feature import _notes as feature_notes
from dashboard.sentences_series import limit_words
from dashboard.statistics import DRAWN, GROUPS
from driftline.stats.names import NAMES
from driftline.stats.rule import FixedLimit
from monitor.detect.spec import MonitorSpec
from monitor.storage import engine as storage
from monitor.storage import schema as t
from monitor.storage.rows import FeatureWindow
from monitor.views.statistics import STATISTICS
from tests.feature_world import FeatureWorld, drifted


@pytest.fixture
def world(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FeatureWorld]:
    made = drifted(tmp_path_factory.getbasetemp(), tmp_path)
    yield made
    made.engine.dispose()


def window(**found: Any) -> FeatureWindow:
    return FeatureWindow(1, 0, 1, 500, 1, "watermark", (), "d", 1, found)


def test_every_statistic_has_words_and_a_group() -> None:
    assert set(DRAWN) == set(NAMES) == set(STATISTICS)
    assert set(GROUPS) == {each.group for each in STATISTICS.values()}


def test_more_than_five_statistics_are_a_list_in_groups(world: FeatureWorld) -> None:
    head = filled(world, "x")["series_head"]
    (choice,) = [p for p in parts_of(head) if getattr(p, "data", None) and "group" in p.data[0]]
    assert [group["group"] for group in choice.data] == list(GROUPS.values())
    names = [each["value"] for group in choice.data for each in group["items"]]
    assert names == list(chosen(world, "x").series.statistics)
    assert len(names) > 10


def test_every_statistic_of_every_feature_is_drawn(world: FeatureWorld) -> None:
    for feature in ("x", "zeros", "count", "c", "flag", "same"):
        for name in chosen(world, feature).series.statistics:
            values = filled(world, feature, f"?stat={name}")
            found = chosen(world, feature, f"?stat={name}").series
            assert found.statistic == name
            assert values["notes"] == []
            level = level_of(found, is_root=True)
            for point in found.points:
                if point.value is not None:
                    assert 0 <= level(point.value) <= 1, (feature, name)
                if point.low is not None and point.high is not None and point.value is not None:
                    assert point.low <= point.value <= point.high, (feature, name)


def test_what_has_no_interval_or_limit_is_said(world: FeatureWorld) -> None:
    told = [words for _, words in limit_words(chosen(world, "x", "?stat=js").subject)]
    assert "JS distance is shown and not judged" in told[0]
    assert told[1] == "No interval of it is known."
    certified = limit_words(chosen(world, "x", "?stat=w1_sigma").subject)
    assert all("interval" not in words for _, words in certified)
    assert limit_words(chosen(world, "x", "?stat=psi").subject) == []
    assert limit_words(chosen(world, "x", "?stat=missing").subject) == []


def test_a_fixed_limit_is_drawn_and_named(world: FeatureWorld) -> None:
    spec = MonitorSpec(
        limits=(FixedLimit("*", "ks", 0.12, 0.2), FixedLimit("x", "mean_shift", 0.4))
    )
    with storage.transaction(world.engine) as conn:
        conn.execute(sa.update(t.monitor).values(spec=spec.to_json()))
        marks = t.finding.c.marks + " ks=cc mean_shift=cc"
        conn.execute(sa.update(t.finding).values(marks=marks))
    shown = chosen(world, "x", "?stat=ks")
    judged = [p for p in shown.series.points if p.value is not None]
    assert {(p.limit, p.critical) for p in judged} == {(0.12, 0.2)}
    ((_, words),) = limit_words(shown.subject)
    assert words == "A fixed limit of every feature: a warning above 0.12, critical above 0.20."
    moved = chosen(world, "x", "?stat=mean_shift").series
    for point in moved.points:
        if point.value is not None and point.limit is not None:
            assert point.limit == (0.4 if point.value >= 0 else -0.4)
    text = said(filled(world, "x", "?stat=mean_shift")["states"])
    assert "A fixed limit of this feature: a warning above 0.40." in text


def test_the_numbers_are_those_that_were_judged(world: FeatureWorld) -> None:
    found = chosen(world, "x", "?stat=psi").subject.found
    assert found is not None
    text = said(filled(world, "x")["numbers"])
    for words in ("beyond chance", "Wasserstein", "Hellinger", "Mean moved by", "sigma"):
        assert words in text
    assert f"{found['js']:.3f}" in text
    beside = said(filled(world, "x", "?vs=before")["numbers"])
    assert "KS" in beside
    assert "Hellinger" not in beside


def test_a_tail_that_dominates_and_what_is_not_known_are_said() -> None:
    heavy = window(psi=None, psi_limit=None, w1_low=3.0, w1_high=9.0, w1_sigma=0.4, w1_tail=0.8)
    text = said(numbers(None, heavy, against="r", head="h", is_reference=True))
    assert "says little here: the tail dominates" in text
    assert "PSI" not in text
    rate = window(n=900, psi=None, psi_limit=None, visible=0.042, verdict="ok")
    text = said(numbers(None, rate, against="r", head="h", is_reference=True))
    assert "4.2 points more missing" in text
    few = window(n=60, psi=None, psi_limit=None, visible=1.13, verdict="ok")
    assert "1.1 sigma" in said(numbers(None, few, against="r", head="h", is_reference=True))


def test_what_a_season_is_of_is_said(world: FeatureWorld) -> None:
    picked = chosen(world, "x")
    made, found = picked.subject.distribution, picked.window
    assert made is not None and found is not None
    for season, every in (("weekend", "days"), ("weekend 17h hour", "hours")):
        seasonal = replace(made, season=season)
        text = said(numbers(seasonal, found, against="r", head="h", is_reference=True))
        assert f"PSI compares with the reference's {season}s, all other distances" in text
        (note,) = [line for line in feature_notes(seasonal) if "bars" in line]
        assert note.startswith(f"PSI is of the reference's {season}s; bars")
        assert note.endswith(f"all of its {every}.")
    assert "PSI compares" not in said(
        numbers(made, found, against="r", head="h", is_reference=True)
    )


def test_a_window_whose_counts_are_gone_shows_what_was_kept(world: FeatureWorld) -> None:
    grid = chosen(world, "x").history.grid
    assert grid is not None
    parts = [0.0] * grid.n_groups
    parts[-1] = 0.3
    kept = said(stored_parts(grid, {"parts": json.dumps(parts)}))
    assert "The counts of this window are gone" in kept
    assert "values above" in kept
    assert stored_parts(grid, {"parts": None}) is None
    with storage.transaction(world.engine) as conn:
        conn.execute(sa.delete(t.pane))
    assert "The counts of this window are gone" in said(filled(world, "x")["part_body"])


def test_at_which_resolution_values_are_counted_is_said(world: FeatureWorld) -> None:
    assert resolution_words(chosen(world, "count").history.grid) == (
        "Values are told apart from 1 on."
    )
    assert "of their size" in resolution_words(chosen(world, "x").history.grid)
    assert resolution_words(chosen(world, "c").history.grid) == ""
