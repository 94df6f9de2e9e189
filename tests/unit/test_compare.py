"""Two frames compared without a server: verdicts, sentences, printing, bad input."""

from __future__ import annotations

import doctest
import importlib
import json
import pkgutil
import re
import subprocess
import sys
from dataclasses import fields
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import stats
from typer.testing import CliRunner

from driftline import Comparison, compare, profile
from driftline.answers import Finding
from driftline.comparing import COLUMNS, text
from driftline.comparing import __path__ as PACKAGE
from driftline.comparing.rows import Row
from driftline.errors import (
    DriftlineError,
    GridMismatch,
    InvalidFrame,
    InvalidReference,
    StatisticError,
)
from driftline.stats.measures import MEASURES
from driftline.stats.profile import Profile
from driftline.stats.reference import Reference
from driftline.stats.rule import SHARES
from monitor.cli.app import app

N = 3_000
OPTIONS: dict[str, Any] = {"prediction": "says", "score": "p", "label": "left", "timestamp": "at"}


def frame(n: int = N, seed: int = 0, first: str = "2026-01-05", days: float = 28) -> pd.DataFrame:
    """Four weeks without any drift."""
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": draw.integers(18, 90, n),
            "income": draw.lognormal(8, 1, n).round(2),
            "plan": draw.choice(["basic", "pro", "team"], n, p=[0.6, 0.3, 0.1]),
            "is_new": draw.random(n) < 0.3,
            "says": draw.choice(["leaves", "stays"], n, p=[0.2, 0.8]),
            "p": draw.beta(2, 6, n),
            "left": draw.integers(0, 2, n),
            "at": pd.Timestamp(first, tz="UTC")
            + pd.to_timedelta(np.sort(draw.random(n)) * days * 86_400, unit="s").floor("ms"),
        }
    )


@pytest.fixture(scope="module")
def before() -> pd.DataFrame:
    return frame()


def after(**changed: Any) -> pd.DataFrame:
    made = frame(2_000, seed=1, first="2026-02-02", days=20)
    for name, values in changed.items():
        made[name] = values(made) if callable(values) else values
    return made


def test_a_row_a_feature_with_exactly_these_columns(before: pd.DataFrame) -> None:
    found = compare(before, after(), **OPTIONS)
    assert COLUMNS[:12] == (
        "feature", "kind", "rows_reference", "rows_current", "psi", "psi_limit", "ks_low",
        "ks_high", "missing_reference", "missing_current", "verdict", "why",
    )  # fmt: skip
    assert {row.feature: row.kind for row in found} == {
        "age": "numeric", "income": "numeric", "plan": "categorical", "is_new": "categorical",
        "prediction": "categorical", "prediction.score": "numeric",
    }  # fmt: skip
    assert len(found) == 6
    assert {(row.rows_reference, row.rows_current) for row in found} == {(3_000, 2_000)}
    assert found.verdict == "ok" and found.drifted == ()


def test_every_distance_stands_in_a_row_with_its_interval(before: pd.DataFrame) -> None:
    now = after(
        age=lambda f: f["age"] + 25,
        income=lambda f: f["income"].where(np.arange(len(f)) % 10 > 6),
        p=lambda f: np.where(np.arange(len(f)) % 50 == 0, np.inf, f["p"] - 0.1),
    )
    found = compare(before, now, **OPTIONS)
    age = found["age"]
    sigma = before["age"].std(ddof=0)
    assert age.mean_shift == pytest.approx((now["age"].mean() - before["age"].mean()) / sigma)
    exact = stats.wasserstein_distance(before["age"], now["age"])
    assert age.w1_low is not None and age.w1_high is not None
    assert age.w1_low * (1 - 1e-6) <= exact <= age.w1_high * (1 + 1e-6)
    assert age.sd_low is not None and age.sd_high is not None
    assert age.sd_low * (1 - 1e-6) <= now["age"].std(ddof=0) <= age.sd_high * (1 + 1e-6)
    assert age.psi_critical is not None and age.psi_limit is not None
    assert age.psi_lower is not None and age.psi is not None
    assert age.psi_limit < age.psi_critical and 0 < age.psi_lower < age.psi
    assert age.parts is not None and sum(age.parts) == pytest.approx(age.psi, rel=1e-4)
    assert age.visible is not None and 0.2 < age.visible < 1
    # A category has no standard deviation to be shifted by.
    assert found["plan"].psi_limit is not None and found["plan"].visible is None
    counted = [
        [(frame["plan"] == plan).sum() for plan in ("basic", "pro", "team")]
        for frame in (before, now)
    ]
    wanted = stats.chi2_contingency(counted, correction=False)
    plan = found["plan"]
    assert plan.chi_square == pytest.approx(wanted.statistic)
    assert plan.chi_square_df == 2
    assert plan.chi_square_p == pytest.approx(wanted.pvalue)
    assert plan.w1_low is plan.mean_shift is plan.zero_current is plan.infinite_low is None
    income = found["income"]
    assert income.missing_low is not None and income.missing_high is not None
    assert income.missing_low < 0.7 < income.missing_high
    assert income.missing_excess is not None and income.missing_excess > 0.6
    score = found["prediction.score"]
    assert (score.infinite_reference, score.infinite_current) == (0, 0.02)
    assert score.negative_current is not None and score.negative_current > 0.05
    assert score.js is not None and score.hellinger is not None and score.tv is not None


