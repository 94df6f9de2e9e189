"""References tell who uses them, and what the rule cannot see with them."""

from __future__ import annotations

import re
from typing import Any

import living_database
import numpy as np
import pytest
import sqlalchemy as sa
from hostile import Names
from living_database import DAY_MS, NOW_MS
from sqlalchemy.engine import Engine

from driftline.stats.calibration import MIN_SLICES, from_reference
from driftline.stats.evidence import Judge
from driftline.stats.grid import categorical_grid, numeric_grid, numeric_groups
from driftline.stats.gridset import FeatureGrid
from driftline.stats.reference import Reference, build_reference
from driftline.stats.rule import FixedLimit, Rule
from driftline.stats.season import when
from driftline.stats.stack import Stack
from monitor.storage import reads, registry
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.storage.models import set_monitor
from monitor.views import reference as view
from monitor.views.profiled import COLUMNS, Limit, Sees, columns
from monitor.views.reference import Line, ReferenceView
from monitor.views.scope import NoSuch

LATER_MS = NOW_MS + 2 * DAY_MS


def lines(engine: Engine, model: str | None = None) -> list[Line]:
    with reading(engine) as conn:
        return view.read_list(conn, model=model)


def one(engine: Engine, digest: str) -> ReferenceView:
    with reading(engine) as conn:
        return view.read(conn, digest)


def digest_of(engine: Engine, model: str, version: str) -> str:
    return next(
        line.row.digest
        for line in lines(engine)
        if line.binding is not None
        and (line.binding.use.model, line.binding.use.version) == (model, version)
    )


def rebind(engine: Engine, seed: int = 9) -> Reference:
    """Give parcel-delay 2 another reference from the day after tomorrow on."""
    made = living_database.main_reference(Names(), seed=seed)
    with transaction(engine) as conn:
        registry.register_reference(
            conn, made, model="parcel-delay", version="2", now_ms=NOW_MS, effective_from_ms=LATER_MS
        )
    return made


def test_each_binding_is_a_line_newest_reference_first(living: Engine) -> None:
    found = lines(living)
    told = [
        (line.binding.use.model, line.binding.use.version)
        for line in found
        if line.binding is not None
    ]
    assert set(told) == {
        ("parcel-delay", "1"), ("parcel-delay", "2"), ("taxi-out", "1"), ("gate-hold", "7"),
    }  # fmt: skip
    created = [line.row.created_ms for line in found]
    assert created == sorted(created, reverse=True)
    assert {line.row.digest for line in lines(living, "taxi-out")} == {
        digest_of(living, "taxi-out", "1")
    }


def test_the_outline_is_that_of_the_whole_document(living: Engine) -> None:
    for line in lines(living):
        assert line.outline is not None
        found = one(living, line.row.digest)
        assert found.outline == line.outline
        assert len(found.features) == line.outline.n_features


def test_a_beginning_is_enough_where_it_names_one(living: Engine) -> None:
    digest = digest_of(living, "taxi-out", "1")
    assert one(living, digest[:10]).row.digest == digest
    with pytest.raises(NoSuch) as missing:
        one(living, digest[:9] + "zz")
    assert missing.value.kind == "reference"
    assert digest in missing.value.nearest
    with pytest.raises(NoSuch):
        one(living, "")


def test_a_reference_that_was_replaced_knows_by_which_and_when(living: Engine) -> None:
    before = digest_of(living, "parcel-delay", "2")
    after = rebind(living).digest
    old, new = one(living, before), one(living, after)
    assert old.bindings[0].replaced_by == after
    assert not old.bindings[0].is_current
    assert new.bindings[0].replaced == before
    assert new.bindings[0].is_current
    assert old.bindings[0].until_ms == new.bindings[0].use.effective_from_ms


def test_a_version_says_which_one_it_replaced(living: Engine) -> None:
    found = one(living, digest_of(living, "parcel-delay", "1"))
    assert [(use.version, use.replaces) for use in found.successors] == [("2", "1")]


def test_lengths_learn_from_slices_and_wait_where_there_are_too_few(living: Engine) -> None:
    found = one(living, digest_of(living, "parcel-delay", "1"))
    sources = {length.name: (length.source, length.windows) for length in found.lengths}
    assert sources["hour"][0] == sources["day"][0] == "reference"
    assert sources["week"][0] == "waits"
    assert sources["week"][1] < MIN_SLICES
    assert {limit.sees for f in found.features for limit in f.limits if limit.length == "week"} <= {
        Sees.WAITS,
        Sees.NOTHING,
    }


def test_without_times_nothing_is_calibrated_and_nothing_is_critical(living: Engine) -> None:
    found = one(living, digest_of(living, "taxi-out", "1"))
    assert {length.source for length in found.lengths} <= {"none", "live"}
    uncalibrated = {length.name for length in found.lengths if length.source == "none"}
    assert uncalibrated
    for feature in found.features:
        for limit in feature.limits:
            if limit.length in uncalibrated:
                assert limit.critical is None


