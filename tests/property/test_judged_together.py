"""Windows judged together are judged as each would be alone, to the bit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from driftline.stats.baseline import Baseline
from driftline.stats.calibration import Calibration, from_reference, from_windows, unknown
from driftline.stats.profile import Column, Profile
from driftline.stats.reference import Reference, build_reference
from driftline.stats.rule import FixedLimit
from monitor.detect.plan import Due
from monitor.detect.spec import Monitor, MonitorSpec, Revision
from monitor.evaluate import due as due_module
from monitor.evaluate.due import judge_due
from monitor.evaluate.judging import Judged, Known
from monitor.storage import engine as storage
from monitor.storage import schema as t
from monitor.storage.registry import BoundVersion
from monitor.windows.calendar import DAY_MS
from monitor.windows.panes import HOUR_MS

START_MS = 1_704_067_200_000  # a Monday, 00:00 UTC
ROWS_AN_HOUR = 330
HOURS = 48
# Two that the reference has counts of, one that it has too few rows of, one it has never seen.
SEGMENTS = ("all", "s=a", "s=b", "s=few", "s=new")
SPEC = MonitorSpec(lengths=("hour", "day"))
LIMITED = MonitorSpec(
    lengths=("hour", "day"),
    profile="quiet",
    limits=(
        FixedLimit("x", "psi", 0.2, 0.4),
        FixedLimit("*", "ks", 0.2),
        FixedLimit("*", "w1_sigma", 0.3),
        FixedLimit("*", "js", 0.1, 0.2),
        FixedLimit("*", "mean_shift", 0.3),
        FixedLimit("c", "unseen", 0.01),
        FixedLimit("*", "missing", 0.1, 0.5),
        FixedLimit("x", "infinite", 0.0),
    ),
)


def rows(n: int, seed: int, hour: float | np.ndarray[Any, Any] = 0.0) -> dict[str, Any]:
    draw = np.random.default_rng(seed)
    return {
        "x": draw.normal(size=n),
        # It moves with the hour.
        "y": draw.normal(size=n) + 2 * np.sin(np.asarray(hour) * np.pi / 12),
        "c": draw.choice(["a", "b", "c"], size=n, p=[0.5, 0.3, 0.2]).astype(object),
        # An open vocabulary: every window brings new ones.
        "o": np.array([f"v{i}" for i in draw.zipf(1.3, size=n) % 5_000], object),
        "k": np.full(n, 3.0),
    }


@pytest.fixture(scope="module")
def reference() -> Reference:
    n = 28 * 24 * ROWS_AN_HOUR
    at_ms = START_MS - 28 * DAY_MS + np.arange(n) * (HOUR_MS // ROWS_AN_HOUR)
    data = rows(n, 1, at_ms // HOUR_MS % 24)
    data["s"] = np.where(np.arange(n) % 300 < 1, "few", np.where(np.arange(n) % 3, "a", "b"))
    data["at"] = pd.to_datetime(at_ms, unit="ms", utc=True)
    made = build_reference(pd.DataFrame(data), timestamp="at", segments=("s",))
    assert {"all", "s=a", "s=b"} == set(made.profiles)
    return made


@pytest.fixture(scope="module")
def calibrations(reference: Reference) -> Mapping[tuple[str, str], Sequence[Calibration | None]]:
    """What a segment and length may know: nothing yet, no wobble, slices, live windows."""
    found = {}
    for segment in reference.profiles:
        live = [pane(reference, Pane("all", 0, "usual", 150, seed)) for seed in range(100, 109)]
        learnt = from_windows(reference, np.stack([profile.counts for profile in live]))
        for length in SPEC.lengths:
            found[segment, length] = (
                None,
                unknown(reference),
                from_reference(reference, segment, length),
                learnt,
            )
    assert any(known.season.any() for each in found.values() for known in each if known)
    return found


class Pane(NamedTuple):
    segment: str
    hour: int
    kind: str
    n: int
    seed: int


def pane(reference: Reference, asked: Pane) -> Profile:
    """The counts of one hour of one segment."""
    n = 0 if asked.kind == "empty" else 1 if asked.kind == "one" else asked.n
    data = rows(n, asked.seed, asked.hour)
    state = np.zeros(n, np.uint8)
    if asked.kind == "shifted":
        data["x"] = data["x"] + 2.0
        data["c"] = np.array(["z"] * n, object)
    elif asked.kind == "infinite":
        data["x"] = np.where(np.arange(n) % 2, np.inf, 1e30)
        data["k"] = data["k"] + 1
    elif asked.kind in ("missing", "wrong"):
        state[:] = 2 if asked.kind == "missing" else 3
    elif asked.kind == "gappy":
        state[::3] = 2
    columns = {name: Column(list(data[name]), state) for name in ("c", "o")}
    columns |= {name: Column(np.asarray(data[name], float), state) for name in ("x", "y", "k")}
    if asked.kind != "missing":  # there every key is absent but these
        columns["s"] = Column(["a"] * n, None)
    (made,) = reference.gridset.count(columns, n, with_sums=asked.segment == "all")
    return made


kinds = st.sampled_from(
    ["usual", "shifted", "missing", "wrong", "gappy", "infinite", "one", "empty"]
)
panes = st.lists(
    st.builds(
        Pane,
        st.sampled_from(SEGMENTS),
        st.sampled_from([0, 1, 13, 24, 25, 47]),
        kinds,
        st.sampled_from([5, 60, 99, 100, 101, 160]),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=14,
)
# Which of `calibrations` judges the first day, and which the second.
knowing = st.dictionaries(
    st.tuples(st.sampled_from(SEGMENTS), st.sampled_from(SPEC.lengths)),
    st.tuples(st.integers(0, 3), st.integers(0, 3)),
)
BOUND = BoundVersion(1, "m", "1", "UTC", HOUR_MS, ())


@given(panes, knowing, st.booleans(), st.integers(0, 3), st.sampled_from([1, 1 << 15, 1 << 22]))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_windows_judged_together_are_judged_as_each_alone(
    engine: Engine,
    reference: Reference,
    calibrations: Mapping[tuple[str, str], Sequence[Calibration | None]],
    asked: list[Pane],
    knows: dict[tuple[str, str], tuple[int, int]],
    is_changed: bool,
    again: int,
    at_once: int,
) -> None:
    """In any batches, whoever is judged beside them, by whatever rule and knowledge."""

    def known(segment: str, length: str, _: Sequence[Due]) -> Known:
        found = calibrations.get((segment, length))
        if found is None:
            return Known(None)
        first, second = (found[at] for at in knows.get((segment, length), (2, 2)))
        if second is None:
            return Known(first)
        return Known(first, ((START_MS + DAY_MS, second),))

    monitor = Monitor.only(SPEC)
    if is_changed:
        after_ms = {"hour": START_MS + 13 * HOUR_MS, "day": START_MS + DAY_MS}
        monitor = Monitor((Revision(1, {}, SPEC), Revision(2, after_ms, LIMITED)))
    write(engine, reference, asked)
    due = sorted({window for found in asked for window in windows_of(found, again)})
    with storage.reading(engine) as conn, pytest.MonkeyPatch.context() as patch:
        patch.setattr(due_module, "AT_ONCE", at_once)
        together = list(judge_due(conn, BOUND, reference, due, monitor, known))
        seen = {key: row for judged in together for key, row in rows_of(judged)}
        assert len(seen) == len(due)
        for window in due:
            (alone,) = judge_due(conn, BOUND, reference, [window], monitor, known)
            ((key, row),) = rows_of(alone)
            assert seen[key] == row


def write(engine: Engine, reference: Reference, asked: Sequence[Pane]) -> None:
    """Store panes; of one hour and segment that is asked for twice, two partitions' panes."""
    with storage.transaction(engine) as conn:
        conn.execute(sa.delete(t.pane))
        for partition, found in enumerate(asked):
            profile = pane(reference, found)
            conn.execute(
                sa.insert(t.pane).values(
                    version_id=1, gridset=reference.gridset.digest, segment=found.segment,
                    start_ms=START_MS + found.hour * HOUR_MS, stream_id=1, partition=partition,
                    rev=1 + found.seed, rows=profile.rows, body=profile.to_bytes(),
                )
            )  # fmt: skip