def test_limits_of_the_users_own_judge_in_the_place_of_the_learnt_ones(
    before: pd.DataFrame,
) -> None:
    now = after(age=lambda f: f["age"] + 25)
    assert compare(before, now, **OPTIONS)["age"].verdict == "critical"
    loose = compare(before, now, **OPTIONS, limits=["age:psi=50"])
    assert (loose["age"].verdict, loose["age"].psi_limit) == ("ok", 50)
    tight = compare(
        before, now, **OPTIONS, limits=["*:ks=0.001,0.2", "income:zero=0.5", "plan:missing=0.3"]
    )
    assert tight["age"].verdict == "critical" and tight["income"].verdict == "warning"
    assert re.search(r"KS 0\.\d+, limit 0\.001", tight["income"].why)
    assert tight["plan"].missing_limit == 0.3
    # Without times as well: the user knows what he wants.
    sides = [frame[["age", "plan"]] for frame in (before, now)]
    found = compare(*sides, limits="age:ks=0.1,0.2")
    assert (found["age"].verdict, found["plan"].verdict) == ("critical", "ok")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"profile": "loud"}, "one of quiet, standard, sensitive"),
        ({"limits": ["aga:psi=0.2"]}, "did you mean 'age'"),
        ({"limits": ["age:psi"]}, "feature:statistic=warning"),
        ({"limits": ["age:ks=1.5"]}, "must be a number from 0 to 1"),
        ({"limits": ["age:ks=nan"]}, "with finite numbers"),
        ({"limits": None}, "must be a list of texts"),
    ],
)
def test_a_rule_that_cannot_judge_is_refused(
    before: pd.DataFrame, changed: dict[str, Any], words: str
) -> None:
    with pytest.raises(StatisticError, match=words):
        compare(before, after(), **OPTIONS, **changed)


def test_a_sensitive_profile_has_lower_limits_than_the_standard_one(before: pd.DataFrame) -> None:
    sides = [{"age": frame["age"].tolist()} for frame in (before, after())]
    sensitive, standard = (
        compare(*sides, profile=name)["age"].psi_limit for name in ("sensitive", "standard")
    )
    assert sensitive is not None and standard is not None and sensitive < standard


def test_scores_of_classes_and_excluded_days_are_of_the_reference(before: pd.DataFrame) -> None:
    odd = before.assign(p=before["p"].where(before["at"].dt.date.astype(str) != "2026-01-13", 9.0))
    options = {**OPTIONS, "score": None, "scores": {"leaves": "p"}}
    found = compare(odd, after(), **options, exclude_slices=["2026-01-13"])
    row = found["prediction.scores.leaves"]
    assert row.verdict == "ok" and row.rows_current == 2_000
    assert row.rows_reference < N
    place = found.reference.gridset.names().index("prediction.scores.leaves")
    assert found.reference.profiles["all"].high[place] < 1
    with pytest.raises(InvalidReference, match="exclude_slices= say how a reference is built"):
        compare(found.reference, after(), **options, exclude_slices=["2026-01-13"])