def test_what_is_blind_is_what_registering_said(living: Engine) -> None:
    found = one(living, digest_of(living, "parcel-delay", "1"))
    said = next(w for w in found.row.warnings if w.startswith("Blind at 1 day"))
    told = re.search(r"wobble of (.*) puts", said)
    assert told is not None
    blind = [
        f.name for f in found.features for limit in f.limits
        if limit.length == "day" and limit.sees is Sees.BLIND
    ]  # fmt: skip
    assert set(blind) == set(told[1].split(", "))
    assert "reading" in blind


def test_a_limit_is_the_one_that_a_window_of_that_size_gets(living: Engine) -> None:
    """The judge, asked about a window of the usual size, says the same to nine digits."""
    digest = digest_of(living, "parcel-delay", "1")
    found = one(living, digest)
    with reading(living) as conn:
        reference = Reference.from_document(view.reads.documents(conn, [digest])[digest])
    grids = reference.gridset
    whole = reference.profiles["all"].counts
    calibration = from_reference(reference, "all", "day")
    judge = Judge(reference, "all", "day", calibration)
    assert calibration is not None
    checked = 0
    for line in found.features:
        limit = next(each for each in line.limits if each.length == "day")
        f = grids.names().index(line.name)
        if limit.sees is not Sees.JUDGES or limit.n is None or calibration.season[f]:
            continue
        window = np.zeros(grids.size, dtype=np.int64)
        place = grids.bins[f].start + int(np.argmax(whole[grids.bins[f]]))
        window[0] = window[place] = limit.n
        judged = judge.judge(
            Stack.of_counts(window[None, :], len(reference.gridset.features)),
            when(np.zeros(1, np.int64), "UTC"),
        )
        assert limit.warning == pytest.approx(float(judged.psi_limit[0, f]), rel=1e-8)
        assert limit.critical == pytest.approx(float(judged.psi_critical[0, f]), rel=1e-8)
        checked += 1
    assert checked >= 5


def limits_of(found: ReferenceView, feature: str, length: str = "day") -> Limit:
    line = next(line for line in found.features if line.name == feature)
    return next(limit for limit in line.limits if limit.length == length)


def monitor(engine: Engine, model: str, **changes: Any) -> None:
    with transaction(engine) as conn:
        set_monitor(conn, model, changes, actor="test", now_ms=NOW_MS)


def test_limits_are_those_of_the_monitor_that_is_in_force(living: Engine) -> None:
    digest = digest_of(living, "parcel-delay", "1")
    before = one(living, digest)
    assert before.rule == Rule()
    limits = (FixedLimit("*", "psi", 0.2, 0.4), FixedLimit("weight", "missing", 0.05))
    monitor(living, "parcel-delay", profile="sensitive", limits=limits[1:])
    after = one(living, digest)
    assert after.rule == Rule("sensitive", limits[1:])
    was, now = limits_of(before, "weight"), limits_of(after, "weight")
    assert was.warning is not None and now.warning is not None and now.warning < was.warning
    assert was.smallest_shift is not None and now.smallest_shift is not None
    assert now.smallest_shift < was.smallest_shift
    line = next(line for line in after.features if line.name == "weight")
    assert line.fixed == limits[1:]
    assert now.smallest_missing == pytest.approx(0.05 - line.missing)
    monitor(living, "parcel-delay", limits=limits)
    fixed = one(living, digest)
    blind = limits_of(before, "reading"), limits_of(fixed, "reading")
    assert [each.sees for each in blind] == [Sees.BLIND, Sees.JUDGES]
    assert (blind[1].warning, blind[1].critical, blind[1].is_fixed) == (0.2, 0.4, True)
    # A length that waits for its wobble is judged by a fixed limit nevertheless.
    week = limits_of(before, "weight", "week"), limits_of(fixed, "weight", "week")
    assert [each.sees for each in week] == [Sees.WAITS, Sees.JUDGES]


def test_a_reference_of_several_models_is_shown_by_the_one_bound_last(living: Engine) -> None:
    digest = digest_of(living, "parcel-delay", "1")
    with reading(living) as conn:
        made = Reference.from_document(view.reads.documents(conn, [digest])[digest])
    with transaction(living) as conn:
        registry.register_reference(conn, made, model="letters", version="1", now_ms=LATER_MS)
    monitor(living, "letters", profile="quiet")
    found = one(living, digest)
    assert found.judged is not None and found.judged.model == "letters"
    assert found.rule.profile == "quiet"
    assert found.other_models() == ["parcel-delay"]


def test_what_registering_says_is_of_the_models_own_monitor(living: Engine) -> None:
    monitor(living, "parcel-delay", limits=(FixedLimit("*", "psi", 0.2),))
    made = living_database.main_reference(Names(), seed=9)
    with transaction(living) as conn:
        done = registry.register_reference(
            conn, made, model="parcel-delay", version="3", now_ms=NOW_MS
        )
        other = registry.register_reference(conn, made, model="new", version="1", now_ms=NOW_MS)
    assert not any(line.startswith("Blind at 1 day:") for line in done.warnings)
    assert any(line.startswith("Blind at 1 day:") for line in other.warnings)


