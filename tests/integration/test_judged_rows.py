"""What is stored of a judged window beside its findings: distances, parts, the model's verdict."""

from __future__ import annotations

import json

import numpy as np
import pytest
from judged_world import START_MS, World, frame, world_of
from sqlalchemy.engine import Engine

from driftline.stats.lengths import DAY_MS, HOUR_MS
from driftline.stats.measures import MEASURES
from driftline.stats.reference import Reference, build_reference
from driftline.stats.rule import FixedLimit
from monitor.storage import engine as storage
from monitor.storage import models
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases
DAYS = (t.finding.c.length == "day", t.finding.c.feature == "x")


@pytest.fixture(scope="module")
def reference() -> Reference:
    return build_reference(
        frame(START_MS - 28 * DAY_MS, 28 * 24, 1),
        timestamp="at",
        categorical=("c",),
        importance={"x": 3.0, "c": 1.0},
    )


def test_every_distance_stands_beside_its_finding(world: World) -> None:
    world.write(START_MS, 24 * 2, shift=0.9)
    world.evaluator().step()
    found = world.rows(t.finding)
    measured = {(row.length, row.start_ms, row.feature): row for row in found if row.n}
    unmeasured = [row._mapping[name] for row in found if not row.n for name in t.DISTANCES]
    assert set(unmeasured) <= {None}
    one = measured["day", START_MS, "x"]
    numbers = one._mapping
    assert [name for name in MEASURES if numbers[name] is None] == [
        "chi_square", "chi_square_df", "chi_square_p", "differs",
    ]  # fmt: skip
    assert one.mean_shift == pytest.approx(0.9, abs=0.1)
    assert one.w1_low <= one.mean_shift * (one.sd_high / one.sd_ratio) * 1.01
    assert one.w1_low <= one.w1_high
    (finding,) = world.rows(t.finding, *DAYS, t.finding.c.start_ms == START_MS)
    parts = json.loads(one.parts)
    assert len(parts) == world.reference.gridset.B[world.reference.gridset.names().index("x")]
    assert sum(parts) == pytest.approx(finding.psi, rel=1e-4)
    assert isinstance(measured["day", START_MS, "c"].chi_square_df, int)
    # Thirty rows an hour have a mean, and no distance.
    hour = measured["hour", START_MS, "x"]
    assert hour.mean is not None
    assert (hour.js, hour.parts) == (None, None)


def test_a_window_of_too_few_rows_says_what_it_could_have_shown(world: World) -> None:
    rows = 15
    profiles = world.reference.gridset.count({}, rows, np.zeros(rows, dtype=np.intp), 1)
    with storage.transaction(world.engine) as conn:
        world._add(conn, START_MS, 0, profiles[0])
        world._position(conn, 0, START_MS + 3 * HOUR_MS)
    world.evaluator().step()
    hours = world.rows(t.finding, t.finding.c.length == "hour")
    assert {(row.feature, row.verdict, row.n) for row in hours} == {
        ("x", "insufficient_data", 0), ("c", "insufficient_data", 0),
    }  # fmt: skip
    (whole,) = world.rows(t.model_window)
    assert (whole.judged, whole.share, whole.verdict) == (0, None, "insufficient_data")


def test_a_day_of_few_values_would_have_shown_a_large_shift(world: World) -> None:
    world.write(START_MS, 2)
    world.write(START_MS + DAY_MS, 24)
    world.evaluator().step()
    few, many = sorted(world.rows(t.finding, *DAYS), key=lambda row: row.start_ms)
    assert (few.n, few.verdict, few.psi_limit) == (60, "ok", None)
    assert 0.3 < many.visible < 0.5 < few.visible < 2


def test_the_share_of_features_that_drifted_is_weighted_by_their_importance(world: World) -> None:
    world.write(START_MS, 24 * 3, shift=0.9)
    world.evaluator().step()
    days = sorted(
        world.rows(t.model_window, t.model_window.c.length == "day"), key=lambda row: row.start_ms
    )
    assert [(row.judged, row.drifted, row.share, row.weighted) for row in days] == [
        (2, 0, 0.0, 0.0), (2, 1, 0.5, 0.75), (2, 1, 0.5, 0.75),
    ]  # fmt: skip
    assert [row.verdict for row in days] == ["ok", "critical", "critical"]


