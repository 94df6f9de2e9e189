"""A reference of a table's panes is the reference of its rows, on a sample's bins."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from driftline import Client, spark
from driftline.counting_tables import Plan
from driftline.errors import InvalidReference
from driftline.history import Packed, Panes
from driftline.stats.panes import pane_ms_of
from driftline.stats.profile import Profile
from driftline.stats.reference import Reference, build_reference
from driftline.stats.slicing import Slices
from driftline.stats.whole import count_whole

ROWS = 9_000


def frame(seed: int = 1, rows: int = ROWS) -> pd.DataFrame:
    """Ninety days of a row each quarter of an hour, with gaps, types and rare values."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    x[rng.random(rows) < 0.02] = np.nan
    return pd.DataFrame(
        {
            "x": x,
            "count": rng.integers(0, 40, rows),
            "kind": rng.choice(list("abcdef"), rows, p=[0.5, 0.3, 0.1, 0.05, 0.04, 0.01]),
            "site": rng.choice(["north", "south", "west"], rows, p=[0.6, 0.38, 0.02]),
            "class": rng.choice(["yes", "no"], rows),
            "at": pd.date_range("2013-03-01T05:10", periods=rows, freq="15min", tz="UTC"),
        }
    )


def panes_of(given: pd.DataFrame, reference: Reference, timestamp: str | None = "at") -> Panes:
    """What a task of Spark counts of these rows, counted here."""
    table = pa.Table.from_pandas(given, preserve_index=False)
    features = tuple(n for n in ("x", "count", "kind", "site") if n in table.column_names)
    plan = Plan(
        reference.to_document(), tuple(table.column_names), features, timestamp,
        (("value", "class"),), (), pane_ms_of(reference.timezone),
    )  # fmt: skip
    panes = Panes(reference.gridset)
    for batch in spark._counter(plan)(iter(table.to_batches(max_chunksize=1_000))):
        for row in batch.to_pylist():
            start = None if row["start_ms"] < 0 else row["start_ms"]
            if not row["reason"]:
                panes.put((start, row["segment"]), Packed(row["n_rows"], row["body"]))
    return panes


def span_of(given: pd.DataFrame) -> tuple[int, int]:
    at = given["at"].map(lambda t: int(t.timestamp() * 1_000))
    return int(at.min()), int(at.max())


NAMED: dict[str, Any] = {"prediction": "class", "timestamp": "at", "segments": ["site"]}


@pytest.mark.parametrize(
    ("zone", "excluded"),
    [
        ("UTC", ()),
        ("America/New_York", ("2013-04-02", "2013-05-04T10:00/2013-05-04T16:00")),
        ("Asia/Kolkata", ()),
        ("Australia/Lord_Howe", ()),
    ],
)
def test_what_is_counted_by_pane_is_what_rows_are_counted_to(
    zone: str, excluded: tuple[str, ...]
) -> None:
    rows = frame()
    must = build_reference(rows, timezone=zone, exclude_slices=excluded, **NAMED)
    at = rows["at"].map(lambda t: int(t.timestamp() * 1_000))
    for start_ms, end_ms in must.excluded:
        outside = (at < start_ms) | (at >= end_ms)
        rows, at = rows[outside], at[outside]
    found = count_whole(must, panes_of(rows, must), span_of(rows))
    assert found.profiles == must.profiles
    assert found.buckets == must.buckets
    assert (found.rows, found.first_ms, found.last_ms) == (must.rows, must.first_ms, must.last_ms)
    assert found.slices.keys() == must.slices.keys()
    for segment, lengths in must.slices.items():
        assert found.slices[segment].keys() == lengths.keys()
        for length, slices in lengths.items():
            mine = found.slices[segment][length]
            # How far into its pane the first row usually lies is not known: slices at both ends
            # that may be whole are left out.
            kept = np.isin(slices.starts_ms, mine.starts_ms)
            assert kept[1:-1].all()
            assert kept.sum() == len(mine.starts_ms)
            for each in fields(Slices):
                # These are of the sample here, and of all other slices there.
                if each.name not in ("unseen", "out_of_range"):
                    left, right = getattr(mine, each.name), getattr(slices, each.name)[kept]
                    assert np.array_equal(left, right), (segment, length, each.name)
            # All rows are the sample: it knows them.
            assert not mine.unseen.any()
            assert not mine.out_of_range.any()
    assert Reference.from_document(found.to_document()).digest == found.digest


def test_a_sample_has_the_bins_and_the_whole_table_the_counts() -> None:
    rows = frame()
    rows.loc[8_000, "x"] = 50.0
    rows.loc[8_001, "kind"] = "new"
    sample = build_reference(rows[:3_000], **NAMED)
    found = count_whole(sample, panes_of(rows, sample), span_of(rows), ["said"])
    assert found.gridset.digest == sample.gridset.digest
    assert (found.rows, sample.rows) == (ROWS, 3_000)
    assert found.warnings[-1] == "said"
    days = found.slices["all"]["day"]
    names = found.gridset.names()
    assert days.unseen[:, names.index("kind")].sum() == 1
    assert days.out_of_range[:, names.index("x")].sum() >= 1
    # Rare segments get counts of their own where all rows are enough.
    assert "site=south" in found.profiles
    assert "site=south" in sample.profiles
    assert len(days.starts_ms) > 3 * len(sample.slices["all"]["day"].starts_ms) - 3


def test_an_hour_that_begins_in_its_middle_is_no_slice() -> None:
    rows = frame()[2:]  # from 05:40 on
    made = build_reference(rows, **NAMED)
    found = count_whole(made, panes_of(rows, made), span_of(rows))
    first_ms = span_of(rows)[0]
    assert found.slices["all"]["hour"].starts_ms[0] == first_ms // 3_600_000 * 3_600_000 + 3_600_000


def test_rows_without_times_are_one_profile() -> None:
    rows = frame()
    made = build_reference(rows, **{**NAMED, "timestamp": None, "exclude": ["at"]})
    found = count_whole(made, panes_of(rows, made, None), None)
    assert found.digest == made.digest
    with pytest.raises(InvalidReference, match="no row"):
        count_whole(made, Panes(made.gridset), None)


def test_a_made_reference_says_all_itself() -> None:
    made = build_reference(frame(), **NAMED)
    with Client("http://127.0.0.1:1") as client:
        with pytest.raises(InvalidReference, match="give prediction to what made it"):
            client.register_reference("m", "1", made, prediction="class")
        with pytest.raises(InvalidReference, match="give timezone to what made it"):
            client.register_reference("m", "1", made, timezone="Europe/Berlin")
    assert isinstance(made.profiles["all"], Profile)
