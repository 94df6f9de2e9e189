"""A link's wishes become a scope, and what cannot be met is said in a sentence."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from monitor.detect.spec import MonitorSpec
from monitor.storage import engine as storage
from monitor.storage import schema as t
from monitor.storage.engine import reading, transaction
from monitor.views.scope import NoSuch, Scope, resolve
from monitor.views.timeline import timeline
from tests import seed_database

DAY_MS = 86_400_000
FIRST_MS = seed_database.start_ms(seed_database.FIRST_DAY)
LAST_DAY = seed_database.FIRST_DAY + timedelta(days=103)
END_MS = seed_database.start_ms(LAST_DAY + timedelta(days=1))


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Any:
    engine = storage.create(f"sqlite:///{tmp_path_factory.mktemp('scope') / 'seed.db'}")
    storage.upgrade(engine)
    seed_database.seed(engine)
    yield engine
    engine.dispose()


def look(
    engine: Engine, model: str = "flight-delay", **wishes: Any
) -> tuple[Scope, tuple[str, ...]]:
    with reading(engine) as conn:
        return resolve(conn, model, **wishes)


def test_nothing_asked_for_is_the_last_90_days_of_the_newest_version(seeded: Engine) -> None:
    scope, notes = look(seeded)
    assert notes == ()
    assert (scope.version.name, scope.segment, scope.length) == ("1", "all", "day")
    assert scope.from_ms == seed_database.start_ms(LAST_DAY - timedelta(days=89))
    assert (scope.to_ms, scope.last_ms, scope.first_ms) == (END_MS, END_MS, FIRST_MS)
    assert scope.is_default_range
    assert scope.reference is not None
    assert scope.reference.digest == seed_database.DIGEST


def test_weeks_open_with_all_of_them(seeded: Engine) -> None:
    scope, _ = look(seeded, length="week")
    assert scope.from_ms == scope.first_ms


def test_segments_are_those_with_windows_and_all_comes_first(seeded: Engine) -> None:
    scope, notes = look(seeded, segment="origin=JFK")
    assert scope.segments == ("all", "origin=JFK")
    assert (scope.segment, notes) == ("origin=JFK", ())


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (
            {"length": "month"},
            "The link asks for window month; this monitor has hour, day and week. Showing day.",
        ),
        ({"version": "9"}, "The link asks for version 9; this model has 1. Showing 1."),
        (
            {"segment": "origin=LAX"},
            "The link asks for segment origin=LAX; version 1 has all and origin=JFK. Showing all.",
        ),
        (
            {"from_ms": FIRST_MS + DAY_MS, "to_ms": FIRST_MS},
            "The link asks for a range that ends before it begins. "
            "Showing the range from 15 Feb 2013 to 15 May 2013.",
        ),
        (
            {"from_ms": FIRST_MS - 10 * DAY_MS, "to_ms": FIRST_MS - DAY_MS},
            "The link asks for 22 Jan 2013 to 30 Jan 2013, where no day was judged; "
            "the data are from 1 Feb 2013 to 15 May 2013. "
            "Showing the range from 15 Feb 2013 to 15 May 2013.",
        ),
    ],
)
def test_what_is_not_there_is_said_and_the_default_shown(
    seeded: Engine, wish: dict[str, Any], sentence: str
) -> None:
    scope, notes = look(seeded, **wish)
    default, _ = look(seeded)
    assert notes == (sentence,)
    assert scope == default


def test_a_range_that_holds_a_window_is_kept_as_asked_for(seeded: Engine) -> None:
    scope, notes = look(seeded, from_ms=FIRST_MS + 5, to_ms=FIRST_MS + 3 * DAY_MS)
    assert (scope.from_ms, scope.to_ms, notes) == (FIRST_MS + 5, FIRST_MS + 3 * DAY_MS, ())
    assert not scope.is_default_range


def test_an_end_alone_looks_back_as_far_as_a_page_opens_with(seeded: Engine) -> None:
    end = seed_database.start_ms(date(2013, 5, 10))
    scope, notes = look(seeded, to_ms=end)
    assert (scope.from_ms, scope.to_ms) == (seed_database.start_ms(date(2013, 2, 9)), end)
    assert notes == ()


@pytest.mark.parametrize("far", [10**30, -(10**30)])
def test_an_instant_outside_any_calendar_is_no_error(seeded: Engine, far: int) -> None:
    for wish in ({"from_ms": far}, {"to_ms": far}, {"from_ms": -far, "to_ms": far}):
        kept: dict[str, Any] = wish
        look(seeded, **kept)


def test_a_model_with_a_typing_error_is_answered_with_the_nearest_name(seeded: Engine) -> None:
    with pytest.raises(NoSuch) as caught:
        look(seeded, "Flight_delay")
    assert (caught.value.kind, caught.value.nearest) == ("model", ("flight-delay",))


def test_a_version_without_windows_has_an_empty_range_and_no_note(seeded: Engine) -> None:
    scope, notes = look(seeded, "gate-hold")
    assert (scope.is_judged, scope.from_ms, scope.to_ms, notes) == (False, 0, 0, ())
    assert scope.segments == ("all",)


def test_lengths_are_those_of_the_newest_monitor(engine: Engine) -> None:
    seed_database.seed(engine, days=9)
    with transaction(engine) as conn:
        for revision, lengths in ((1, ("hour", "day", "week")), (2, ("hour", "week"))):
            conn.execute(
                sa.insert(t.monitor).values(
                    model_id=1, revision=revision, created_ms=0,
                    spec=MonitorSpec(lengths=lengths).to_json(),
                )
            )  # fmt: skip
    scope, notes = look(engine)
    assert (scope.lengths, scope.length, scope.is_judged, notes) == (
        ("hour", "week"), "hour", False, (),
    )  # fmt: skip


def test_the_reference_is_the_one_that_judges_at_the_end_of_the_range(engine: Engine) -> None:
    seed_database.seed(engine, days=20)
    change = FIRST_MS + 10 * DAY_MS
    with transaction(engine) as conn:
        conn.execute(
            sa.insert(t.reference).values(
                digest="b" * 64, gridset="9" * 64, rows=1, warnings="[]", body=b"", created_ms=0
            )
        )
        conn.execute(
            sa.insert(t.binding).values(
                version_id=1, reference_digest="b" * 64, effective_from_ms=change,
                registry_revision=2, created_ms=0,
            )
        )  # fmt: skip
    now, _ = look(engine)
    before, _ = look(engine, to_ms=change)
    assert now.reference is not None
    assert now.reference.digest == "b" * 64
    assert before.reference is not None
    assert before.reference.digest == seed_database.DIGEST


def test_the_number_of_statements_does_not_grow_with_models_or_segments(engine: Engine) -> None:
    seed_database.seed(engine, days=9)
    said: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    look(engine)
    few = len(said)
    with transaction(engine) as conn:
        for n in range(3, 40):
            conn.execute(
                sa.insert(t.model).values(id=n, name=f"m{n}", timezone="UTC", created_ms=0)
            )
            conn.execute(
                sa.insert(t.model_version).values(id=n, model_id=n, name="1", created_ms=0)
            )
            conn.execute(
                sa.insert(t.window).values(
                    version_id=1, length="day", start_ms=FIRST_MS, segment=f"s={n}", end_ms=1,
                    rows=1, rev_sum=1, revision=1, closed_by="idle", reference_digest="x",
                    monitor_revision=1, fold="{}", judged_ms=0,
                )
            )  # fmt: skip
    said.clear()
    scope, _ = look(engine)
    assert len(scope.segments) == 39
    assert len(said) == few


@pytest.mark.parametrize(
    ("back_ms", "first"),
    [
        (28 * DAY_MS, seed_database.start_ms(LAST_DAY - timedelta(days=27))),
        # The clock is changed on 10 March: days are counted, not hours.
        (90 * DAY_MS, seed_database.start_ms(LAST_DAY - timedelta(days=89))),
        (10**18, FIRST_MS),
    ],
)
def test_a_range_may_reach_back_from_the_newest_window(
    seeded: Engine, back_ms: int, first: int
) -> None:
    scope, notes = look(seeded, back_ms=back_ms)
    assert notes == () and not scope.is_default_range
    assert (scope.from_ms, scope.to_ms) == (first, END_MS)


def test_a_range_that_nobody_asked_for_moves_to_an_instant(seeded: Engine) -> None:
    at_ms = FIRST_MS + 2 * DAY_MS
    scope, notes = look(seeded, around_ms=at_ms)
    assert notes == ()
    assert scope.from_ms <= at_ms < scope.to_ms
    assert not scope.is_default_range
    asked, _ = look(seeded, around_ms=at_ms, from_ms=END_MS - 9 * DAY_MS, to_ms=END_MS)
    assert asked.from_ms == END_MS - 9 * DAY_MS


@pytest.mark.parametrize("at_ms", [END_MS - DAY_MS, FIRST_MS - DAY_MS, END_MS, -(10**18), 10**18])
def test_a_range_stays_for_what_it_holds_and_for_what_nobody_has(
    seeded: Engine, at_ms: int
) -> None:
    scope, _ = look(seeded, around_ms=at_ms)
    assert scope.is_default_range


@pytest.mark.parametrize("far_ms", [10**13, 10**15, 10**18])
def test_no_calendar_is_asked_for_years_that_it_does_not_have(seeded: Engine, far_ms: int) -> None:
    scope, _ = look(seeded, from_ms=-far_ms, to_ms=far_ms)
    assert scope.from_ms >= 0
    with reading(seeded) as conn:
        assert len(timeline(conn, scope).columns)
