"""References from frames: the same in any library and order, and clear about bad input."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from time import process_time

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from driftline.errors import InvalidReference
from driftline.events import Event
from driftline.stats.profile import State
from driftline.stats.reference import Reference, build_reference
from driftline.wire import columns


def flights(n=3000, seed=0):
    rng = np.random.default_rng(seed)
    minutes = np.sort(rng.integers(0, 31 * 1440, n))
    return pd.DataFrame(
        {
            "distance": rng.integers(80, 5000, n),
            "temp": np.where(rng.random(n) < 0.03, np.nan, rng.normal(40, 10, n).round(2)),
            "carrier": rng.choice(["UA", "AA", "B6", None], n, p=[0.5, 0.3, 0.19, 0.01]),
            "origin": rng.choice(["JFK", "LGA"], n, p=[0.7, 0.3]),
            "is_late": rng.random(n) < 0.3,
            "answer": rng.choice(["late", "on time"], n),
            "p": rng.random(n),
            "truth": rng.integers(0, 2, n),
            "at": pd.Timestamp("2013-01-01T05:00Z") + pd.to_timedelta(minutes, unit="min"),
        }
    )


OPTIONS = {
    "prediction": "answer",
    "score": "p",
    "label": "truth",
    "timestamp": "at",
    "timezone": "America/New_York",
    "segments": ["origin"],
    "importance": {"temp": 3, "distance": 1.5},
}


def test_pandas_polars_and_pyarrow_make_the_same_reference_in_any_order():
    data = flights()
    frames = [
        data,
        data.sample(frac=1, random_state=1),
        pl.from_pandas(data),
        pa.Table.from_pandas(data, preserve_index=False),
        data.astype({"carrier": "category", "distance": "Int64", "origin": "string"}),
    ]
    references = [build_reference(frame, **OPTIONS) for frame in frames]
    assert len({r.digest for r in references}) == 1
    assert {r.warnings for r in references} == {()}


def test_a_mapping_of_plain_columns_makes_the_same_reference():
    frame = flights()
    plain = {name: frame[name].tolist() for name in frame.columns}
    plain = {
        name: [None if value is pd.NaT or value != value else value for value in values]
        for name, values in plain.items()
    }
    plain = {
        name: [value.to_pydatetime() if isinstance(value, pd.Timestamp) else value for value in v]
        for name, v in plain.items()
    }
    assert build_reference(plain, **OPTIONS).digest == build_reference(frame, **OPTIONS).digest


def test_a_reference_knows_its_features_segments_and_times():
    reference = build_reference(flights(), **OPTIONS)
    assert reference.gridset.names() == (
        "distance",
        "temp",
        "carrier",
        "origin",
        "is_late",
        "prediction",
        "prediction.score",
    )
    assert [f.kind for f in reference.gridset.features] == [
        *("numeric", "numeric", "categorical", "categorical", "categorical"),
        *("categorical", "numeric"),
    ]
    assert reference.prediction == ("prediction", "prediction.score")
    assert reference.segments() == ("all", "origin=JFK")
    assert reference.rows == reference.profiles["all"].rows == 3000
    assert reference.profiles["all"].sums is not None
    assert reference.profiles["origin=JFK"].sums is None
    assert reference.importance == {"distance": 1.5, "temp": 3.0}
    assert reference.gridset.features[4].grid.levels == ("false", "true")


def test_what_is_counted_changes_the_digest_and_warnings_do_not():
    data = flights()
    digest = build_reference(data, **OPTIONS).digest
    changed = data.copy()
    changed.loc[0, "temp"] = 11.0
    assert build_reference(changed, **OPTIONS).digest != digest
    assert build_reference(data, **OPTIONS | {"timezone": "UTC"}).digest != digest
    assert build_reference(data, **OPTIONS | {"importance": None}).digest != digest


def test_nulls_are_counted_as_nulls_in_every_library():
    for frame in (
        pd.DataFrame({"x": [1.0, None, 3.0], "i": pd.array([1, None, 2], "Int64")}),
        pl.DataFrame({"x": [1.0, None, 3.0], "i": [1, None, 2]}),
        pa.table({"x": [1.0, None, 3.0], "i": [1, None, 2]}),
    ):
        reference = build_reference(frame)
        counts = reference.profiles["all"].counts
        assert counts[reference.gridset.counters[:, 1]].tolist() == [1, 1]


def test_features_exclude_and_categorical_choose_the_columns():
    data = flights()
    chosen = build_reference(data, features=["temp", "carrier"])
    assert chosen.gridset.names() == ("temp", "carrier")
    rest = build_reference(data, exclude=["at", "temp"], prediction="answer")
    assert "temp" not in rest.gridset.names() and "truth" in rest.gridset.names()
    as_category = build_reference(data, features=["truth"], categorical=["truth"])
    assert sorted(as_category.gridset.features[0].grid.levels) == ["0", "1"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"prediction": "anwser"}, "did you mean 'answer'"),
        ({"features": ["nothing"]}, "features: there is no column 'nothing'"),
        ({"segments": ["origins"]}, "did you mean 'origin'"),
        ({"timezone": "Mars/Base"}, "'Mars/Base' is no IANA time zone"),
        ({"timezone": "../etc/passwd"}, "is no IANA time zone"),
        ({"timestamp": "carrier"}, "convert it to datetimes or to epoch milliseconds"),
        ({"timestamp": "truth"}, "are these seconds, not milliseconds?"),
        ({"timestamp": "p"}, "epoch milliseconds must be integers"),
        ({"score": "carrier"}, "score column 'carrier' holds no numbers"),
        ({"importance": {"nope": 1}}, "importance: there is no feature 'nope'"),
        ({"importance": {"temp": float("nan")}}, "must be a number >= 0"),
        ({"importance": {"temp": 10**400}}, "must be a number >= 0"),
        ({"importance": {"temp": 10**5000}}, "must be a number >= 0, not a huge int"),
        ({"features": ["temp"], "segments": ["p"]}, "segments: column 'p' holds no category"),
    ],
)
def test_a_wrong_argument_is_one_clear_sentence(change, says):
    with pytest.raises(InvalidReference) as caught:
        build_reference(flights(200), **OPTIONS | {"importance": None} | change)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pd.DataFrame({"x": []}), "no rows"),
        (pl.DataFrame({"x": []}), "no rows"),
        (pa.table({"x": pa.array([], pa.float64())}), "no rows"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), "column 'x' appears 2 times"),
        (pa.table([[1], [2]], names=["x", "x"]), "column 'x' appears 2 times"),
        (pd.DataFrame({3: [1]}), "column names must be non-empty strings"),
        (pd.DataFrame({"x" * 300: [1]}), "longer than 200 characters"),
        ({"x": []}, "no rows"),
        ({}, "no rows"),
        ({"x": [1], "y": [1, 2]}, "must be of equal length"),
        ({"x": "text"}, "column 'x' must be a list, not str"),
        ({3: [1]}, "column names must be non-empty strings"),
        ([1, 2], "pandas or polars DataFrame or a pyarrow Table, not list"),
        (None, "not NoneType"),
        (pl.LazyFrame({"x": [1]}), "not LazyFrame"),
        (pd.DataFrame(index=[1, 2]), "no column is left to profile"),
    ],
)
@pytest.mark.filterwarnings("ignore::polars.exceptions.PerformanceWarning")
def test_a_frame_that_cannot_be_a_reference_is_one_clear_sentence(frame, says):
    with pytest.raises(InvalidReference) as caught:
        build_reference(frame)
    assert says in str(caught.value)


def test_a_feature_named_like_an_output_is_refused():
    data = flights(50).rename(columns={"temp": "prediction"})
    with pytest.raises(InvalidReference, match="has the name of a model's output"):
        build_reference(data, prediction="answer")
    with pytest.raises(InvalidReference, match="has the name of a model's output"):
        build_reference(data)
    assert build_reference(data, prediction="prediction").prediction == ("prediction",)


def one(values, **kw):
    """The one feature of a frame, and what was said about it."""
    n = len(values)
    reference = build_reference(pl.DataFrame({"x": values}, strict=False), **kw)
    warnings = [w for w in reference.warnings if not w.startswith(f"only {n:,} rows")]
    return reference.gridset.features[0], warnings


@pytest.mark.parametrize(
    ("values", "kind", "says"),
    [
        ([None] * 30, "presence", "'x' has no value in any row"),
        ([float("nan")] * 30, "presence", "no number that is finite"),
        ([1e300] * 30, "presence", "no number that is finite"),
        ([4.0] * 30, "numeric", "'x' is always 4: what is watched is the share"),
        (["a"] * 30, "categorical", "'x' is always 'a'"),
        ([1.0, 2.0, float("inf"), -float("inf")] * 9, "numeric", "18 infinities"),
        ([f"id-{i}" for i in range(200)], "presence", "looks like an identifier"),
        ([f"id-{i}" for i in range(80)], "presence", "(80 categories in 80 rows): only its"),
        (list(range(5000)), "presence", "(no integer comes twice): only its presence"),
        (list(range(5000)), "presence", "watched (exclude=['x'] leaves it out)"),
        (
            [1_360_000_000_000 + 1_000 * (i // 2) for i in range(5000)],
            "numeric",
            "looks like times in epoch milliseconds: it never stays where it was (timestamp='x' if "
            "it says when a row happened; exclude=['x'] leaves it out)",
        ),
        ([1_360_000_000 + i // 2 for i in range(5000)], "numeric", "like times in epoch seconds"),
        (
            [f"2013-02-{1 + i % 28:02}" for i in range(3000)],
            "categorical",
            "holds dates as text: new ones will all be unseen (convert it to datetimes and pass "
            "timestamp='x' if it says when a row happened; exclude=['x'] leaves it out)",
        ),
        (
            [f"2013-02-08T{i // 60:02}:{i % 60:02}:00Z" for i in range(900)],
            "presence",
            "holds dates as text: only its presence is watched (convert it to datetimes and pass "
            "timestamp='x' if it says when a row happened; exclude=['x'] leaves it out)",
        ),
        ([f"the quick brown fox number {i}" for i in range(200)], "presence", "free text"),
        ([f"he wrote down {i} of them" for i in range(80)], "presence", "looks like free text"),
        ([datetime(2013, 1, 1, tzinfo=UTC)] * 9, "presence", "is of type Datetime"),
        ([datetime(2013, 1, 1, tzinfo=UTC)] * 9, "presence", "(timestamp='x' if it says when"),
        ([date(2013, 1, 1)] * 9, "presence", "is of type Date"),
        ([[1, 2]] * 9, "presence", "is of type List"),
        ([{"a": 1}] * 9, "presence", "is of type Struct"),
        ([b"raw"] * 9, "presence", "is of type Binary"),
    ],
)
def test_an_odd_column_is_one_warning(values, kind, says):
    feature, warnings = one(values)
    assert feature.kind == kind
    assert len(warnings) == 1 and says in warnings[0]


@pytest.mark.parametrize(
    "values",
    [
        [1.5, 2.5] * 20,
        [True, False] * 20,
        [Decimal("1.10"), Decimal("2.20")] * 20,
        np.random.default_rng(0).integers(0, 10**6, 3000),
        np.random.default_rng(0).permutation(30),
        [f"c{i % 90}" for i in range(3000)],
        # Nineteen values, and eighty of which one in five comes again, may be categories.
        [f"c{i}" for i in range(19)],
        [f"c{i % 64}" for i in range(80)],
        [2**62, 2**61] * 20,
    ],
)
def test_an_ordinary_column_is_no_warning(values):
    feature, warnings = one(values)
    assert feature.kind != "presence" and warnings == []


def test_a_flat_vocabulary_says_what_psi_cannot_see_of_it():
    feature, (said,) = one([f"c{i % 300}" for i in range(3000)])
    assert feature.kind == "categorical" and feature.grid.is_hashed
    assert "10 most frequent hold" in said and "x:tv=" in said
    steep = [f"c{i}" for i in range(5)] * 1000 + [f"r{i % 1100}" for i in range(2200)]
    assert one(steep)[1] == ["'x' has 1,105 categories: they are hashed to 256 buckets"]


def test_features_forces_identifiers_and_text():
    feature, warnings = one([f"id {i}" for i in range(5000)], features=["x"])
    assert feature.kind == "categorical" and feature.grid.is_hashed
    assert len(warnings) == 1 and "hashed to 256 buckets" in warnings[0]
    assert one(list(range(5000)), features=["x"])[0].kind == "numeric"


def test_a_million_categories_are_presence_only_and_quick():
    values = [f"c{i}" for i in range(1_000_000)]
    began = process_time()
    feature, warnings = one(values, features=["x"])
    assert process_time() - began < 15
    assert feature.kind == "presence"
    assert warnings == ["'x' has 1,000,000 categories: only its presence is watched"]


def test_python_objects_are_what_their_values_are():
    data = pd.DataFrame(
        {
            "mixed": pd.Series(["a", "b", 3, 2.5] * 10, dtype=object),
            "flags": pd.Series([True, None] * 20, dtype=object),
            "numbers": pd.Series([Decimal(1), 2.5, None, 7] * 10, dtype=object),
            "lists": pd.Series([[1], [2]] * 20, dtype=object),
        }
    )
    reference = build_reference(data)
    kinds = {f.name: f.kind for f in reference.gridset.features}
    assert kinds == {
        "mixed": "categorical",
        "flags": "categorical",
        "numbers": "numeric",
        "lists": "presence",
    }
    said = " ".join(reference.warnings)
    assert "'mixed' mixes types: 10 values are no category" in said
    counts = reference.profiles["all"].counts
    assert counts[reference.gridset.counters[0, 5]] == 10


TWENTY = [1, 2] * 10
DECIMALS = [Decimal("1.5"), Decimal("2.5")] * 10


@pytest.mark.parametrize(
    ("column", "kind", "says"),
    [
        (pa.nulls(20), "presence", "'x' has no value in any row"),
        (pa.array(DECIMALS, pa.decimal32(5, 2)), "numeric", None),
        (pa.array(DECIMALS, pa.decimal256(50, 2)), "numeric", None),
        (pa.array([b"abcd"] * 20, pa.binary(4)), "presence", "fixed_size_binary[4]"),
        (pa.array([bytes(16)] * 20, pa.uuid()), "presence", "arrow.uuid"),
        (pa.array([pa.MonthDayNano([1, 2, 3])] * 20), "presence", "interval"),
        (pa.RunEndEncodedArray.from_arrays([20], [1.0]), "presence", "run_end_encoded"),
        (
            pa.UnionArray.from_sparse(pa.array([0] * 20, pa.int8()), [pa.array(TWENTY)]),
            "presence",
            "sparse_union",
        ),
    ],
    ids=lambda value: str(getattr(value, "type", ""))[:20],
)
def test_a_type_that_few_have_heard_of_is_presence_or_a_number(column, kind, says):
    reference = build_reference(pa.table({"x": column, "z": [1.0, 2.0] * 10}))
    assert [f.kind for f in reference.gridset.features] == [kind, "numeric"]
    said = [w for w in reference.warnings if not w.startswith("only 20 rows")]
    assert (len(said) == 1 and says in said[0]) if says else said == []


def test_integers_beyond_64_bits_and_beyond_every_float_are_numbers():
    wide = pl.DataFrame({"x": pl.Series(TWENTY, dtype=pl.Int128)})
    assert build_reference(wide).digest == build_reference(pl.DataFrame({"x": TWENTY})).digest
    for values in ([10**400, -(10**400), 1, 2] * 9, [Decimal("NaN"), Decimal(1)] * 9):
        frame = pd.DataFrame({"x": pd.Series(values, dtype=object)})
        assert build_reference(frame).gridset.features[0].kind == "numeric"
    signaling = pl.DataFrame({"x": pl.Series([Decimal("sNaN"), 1] * 9, dtype=pl.Object)})
    assert build_reference(signaling).gridset.features[0].kind == "numeric"


def test_dates_of_64_bits_are_times():
    days = [date(2013, 1, 1 + i // 5) for i in range(20)]
    made = {
        build_reference(
            pa.table({"at": pa.array(days, kind), "x": TWENTY}), timestamp="at"
        ).first_ms
        for kind in (pa.date32(), pa.date64())
    }
    assert made == {1_356_998_400_000}


@pytest.mark.parametrize(
    ("values", "options"),
    [
        # What pandas itself stumbles over when it looks for nulls.
        ([Decimal("sNaN"), Decimal(1)] * 9, {}),
        ([Decimal("sNaN"), Decimal(1)] * 9, {"features": ["y"], "timestamp": "x"}),
        # Half a character.
        (["\ud800", "b"] * 9, {}),
        (["\ud800", "b"] * 9, {"features": ["y"], "segments": ["x"]}),
    ],
)
def test_what_a_library_cannot_read_names_the_column(values, options):
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object), "y": 1.0})
    with pytest.raises(InvalidReference, match="column 'x' cannot be read") as caught:
        build_reference(frame, **options)
    assert "\n" not in str(caught.value)


def test_few_rows_are_a_warning():
    reference = build_reference(pd.DataFrame({"x": [1.0, 2.0]}))
    assert len(reference.warnings) == 1 and "only 2 rows" in reference.warnings[0]


def test_naive_times_are_read_on_the_model_s_clock_with_one_warning():
    aware = flights()
    local = aware["at"].dt.tz_convert("America/New_York")
    naive = aware.assign(at=local.dt.tz_localize(None))
    expected = build_reference(aware, **OPTIONS)
    for frame in (naive, pl.from_pandas(naive), pa.Table.from_pandas(naive, preserve_index=False)):
        reference = build_reference(frame, **OPTIONS)
        assert reference.digest == expected.digest
        assert len(reference.warnings) == 1
        assert "has no zone: its times are read as America/New_York" in reference.warnings[0]


def test_times_may_be_epoch_milliseconds_or_dates():
    data = flights()
    stamps = data["at"].dt.as_unit("ms").astype("int64")
    assert build_reference(data.assign(at=stamps), **OPTIONS).digest == (
        build_reference(data, **OPTIONS).digest
    )
    days = pl.DataFrame(
        {"at": [date(2013, 1, 1 + i // 100) for i in range(1500)], "x": [1, 2, 3] * 500}
    )
    reference = build_reference(days, timestamp="at", timezone="America/New_York")
    assert reference.first_ms == 1_357_016_400_000
    assert len(reference.slices["all"]["day"].starts_ms) == 15


def test_over_a_hundred_segment_values_keep_the_most_frequent():
    rng = np.random.default_rng(0)
    codes = [f"s{int(x):03}" for x in rng.integers(0, 150, 8000)] + ["top"] * 2000
    data = pd.DataFrame({"s": codes, "x": rng.normal(size=10_000)})
    reference = build_reference(data, features=["x"], segments=["s"])
    assert len(reference.dimensions["s"]) == 100 and reference.dimensions["s"][0] == "top"
    assert set(reference.profiles) == {"all", "s=top", "s=__other__"}
    assert any("has 151 values, the 100 most frequent" in w for w in reference.warnings)


def test_a_reference_without_times_has_no_slices():
    reference = build_reference(flights(), prediction="answer")
    assert reference.slices == {} and reference.buckets == {}
    assert reference.first_ms is None and reference.last_ms is None


def test_the_core_imports_no_data_frame_library():
    code = (
        "import sys, driftline.stats.reference, driftline.stats.document;"
        "print(sorted({'pandas', 'polars', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_month_of_flights_becomes_a_reference_in_seconds():
    rng = np.random.default_rng(0)
    data = flights(27_000)
    for i in range(10):
        data[f"f{i}"] = rng.normal(size=len(data))
    began = process_time()
    reference = build_reference(data, **OPTIONS)
    # 0.6 s when idle; the bound is for busy machines.
    assert process_time() - began < 6
    assert len(reference.gridset.features) == 17


def of_three_classes(n=1_200):
    rng = np.random.default_rng(7)
    p = rng.dirichlet([2, 1, 1], n)
    return pd.DataFrame(
        {
            "age": rng.integers(18, 90, n),
            "said": np.array(["stays", "leaves", 3], dtype=object)[p.argmax(axis=1)],
            **{name: p[:, i] for i, name in enumerate(("p_stays", "p_leaves", "p_3"))},
        }
    )


def test_scores_of_several_classes_are_outputs_as_events_name_them():
    scores = {"stays": "p_stays", "leaves": "p_leaves", 3: "p_3"}
    made = build_reference(of_three_classes(), prediction="said", scores=scores)
    outputs = ("prediction", *(f"prediction.scores.{name}" for name in ("stays", "leaves", "3")))
    assert made.prediction == outputs
    assert set(made.gridset.names()) == {"age", *outputs}
    kinds = {f.name: f.kind for f in made.gridset.features}
    assert kinds["prediction.scores.3"] == "numeric" and kinds["prediction"] == "categorical"
    assert Reference.from_document(made.to_document()).prediction == outputs
    # The wire finds them in events by these names.
    event = Event(
        "prediction", "m", 0, "1", prediction={"class": "stays", "scores": {"stays": 0.5, "3": 0.2}}
    )
    found, _ = columns([event], [(f.name, f.kind) for f in made.gridset.features])
    assert found["prediction.scores.stays"].values[0] == 0.5
    assert found["prediction.scores.leaves"].state[0] == State.ABSENT


def test_a_numeric_prediction_is_watched_as_a_number():
    data = of_three_classes().assign(said=lambda d: d["p_3"] * 100)
    made = build_reference(data, prediction="said")
    kinds = {f.name: f.kind for f in made.gridset.features}
    assert (kinds["prediction"], made.prediction) == ("numeric", ("prediction",))


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"stays": "p_stay"}, "scores: there is no column 'p_stay', did you mean 'p_stays'"),
        ({"stays": "said"}, "score column 'said' holds no numbers"),
        ({"": "p_3"}, "the class '' must be text or an integer"),
        ({"x" * 190: "p_3"}, "at most 182 characters"),
        ({2.5: "p_3"}, "the class 2.5 must be text"),
        (["p_3"], "scores must map classes to columns"),
    ],
)
def test_scores_that_cannot_be_are_said(scores, message):
    with pytest.raises(InvalidReference, match=message):
        build_reference(of_three_classes(), scores=scores)


def test_mostly_zeros_are_an_atom_of_their_own_and_a_group():
    rng = np.random.default_rng(3)
    x = np.where(rng.random(20_000) < 0.7, 0.0, rng.lognormal(3, 1, 20_000))
    made = build_reference({"x": x.tolist()})
    grid, groups = made.gridset.features[0].grid, made.gridset.features[0].groups
    zero = int(grid.bins(np.zeros(1, np.float32))[0])
    assert grid.is_atom[zero] and (groups == groups[zero]).sum() <= 2  # and the empty gap below
    counts = made.profiles["all"].counts[made.gridset.bins[0]]
    assert counts[zero] == (x == 0).sum()
    # The rest keeps its bins: no other holds more than its share.
    assert np.delete(counts, zero).max() <= 20_000 / 256 + 1