def windows_of(found: Pane, again: int) -> Iterator[Due]:
    """The hour and the day that a pane is in; some were judged before."""
    hour_ms = START_MS + found.hour * HOUR_MS
    day_ms = START_MS + found.hour // 24 * DAY_MS
    revision = 2 if found.hour % 4 < again else 1
    yield Due("hour", found.segment, hour_ms, hour_ms + HOUR_MS, revision)
    yield Due("day", found.segment, day_ms, day_ms + DAY_MS, 1)


def rows_of(judged: Judged) -> Iterator[tuple[Due, dict[str, Any]]]:
    """Everything that is said of each window, floats as their bits."""
    telling, exceeding = judged.telling(), judged.exceeding()
    for place, window in enumerate(judged.due):
        said = {
            "rev_sum": judged.rev_sums[place],
            "monitor": judged.monitor_revisions[place],
            "visible": bits(judged.visible[place]),
            "tells": place in telling,
            "exceeding": sorted(exceeding[place]),
            "evaluated": judged.evaluated(place),
            "verdicts": judged.verdicts(place),
        }
        # No mark at all is one that says that nothing could be evaluated.
        marks = {name: found[place] for name, found in judged.judgement.marks.items()}
        said["marks"] = {name: found.tolist() for name, found in marks.items() if found.any()}
        for part in fields(judged.judgement):
            if part.name != "marks":
                said[part.name] = one(getattr(judged.judgement, part.name), place)
        yield window, said


def one(found: Any, place: int) -> Any:
    """What of arrays, or of what holds them, is of one window."""
    if found is None:
        return None
    if is_dataclass(found):
        return {part.name: one(getattr(found, part.name), place) for part in fields(found)}
    if isinstance(found, dict):
        return {name: one(each, place) for name, each in found.items()}
    return bits(found[place])


def bits(found: Any) -> Any:
    row = np.asarray(found)
    if row.dtype.kind != "f":
        return row.tolist()
    return np.where(np.isnan(row), np.nan, row).tobytes()


def test_what_is_known_in_other_ways_is_not_judged_together(reference: Reference) -> None:
    learnt = from_reference(reference, "all", "day")
    for found in (learnt, None), (learnt, unknown(reference)), (None, unknown(reference)):
        with pytest.raises(ValueError, match="one kind"):
            Baseline(reference, "day", ["all", "s=a"], found)
    for segments, found in (["all"], (None, None)), ([], ()), ("all", [None]):
        with pytest.raises(ValueError, match=r"each window|no window|one calibration"):
            Baseline(reference, "day", segments, found)