def test_what_moved_comes_first_and_says_why(before: pd.DataFrame) -> None:
    now = after(
        age=lambda f: f["age"] + 25,
        income=lambda f: f["income"].where(np.arange(len(f)) % 10 > 6),
        plan=lambda f: np.where(np.arange(len(f)) % 20 == 0, "trial", f["plan"]),
    )
    found = compare(before, now, **OPTIONS)
    assert found.verdict == "critical"
    assert [row.feature for row in found.drifted] == [row.feature for row in found][:3]
    why = {row.feature: row.why.replace("\u00a0", " ") for row in found}
    assert re.match(r"PSI 2\.\d+, limit 0\.\d+; \d+ % of it from values .*, now \d", why["age"])
    assert why["income"].startswith("missing 0 % → 70 % of 2,000 rows, limit 1 point")
    assert "5.0 % of rows have values the reference never saw" in why["plan"]
    assert re.search(r"; such as trial; PSI \d\.\d+, limit \d\.\d+$", why["plan"])
    assert found["income"].missing_current == pytest.approx(0.7)
    assert found["age"].ks_low is not None and found["age"].ks_low > 0.2
    assert found["plan"].ks_low is None


def test_every_kind_of_frame_on_either_side_gives_the_same(before: pd.DataFrame) -> None:
    now = after(age=lambda f: f["age"] + 9)

    def plain(made: pd.DataFrame) -> dict[str, list[Any]]:
        columns = {name: made[name].tolist() for name in made}
        return columns | {"at": [value.to_pydatetime() for value in made["at"]]}

    kinds = [
        lambda f: f,
        pl.from_pandas,
        lambda f: pa.Table.from_pandas(f, preserve_index=False),
        plain,
        lambda f: f.sample(frac=1, random_state=3),
        lambda f: f.astype({"plan": "category", "age": "Int64", "is_new": object}),
    ]
    wanted = compare(before, now, **OPTIONS).to_dicts()
    for kind in kinds:
        assert compare(kind(before), now, **OPTIONS).to_dicts() == wanted
        assert compare(before, kind(now), **OPTIONS).to_dicts() == wanted


def test_a_reference_is_built_once_and_compared_with_many(before: pd.DataFrame) -> None:
    built = profile(before, **OPTIONS)
    now = after(age=lambda f: f["age"] + 9)
    wanted = compare(before, now, **OPTIONS)
    again = compare(built, now, prediction="says", score="p", label="left", timestamp="at")
    assert again.to_dicts() == wanted.to_dicts()
    kept = Reference.from_document(wanted.reference.to_document())
    assert kept.digest == built.digest
    assert set(kept.slices["all"]) == {"hour", "day", "week"}
    with pytest.raises(InvalidReference, match="say how a reference is built"):
        compare(built, now, exclude=["age"])


def test_a_profile_stands_for_its_frame(before: pd.DataFrame) -> None:
    found = compare(before, after(), **OPTIONS)
    bytes_ = found.current.to_bytes()
    kept = Profile.from_bytes(found.reference.gridset, bytes_)
    again = compare(found.reference, kept, length=found.length)
    assert [row.psi for row in again] == [row.psi for row in found]
    other = compare(before[["age"]], after()[["age"]])
    with pytest.raises(GridMismatch, match="count the rows of both by one reference"):
        compare(found.reference, other.current)
    with pytest.raises(InvalidFrame, match="is a reference, whose grids are its own: compare its"):
        compare(found.reference, other.reference)
    with pytest.raises(InvalidFrame, match="no rows"):
        compare(found.reference, Profile.empty(found.reference.gridset))


def test_without_times_limits_know_no_wobble_and_nothing_is_critical() -> None:
    before, now = frame().drop(columns="at"), after(age=lambda f: f["age"] + 40)
    found = compare(before, now, **OPTIONS | {"timestamp": None})
    assert found["age"].verdict == "warning"
    assert all(row.why.endswith("natural wobble unknown") for row in found)
    assert any("timestamp= gives them" in note for note in found.notes)


def test_few_days_know_no_wobble_and_say_how_many_are_needed() -> None:
    few = frame(1_500, days=0.2)
    found = compare(few, few, **OPTIONS)
    [note] = [note for note in found.notes if "natural wobble" in note]
    assert "full hours" in note and "8 of one length are needed" in note