def test_late_events_fold_the_model_s_verdict_again(world: World) -> None:
    world.write(START_MS, 24)
    world.write(START_MS + DAY_MS, 24 * 2, shift=0.9)
    evaluator = world.evaluator()
    evaluator.step()
    day = t.model_window.c.length == "day"
    drifted = {row.start_ms: row.drifted for row in world.rows(t.model_window, day)}
    assert list(drifted.values()) == [0, 0, 1]
    world.write(START_MS, 24 * 2, shift=0.9, seed=3)
    evaluator.step()
    drifted = {row.start_ms: row.drifted for row in world.rows(t.model_window, day)}
    assert list(drifted.values()) == [0, 1, 1]


def test_a_fixed_limit_judges_in_the_place_of_the_learnt_rule(world: World) -> None:
    limits = (FixedLimit("x", "ks", 0.05, 0.2), FixedLimit("*", "psi", 9.0))
    with storage.transaction(world.engine) as conn:
        models.set_monitor(conn, "m", {"limits": limits}, actor="me", now_ms=1)
    world.write(START_MS, 24 * 2, shift=0.3)
    world.evaluator().step()
    days = world.rows(t.finding, *DAYS)
    assert {(row.psi_limit, row.exceeds, row.verdict, row.evidence) for row in days} == {
        (9.0, "ks", "warning", "ks")
    }
    (incident,) = world.rows(t.incident)
    assert (incident.kind, incident.severity) == ("distribution", "warning")
    opened = json.loads(incident.evidence)["opened"]
    assert (opened["statistic"], opened["limit"]) == ("ks", 0.05)
    assert opened["value"] == max(row.ks_low for row in days)
    assert incident.summary.startswith("x: KS ")


def test_a_feature_that_is_sent_no_more_is_one_incident_of_its_own(world: World) -> None:
    world.write(START_MS, 24)
    world.write(START_MS + DAY_MS, 24, lacking="c")
    evaluator = world.evaluator()
    evaluator.step()
    told = {row.kind: row for row in world.rows(t.incident)}
    assert {kind: (row.feature, row.severity, row.muted) for kind, row in told.items()} == {
        "schema": ("c", "critical", False),
        "missing": ("c", "critical", True),
    }
    schema = told["schema"]
    assert schema.opened_ms == START_MS + DAY_MS + 2 * HOUR_MS
    said = schema.summary.replace("\u00a0", " ")
    assert said == (
        "c: not sent at 0h on 2 January 2024: its key is absent from more than 95 % of 30 rows, "
        "in 2 of the last 3 hours."
    )
    world.write(START_MS + 2 * DAY_MS, 24 * 4)
    evaluator.step()
    told = {row.kind: row for row in world.rows(t.incident)}
    assert {row.state for row in told.values()} == {"resolved"}
    (ended,) = world.rows(
        t.incident_event,
        t.incident_event.c.event == "resolved",
        t.incident_event.c.incident_number == told["schema"].number,
    )
    assert ended.detail == "c: its key was there in 3 hours in a row, which ended it."


def test_a_feature_that_the_reference_mostly_lacks_may_be_absent(engine: Engine) -> None:
    rare = frame(START_MS - 28 * DAY_MS, 28 * 24, 1)
    rare.loc[np.arange(len(rare)) % 50 != 0, "x"] = np.nan
    world = world_of(engine, build_reference(rare, timestamp="at", categorical=("c",)))
    for feature in ("x", "c"):
        world.write(START_MS + DAY_MS * "xc".index(feature), 24, lacking=feature)
    world.evaluator().step()
    told = [(row.feature, row.kind) for row in world.rows(t.incident)]
    assert ("c", "schema") in told
    assert ("x", "schema") not in told