def test_stretches_that_were_left_out_are_known(living: Engine) -> None:
    draw = np.random.default_rng(4)
    at = 1_767_225_600_000 + 600_000 * np.arange(144 * 20)
    made = build_reference(
        {"at": at, "x": draw.normal(size=len(at))}, timestamp="at", exclude_slices=["2026-01-13"]
    )
    with transaction(living) as conn:
        registry.register_reference(conn, made, model="short", version="1", now_ms=NOW_MS)
    assert one(living, made.digest).excluded == made.excluded != ()


def test_verdicts_are_those_of_the_newest_windows_that_it_judged(living: Engine) -> None:
    found = one(living, digest_of(living, "parcel-delay", "2"))
    day = next(length for length in found.lengths if length.name == "day")
    assert day.judged > 0
    weight = next(f for f in found.features if f.name == "weight")
    verdicts = next(limit.verdicts for limit in weight.limits if limit.length == "day")
    assert verdicts.get("critical", 0) + verdicts.get("warning", 0) > 0
    assert sum(verdicts.values()) == day.judged


def test_segments_without_counts_of_their_own_are_told_apart(living: Engine) -> None:
    found = one(living, digest_of(living, "parcel-delay", "1"))
    names = {segment.name for segment in found.segments}
    assert {f"depot={depot}" for depot in Names().depots} <= names
    assert "all" not in names
    for segment in found.segments:
        assert segment.has_counts == (segment.rows is not None)


def numeric(values: Any) -> tuple[FeatureGrid, Any]:
    grid = numeric_grid(np.asarray(values, dtype=np.float64))
    mass = np.bincount(grid.bins(np.asarray(values, dtype=np.float32)), minlength=grid.n_bins)
    return FeatureGrid("x", "numeric", grid, numeric_groups(grid, mass)), mass


def test_a_picture_has_the_shape_of_its_values() -> None:
    feature, mass = numeric(np.random.default_rng(1).normal(size=20_000))
    heights = columns(feature, mass)
    assert len(heights) == COLUMNS
    assert max(heights) == 1
    assert abs(heights.index(1.0) - COLUMNS / 2) <= 2
    assert heights[0] < 0.2
    assert heights[-1] < 0.2


def test_an_outlier_does_not_flatten_the_picture() -> None:
    feature, mass = numeric([*np.random.default_rng(2).normal(size=20_000), 1e9])
    assert sum(height > 0.1 for height in columns(feature, mass)) > COLUMNS / 2


def test_few_values_and_one_value_have_a_picture_each() -> None:
    feature, mass = numeric([0.0] * 30 + [1.0] * 10)
    assert columns(feature, mass) == (1.0, pytest.approx(1 / 3))
    feature, mass = numeric([5.0] * 30)
    assert columns(feature, mass) == (1.0,)


def test_categories_beyond_the_named_ones_are_one_column() -> None:
    counts = {f"c{i:02}": 50 - i for i in range(40)}
    grid = categorical_grid(counts)
    mass = np.array([*(counts[name] for name in grid.levels), *[0] * 2])
    feature = FeatureGrid("x", "categorical", grid, np.zeros(grid.n_bins, np.int32))
    assert len(columns(feature, mass)) == 13


def test_the_list_and_a_page_take_as_many_statements_however_many_there_are(living: Engine) -> None:
    seen: list[str] = []

    def note(*event: Any) -> None:
        seen.append(event[2])

    def counted(action: Any) -> int:
        seen.clear()
        action()
        return len([statement for statement in seen if statement.startswith("SELECT")])

    digest = digest_of(living, "parcel-delay", "2")
    one(living, digest)
    sa.event.listen(living, "before_cursor_execute", note)
    before = counted(lambda: lines(living)), counted(lambda: one(living, digest))
    rebind(living)
    lines(living)  # reads the outline of what is new
    assert (counted(lambda: lines(living)), counted(lambda: one(living, digest))) == before
    assert max(before) <= 14


def test_a_fragment_of_a_week_is_not_collected(living: Engine) -> None:
    """1 May was a Friday: the week that the events begin in teaches nothing."""
    digest = digest_of(living, "parcel-delay", "1")
    with living.connect() as conn:
        query = sa.select(t.window.c.start_ms, t.window.c.version_id).where(
            t.window.c.length == "week",
            t.window.c.segment == "all",
            t.window.c.reference_digest == digest,
            t.window.c.incomplete.is_(None),
        )
        weeks = conn.execute(query.order_by(t.window.c.start_ms)).all()
        version_id = weeks[0].version_id
        first_ms = conn.execute(
            sa.select(sa.func.min(t.pane.c.start_ms)).where(t.pane.c.version_id == version_id)
        ).scalar_one()
        found = reads.collected(conn, version_id, digest, ["week"], at_most=MIN_SLICES)
    assert weeks[0].start_ms < first_ms
    assert found == {"week": len(weeks) - 1}