@pytest.mark.parametrize(
    ("days", "length"), [(0.03, "hour"), (0.2, "hour"), (0.4, "day"), (3, "day"), (20, "day")]
)
def test_rows_are_judged_as_what_they_span(before: pd.DataFrame, days: float, length: str) -> None:
    now = frame(500, seed=4, first="2026-02-03", days=days)
    assert compare(before, now, **OPTIONS).length == length


def test_without_times_of_their_own_rows_are_judged_as_what_holds_so_many(
    before: pd.DataFrame,
) -> None:
    many, few = after().drop(columns="at"), after().drop(columns="at").head(30)
    assert compare(before, many, **OPTIONS).length == "day"
    found = compare(before, few, **OPTIONS)
    assert found.length == "hour"
    assert any("no column 'at'" in note for note in found.notes)


def test_a_length_may_be_asked_for(before: pd.DataFrame) -> None:
    assert compare(before, after(), **OPTIONS, length="hour").length == "hour"
    with pytest.raises(InvalidFrame, match="4 full weeks, 8 are needed; it knows hour and day"):
        compare(before, after(), **OPTIONS, length="week")
    with pytest.raises(InvalidFrame, match="one of hour, day, week"):
        compare(before, after(), **OPTIONS, length="month")


def test_few_rows_say_how_many_are_needed(before: pd.DataFrame) -> None:
    one = compare(before, after().head(1), **OPTIONS)
    assert one.verdict == "insufficient_data"
    assert one["age"].why == "1 value, PSI is judged from 100, missing values from 20 rows"
    fifty = compare(before, after().head(50), **OPTIONS, length="day")
    assert fifty["age"].verdict == "ok" and fifty["age"].psi is None
    assert re.search(
        r"50 values, PSI is judged from 100; only a shift above \d\.\d sigma could have been seen$",
        fifty["age"].why,
    )


def test_a_vanished_column_is_missing_in_every_row(before: pd.DataFrame) -> None:
    found = compare(before, after().drop(columns=["age", "says"]), **OPTIONS)
    assert found["age"].verdict == "critical"
    assert found["age"].missing_current == 1.0
    assert found["age"].why.startswith("the current frame has no such column; missing 0")
    assert found["prediction"].verdict == "critical"


def test_a_prediction_that_nobody_named_is_a_note(before: pd.DataFrame) -> None:
    found = compare(profile(before, **OPTIONS), after())
    assert any("prediction= names its column" in note for note in found.notes)


