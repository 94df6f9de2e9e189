"""Laws of comparing: a frame is like itself, and neither order nor split of rows matters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from driftline import compare, profile
from driftline.events import Event
from driftline.stats.frame import open_frame, read_column
from driftline.wire import columns

numbers = st.one_of(st.none(), st.floats(width=32), st.integers(-5, 5).map(float))
words = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "é", "", " "]), st.text(max_size=3))


@st.composite
def frames(draw: Any, least: int = 1) -> pd.DataFrame:
    """A few distinct rows, many times over: with and without times, nulls, infinities."""
    few = draw(st.lists(st.tuples(numbers, words, st.booleans()), min_size=least, max_size=12))
    times = draw(st.integers(1, 60))
    made = pd.DataFrame(few * times, columns=["x", "word", "flag"])
    made["word"] = made["word"].astype(object)
    days = draw(st.sampled_from([0.1, 3.0, 12.0]))
    made["at"] = pd.Timestamp("2026-01-03", tz="UTC") + pd.to_timedelta(
        np.linspace(0, days * 86_400_000, len(made)).astype(np.int64), unit="ms"
    )
    return made


def surely(made: pd.DataFrame) -> bool:
    """No half characters, which nothing may hold."""
    return all(
        not isinstance(word, str) or not any("\ud800" <= c <= "\udfff" for c in word)
        for word in made["word"]
    )


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(made=frames().filter(surely), has_times=st.booleans())
def test_a_frame_is_never_unlike_itself(made: pd.DataFrame, has_times: bool) -> None:
    how: dict[str, Any] = {"timestamp": "at"} if has_times else {"exclude": ["at"]}
    found = compare(made, made, **how)
    assert found.drifted == ()
    for row in found:
        assert row.missing_reference == row.missing_current
        assert row.psi is None or row.psi == 0.0
        assert row.ks_low in (None, 0.0)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(before=frames().filter(surely), now=frames().filter(surely), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_changes_nothing(
    before: pd.DataFrame, now: pd.DataFrame, seed: int
) -> None:
    mixed = [frame.sample(frac=1, random_state=seed) for frame in (before, now)]
    found, again = compare(before, now, timestamp="at"), compare(*mixed, timestamp="at")
    assert found.to_dicts() == again.to_dicts()
    assert found.notes == again.notes
    assert found.current == again.current


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(before=frames().filter(surely), now=frames(2).filter(surely), cut=st.floats(0.01, 0.99))
def test_the_split_into_frames_changes_nothing(
    before: pd.DataFrame, now: pd.DataFrame, cut: float
) -> None:
    reference = profile(before, exclude=["at"])
    at = min(max(1, int(cut * len(now))), len(now) - 1)
    parts = [compare(reference, part).current for part in (now[:at], now[at:])]
    whole = compare(reference, now)
    assert parts[0] + parts[1] == whole.current
    judged = compare(reference, parts[1] + parts[0])
    assert [row.psi for row in judged] == [row.psi for row in whole]
    assert [row.verdict for row in judged] == [row.verdict for row in whole]


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    st.floats(),
    st.sampled_from(["a", "3", "true", ""]),
    st.lists(st.integers(), max_size=1),
)


@settings(deadline=None, max_examples=100)
@given(column=st.lists(values, min_size=1, max_size=20))
def test_a_frame_s_values_count_as_an_event_s_do(column: list[Any]) -> None:
    before = {"x": [1.0, 2.0, 3.0] * 40, "word": ["a", "3", "true"] * 40}
    reference = profile(before)
    events = [Event("prediction", "m", 0, "1", features={"x": v, "word": v}) for v in column]
    found, _ = columns(events, [(f.name, f.kind) for f in reference.gridset.features])
    [wanted] = reference.gridset.count(found, len(events), with_sums=True)
    plain = {"x": column, "word": column}
    for frame in (plain, pd.DataFrame({n: pd.Series(v, dtype=object) for n, v in plain.items()})):
        opened = open_frame(frame)
        read = {f.name: read_column(opened[f.name], f.kind) for f in reference.gridset.features}
        [counted] = reference.gridset.count(read, len(events), with_sums=True)
        nothing = np.flatnonzero(wanted.counts != counted.counts)
        # NaN is null to pandas and NaN to an event: both are missing.
        kinds = {place for pair in reference.gridset.counters[:, 1:3].tolist() for place in pair}
        assert set(nothing.tolist()) <= kinds
        assert compare(reference, counted).to_dicts() == compare(reference, wanted).to_dicts()


def test_polars_and_pandas_count_alike() -> None:
    draw = np.random.default_rng(3)
    made = pd.DataFrame({"x": draw.normal(size=900), "word": draw.choice(["a", "b", None], 900)})
    found = compare(made, pl.from_pandas(made))
    assert found.drifted == () and found["x"].psi == 0.0
