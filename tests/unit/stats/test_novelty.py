"""An open vocabulary brings new values in every window; only more or fewer than usual is drift."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import driftline
from driftline.stats import baseline, novelty
from driftline.stats.calibration import from_reference, observe
from driftline.stats.reference import Reference, build_reference

DAYS, ROWS = 30, 400


def frame(days: int, start: str, seed: int, n_codes: int) -> pd.DataFrame:
    """Codes of a long tail, cities of a short one, and colours that are all known."""
    rng = np.random.default_rng(seed)
    n = days * ROWS
    weights = 1 / np.arange(1, n_codes + 1) ** 0.9
    return pd.DataFrame(
        {
            "code": [f"c{i}" for i in rng.choice(n_codes, n, p=weights / weights.sum())],
            "city": [f"t{i}" for i in np.minimum(rng.zipf(1.7, n), 10**6)],
            "colour": rng.choice(["red", "green", "blue"], n),
            "at": pd.date_range(start, periods=n, freq=f"{86_400 // ROWS}s", tz="UTC"),
        }
    )


@pytest.fixture(scope="module")
def reference() -> Reference:
    return build_reference(frame(DAYS, "2026-01-01", 1, 6_000), timestamp="at")


def test_the_expected_share_is_what_each_day_has_alone(reference: Reference) -> None:
    made = frame(DAYS, "2026-01-01", 1, 6_000)
    days = made["at"].dt.date
    alone = []
    for day in days.unique():
        inside = made["city"][days == day]
        alone.append((~inside.isin(set(made["city"][days != day]))).mean())
    share = dict(
        zip(reference.gridset.names(), novelty.expected(reference, "all", "day"), strict=True)
    )
    assert reference.gridset.features[reference.gridset.names().index("code")].grid.is_hashed  # type: ignore[union-attr]
    assert share["city"] == pytest.approx(np.mean(alone), rel=1e-9)
    assert share["code"] > 0.05
    assert share["colour"] == 0.0


def test_new_values_as_usual_are_no_drift(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the expectation they would be a critical drift, for ever."""
    windows = [frame(1, "2026-03-01", seed, 6_000).drop(columns="at") for seed in range(100, 110)]
    for window in windows:
        rows = {row.feature: row for row in driftline.compare(reference, window, length="day").rows}
        assert {row.verdict for row in rows.values()} == {"ok"}
        assert rows["code"].psi is not None
        assert rows["code"].psi < 0.1
    none = np.zeros(len(reference.gridset.features))
    monkeypatch.setattr("driftline.stats.baseline.expected", lambda *_: none)
    # What was expected of this reference is remembered.
    anew = baseline._expected_groups.__wrapped__
    monkeypatch.setattr("driftline.stats.baseline._expected_groups", anew)
    rows = {r.feature: r for r in driftline.compare(reference, windows[0], length="day").rows}
    assert rows["code"].verdict == "critical"


def test_many_more_new_values_than_usual_are_told(reference: Reference) -> None:
    window = frame(1, "2026-03-01", 100, 6_000).drop(columns="at")
    window.loc[window.index % 3 == 0, "code"] = [f"n{i}" for i in range(len(window[::3]))]
    rows = {row.feature: row for row in driftline.compare(reference, window, length="day").rows}
    assert rows["code"].verdict == "critical"
    assert rows["city"].verdict == "ok"


def test_what_is_expected_is_taken_from_the_rare_levels_and_nothing_is_added(
    reference: Reference,
) -> None:
    grids = reference.gridset
    own = observe(reference, reference.profiles["all"].counts[None, :]).groups
    share = novelty.expected(reference, "all", "day")
    made = novelty.expecting(grids, own, share)
    for f, name in enumerate(grids.names()):
        before, after = own[0, grids.groups[f]], made[0, grids.groups[f]]
        assert after.sum() == before.sum()
        assert (after >= 0).all()
        if name == "colour":
            assert (after == before).all()
        else:
            assert after[-1] == pytest.approx(share[f] * before.sum(), abs=1)
            assert (after[:-2] == before[:-2]).all()
    assert novelty.expecting(grids, own, np.zeros_like(share)) is own


def test_lengths_without_slices_expect_what_others_do(reference: Reference) -> None:
    assert from_reference(reference, "all", "4weeks") is None
    days = novelty.expected(reference, "all", "day")
    assert (novelty.expected(reference, "all", "4weeks") == days).all()


def test_a_reference_without_times_expects_none() -> None:
    plain = build_reference(frame(3, "2026-01-01", 1, 6_000).drop(columns="at"))
    assert not novelty.expected(plain, "all", "day").any()


def test_a_slice_s_new_values_are_told_once(reference: Reference) -> None:
    """9 are no other's: 2 are unseen already, 5 make up a group of their own, 2 were rare."""
    grids = reference.gridset
    f = grids.names().index("city")
    span = grids.groups[f]
    size = span.stop - span.start
    groups, rest = (np.zeros((2, grids.n_groups), np.int64) for _ in range(2))
    own = np.full(size, 30)
    own[[0, -2, -1]] = 5, 20, 2
    groups[:, span], rest[:, span] = own, 1_000
    rest[0, span.start] = 0
    unseen = np.zeros((2, len(grids.features)), np.int64)
    unseen[:, f] = 9
    found = novelty.as_others_know(grids, groups, rest, unseen)[:, span]
    # The second slice's first group is known to others: seven were rare ones.
    for moved, row in zip((2, 7), found, strict=True):
        wanted = own.copy()
        wanted[-2] -= moved
        wanted[-1] += moved
        assert row.tolist() == wanted.tolist()
    assert groups[0, span].tolist() == own.tolist()