def test_unknown_columns_are_a_note_and_known_ones_that_are_no_features_are_not(
    before: pd.DataFrame,
) -> None:
    now = after(extra=1.0, is_new=lambda f: f["is_new"])
    found = compare(before, now, **OPTIONS, exclude=["is_new"])
    assert [note for note in found.notes if note.startswith("not compared")] == [
        "not compared, because the reference does not have them: 'extra'"
    ]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (lambda f: f["age"].astype(str), "of the wrong type 0 % → 100 %"),
        (lambda f: f["age"] > 40, "of the wrong type 0 % → 100 %"),
        (lambda f: f["at"], "of the wrong type 0 % → 100 %"),
        (lambda f: [None] * len(f), "missing 0 % → 100 %"),
        (lambda f: pd.Series([None, 30] * (len(f) // 2), dtype=object), "missing 0 % → 50 %"),
        (lambda f: pd.Series(["x", 30] * (len(f) // 2), dtype=object), "wrong type 0 % → 50 %"),
    ],
)
def test_a_number_that_is_none_is_a_type_error(
    before: pd.DataFrame, values: Any, says: str
) -> None:
    found = compare(before, after(age=values), **OPTIONS)
    assert found["age"].verdict == "critical"
    assert says in found["age"].why.replace("\u00a0", " ")


def test_a_column_of_another_type_is_named_with_what_mends_it(before: pd.DataFrame) -> None:
    text = compare(before, after(age=lambda f: f["age"].astype(str)), **OPTIONS)
    (said,) = [note for note in text.notes if "of type" in note]
    assert said.startswith("'age' is of type String in the current frame") and "convert" in said
    some = pd.Series([None, *["x"] * 9], dtype=object)
    nulls = after(age=lambda f: np.resize(some, len(f)))
    assert any("'age' is of type" in note for note in compare(before, nulls, **OPTIONS).notes)
    # A part of the values is a rate, and the column's type is not to blame.
    half = after(age=lambda f: pd.Series(["x", 30] * (len(f) // 2), dtype=object))
    assert not any("of type" in note for note in compare(before, half, **OPTIONS).notes)


def test_half_of_a_flat_vocabulary_that_vanished_is_seen(before: pd.DataFrame) -> None:
    """None of 300 values has 1 %: they are no single bin in which nothing could move."""
    rng = np.random.default_rng(1)
    old = {"code": [f"v{i}" for i in rng.integers(0, 300, 40_000)]}
    new = {"code": [f"v{i}" for i in rng.integers(0, 150, 5_000)]}
    same = {"code": [f"v{i}" for i in rng.integers(0, 300, 5_000)]}
    moved, still = compare(old, new)["code"], compare(old, same)["code"]
    assert moved.verdict == "warning" and moved.tv is not None and moved.tv > 0.25
    assert still.verdict == "ok" and still.tv is not None and still.tv < 0.15


def test_a_category_that_is_none_is_a_type_error(before: pd.DataFrame) -> None:
    for values in (lambda f: f["at"], lambda f: f["income"] + 0.123456):
        found = compare(before, after(plan=values), **OPTIONS)
        assert "of the wrong type 0" in found["plan"].why
    half = compare(before, after(plan=lambda f: [["x"], "pro"] * 1_000), **OPTIONS)
    assert "50" in half["plan"].why and half["plan"].verdict == "critical"


def test_nan_among_categories_is_missing_in_every_library() -> None:
    before = pl.DataFrame({"zone": [1.0, 2.0, float("nan"), None] * 100})
    found = compare(before, before, categorical=["zone"])
    assert found["zone"].missing_reference == found["zone"].missing_current == 0.5
    assert found["zone"].verdict == "ok"
    assert found.reference.warnings == profile(before, categorical=["zone"]).warnings
    assert not any("mixes types" in note for note in found.notes)


def test_a_column_without_any_value_is_watched_for_presence() -> None:
    nothing = pd.DataFrame({"x": range(300), "empty": [None] * 300})
    found = compare(nothing, nothing)
    assert found["empty"].kind == "presence" and found["empty"].verdict == "ok"
    filled = compare(nothing, nothing.assign(empty=range(300)))
    assert filled["empty"].verdict == "warning"


def test_a_column_that_is_all_infinite_is_not_ok(before: pd.DataFrame) -> None:
    now = after().assign(income=np.inf)
    row = compare(before, now, **OPTIONS)["income"]
    assert row.verdict == "insufficient_data"
    assert row.why.startswith("infinite in 100\xa0% of 2,000 rows, no value is left: ")
    assert row.why.endswith("a fixed limit of infinite can")
    told = compare(before, now, **OPTIONS, limits=["income:infinite=0.05"])["income"]
    assert told.verdict == "warning" and "infinite of 2,000 rows, limit 5.0" in told.why
    plain = compare({"x": [1.0, 2.0] * 200}, {"x": [np.inf] * 200})["x"]
    assert plain.verdict == "insufficient_data"  # without times, too
    # What a fixed limit tolerates is fine; what is missing is another matter.
    fine = compare(before, now, **OPTIONS, limits=["income:infinite=1"])["income"]
    assert fine.verdict == "ok"
    gone = compare(before, after().assign(income=np.nan), **OPTIONS)["income"]
    assert gone.verdict in ("warning", "critical") and "missing" in gone.why


def test_infinities_that_nothing_judges_are_a_note(before: pd.DataFrame) -> None:
    found = compare(before, after(income=[np.inf, -np.inf, 5_000.0, 5_000.0] * 500), **OPTIONS)
    assert [note for note in found.notes if "infinities" in note] == [
        "'income' holds 1,000 infinities in the current frame: they are counted apart, outside "
        "the bins, and judged by a fixed limit alone, such as income:infinite=0.01"
    ]
    assert not any("infinities" in note for note in compare(before, after(), **OPTIONS).notes)


def test_a_reference_of_one_row_is_answered() -> None:
    found = compare({"x": [1.0], "c": ["a"]}, {"x": [2.0] * 200, "c": ["a"] * 200})
    assert len(found) == 2 and "only 1 row: below" in found.notes[0]
    back = compare({"x": [2.0] * 200}, {"x": [1.0]})
    assert back.verdict == "insufficient_data"
    assert repr(back).startswith("insufficient_data: 0 of 1 feature drifted, 1 row against 200")


@pytest.mark.parametrize(
    ("reference", "current", "error", "says"),
    [
        ({"x": []}, {"x": [1]}, InvalidReference, "the reference has no rows"),
        ({"x": [1, 2]}, {"x": []}, InvalidFrame, "the current frame has no rows"),
        ({"x": [1, 2]}, {"y": [1]}, InvalidFrame, "no column in common: the reference has 'x'"),
        ({"x": [1, 2]}, None, InvalidFrame, "the current frame must be a pandas"),
        (None, {"x": [1, 2]}, InvalidReference, "the reference must be a pandas"),
        (
            {"x": [1, 2]},
            pd.DataFrame([[1, 2]], columns=["x", "x"]),
            InvalidFrame,
            "column 'x' appears 2 times",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::polars.exceptions.PerformanceWarning")
def test_what_cannot_be_compared_is_one_clear_sentence(
    reference: Any, current: Any, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says) as caught:
        compare(reference, current)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)


def test_times_that_are_none_are_one_clear_sentence(before: pd.DataFrame) -> None:
    with pytest.raises(InvalidFrame, match="time column 'at' is of type String"):
        compare(before, after(at="yesterday"), **OPTIONS)


def test_what_a_group_adds_to_psi_is_named(before: pd.DataFrame) -> None:
    now = after(plan=lambda f: np.where(f["age"] > 40, "team", f["plan"]))
    found = {row["feature"]: row for row in compare(before, now, **OPTIONS).to_dicts()}
    plan, age = found["plan"], found["age"]
    named = ["\u201cbasic\u201d", "\u201cpro\u201d", "\u201cteam\u201d"]
    assert plan["groups"] == [*named, "values the reference never saw"]
    assert max(zip(plan["parts"], plan["groups"], strict=True))[1] == named[2]
    assert len(age["groups"]) == len(age["parts"]) == len(set(age["groups"]))
    first, *between, last = age["groups"]
    assert first.startswith("values up to") and last.startswith("values above")
    assert all(" up to " in each for each in between)
    few = compare(before, now.head(30), **OPTIONS)["age"]
    assert few.groups is few.parts is None


def test_rows_become_dictionaries_and_a_data_frame(before: pd.DataFrame) -> None:
    found = compare(before, after().head(30), **OPTIONS)
    dicts = found.to_dicts()
    assert tuple(dicts[0]) == COLUMNS
    made = found.to_pandas()
    assert tuple(made.columns) == COLUMNS and len(made) == 6
    assert made["psi"].dtype == float and made["psi"].isna().all()


def test_without_pandas_it_says_so(before: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    found = compare({"x": [1, 2] * 100}, {"x": [1, 2] * 100})
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(DriftlineError, match="pip install pandas"):
        found.to_pandas()


def hostile() -> Comparison:
    name = "<script>alert(1)</script>\x1b[2J"
    before = {name: ["a"] * 500 + ["b"] * 500, "x" * 200: list(range(1_000))}
    now = {name: ["<img src=x>\x1b[31m"] * 1_000, "x" * 200: list(range(1_000))}
    return compare(before, now)


@pytest.mark.parametrize("width", [20, 80, 119, 120, 200])
def test_it_prints_aligned_and_cut_to_the_width(
    before: pd.DataFrame, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for found in (compare(before, after(age=50), **OPTIONS), hostile()):
        lines = repr(found).splitlines()
        assert max(map(len, lines)) <= max(width, 60)
        at = lines[2].index("verdict")
        first = lines[3 : 3 + len(found)]
        assert [row.verdict for row in found] == [line[at:].split()[0] for line in first]


def test_a_sentence_that_goes_on_below_parts_no_number_from_its_unit(
    before: pd.DataFrame,
) -> None:
    zeros = before.assign(age=np.where(np.arange(len(before)) % 10 < 7, 0.0, before["age"]))
    now = before.assign(age=np.where(np.arange(len(before)) % 10 < 3, 0.0, before["age"]))
    found = compare(zeros, now, **OPTIONS)
    assert "from values up to 0, now" in found["age"].why
    for width in range(60, 120):
        lines = text.table(found, width=width, is_cut=False).splitlines()
        assert not any(line.lstrip().startswith("%") for line in lines), width


def test_a_column_that_is_always_the_same_is_not_said_to_have_too_few_values(
    before: pd.DataFrame,
) -> None:
    found = compare(before.assign(one=1.0), after(age=50).assign(one=1.0), **OPTIONS)
    assert found["one"].why.endswith("always the same in the reference: PSI cannot judge it, the "
                                     "rates do")  # fmt: skip


def test_a_terminal_is_told_no_commands_by_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    assert "\x1b" not in repr(hostile())
    coloured = text.table(hostile(), width=150, is_coloured=True)
    assert set(re.findall(r"\x1b[^m]*.", coloured)) <= {
        "\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[1;31m",
    }  # fmt: skip


class _Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_html_stands_alone_and_escapes_names() -> None:
    found = hostile()
    for made in (found.to_html(), found._repr_html_()):
        tags = _Tags(made).tags
        assert not {"script", "img", "link", "iframe"} & {tag for tag, _ in tags}
        assert not {"src", "href", "onclick"} & {key for _, attrs in tags for key in attrs}
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in made and "\x1b" not in made
        assert made.count('<th scope="row"') == 2
    page = found.to_html()
    assert page.startswith("<!doctype html>") and "color-scheme" in page
    assert "url(" not in page and "http://" not in page and "https://" not in page


def test_the_function_stays_the_function_and_importing_the_package_stays_light() -> None:
    import driftline.comparing

    assert callable(driftline.compare)
    code = (
        "import sys, driftline\n"
        "before = set(sys.modules)\n"
        "assert 'numpy' not in before and 'rich' not in before\n"
        "found = driftline.compare({'x': [1, 2] * 200}, {'x': [1, 2] * 200})\n"
        "repr(found), found.to_html()\n"
        "print(sorted({'pandas', 'polars', 'pyarrow', 'sqlalchemy', 'fastapi', 'kafka', 'dash'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["", *(f".{m.name}" for m in pkgutil.iter_modules(PACKAGE))])
def test_every_example_gives_what_it_says(name: str) -> None:
    module = importlib.import_module(f"driftline.comparing{name}")
    assert doctest.testmod(module).failed == 0


def test_the_command_takes_a_profile_and_limits(before: pd.DataFrame, tmp_path: Path) -> None:
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for file, frame_ in zip(files, (before, after()), strict=True):
        frame_[["age", "plan"]].to_csv(file, index=False)

    def run(*options: str) -> Any:
        return CliRunner().invoke(app, ["compare", *map(str, files), "--json", *options])

    found = json.loads(run("--limit", "age:ks=0,0.9", "--profile", "sensitive").output)
    rows = {row["feature"]: row for row in found["features"]}
    assert (rows["age"]["verdict"], rows["plan"]["verdict"]) == ("warning", "ok")
    assert tuple(rows["age"]) == COLUMNS
    usual = {row["feature"]: row for row in json.loads(run().output)["features"]}
    assert rows["plan"]["psi_limit"] < usual["plan"]["psi_limit"]
    done = run("--limit", "age:psy=1")
    assert done.exit_code == 2 and "did you mean 'psi'" in done.output


def test_a_row_has_what_a_finding_of_the_service_has() -> None:
    """Except what only a window among others has; a share stands beside the reference's own."""
    row, finding = ([field.name for field in fields(each)] for each in (Row, Finding))
    of_a_window = {"start", "segment", "rows", "n", "is_alarming", "evidence", "ratio", "exceeds"}
    both = {f"{name}_{side}" for name in SHARES for side in ("reference", "current")}
    # The service tells groups with a distribution.
    sides = {"kind", "rows_reference", "rows_current", "groups"}
    assert set(finding) - of_a_window - set(SHARES) == set(row) - both - sides
    assert both | sides <= set(row) and of_a_window | set(SHARES) <= set(finding)
    assert set(MEASURES) <= set(finding)
    measured = [name for name in MEASURES if name not in SHARES]
    for names in (row, finding):  # in one order, as the tables have them
        assert [name for name in names if name in measured] == measured
