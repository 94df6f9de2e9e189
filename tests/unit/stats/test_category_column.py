"""Categories are the same words whatever library the column is of, with and without pyarrow."""

from __future__ import annotations

import sys
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from driftline.stats.category_column import read_categories
from driftline.stats.plain_frame import PlainSeries
from driftline.stats.profile import State

V, N, T = State.VALUE, State.NULL, State.TYPE_ERROR
NAN = float("nan")


def read(column: Any) -> list[tuple[str | None, int]]:
    """Word and state of each row; a word only where there is a value."""
    series = column if isinstance(column, PlainSeries) else nw.from_native(column, series_only=True)
    found = read_categories(series)
    state = np.zeros(len(found.words), np.uint8) if found.state is None else found.state
    words = [word if s == V else None for word, s in zip(found.words, state, strict=True)]
    assert len(set(found.words.words)) == len(found.words.words)
    tallied = {word: words.count(word) for word in words if word is not None}
    assert found.counts() == tallied
    assert [found.words.words[i] if i >= 0 else None for i in found.numbers.tolist()] == words
    assert found.n_wrong == (state == T).sum()
    return list(zip(words, state.tolist(), strict=True))


WORDS = [("a", V), (None, N), ("b", V), ("a", V), ("ünï 漢", V)]
TEXT = ["a", None, "b", "a", "ünï 漢"]
TRUTH = [("true", V), ("false", V), (None, N)]
REAL = [("1", V), (None, T), (None, N), ("0", V), ("0", V)]
MIXED: list[Any] = [1, 1.0, True, "1", 2.5, None, NAN, [3]]


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pd.Series(TEXT), WORDS),
        (pd.Series(TEXT, dtype=object), WORDS),
        (pd.Series(TEXT, dtype="category"), WORDS),
        (pl.Series(TEXT), WORDS),
        (pl.Series(TEXT, dtype=pl.Categorical), WORDS),
        (pl.Series(TEXT, dtype=pl.Enum(["b", "a", "ünï 漢", "never"])), WORDS),
        (pa.chunked_array([TEXT[:2], TEXT[2:]]), WORDS),
        (pa.chunked_array([pa.array(TEXT).dictionary_encode()]), WORDS),
        (PlainSeries(TEXT), WORDS),
        (pd.Series([True, False, None], dtype="boolean"), TRUTH),
        (pl.Series([True, False, None]), TRUTH),
        (pa.chunked_array([[True, False, None]]), TRUTH),
        (PlainSeries([True, False, None]), TRUTH),
        (pd.Series([1.0, 2.5, NAN, 0.0, -0.0]), REAL),
        (pl.Series([1.0, 2.5, None, 0.0, -0.0]), REAL),
        (pl.Series([1.0, 2.5, NAN, 0.0, -0.0]), REAL),
        (pa.chunked_array([[1.0, 2.5, NAN, 0.0, -0.0]]), REAL),
        (PlainSeries([1.0, 2.5, NAN, 0.0, -0.0]), REAL),
        (pl.Series([2**63, 7], dtype=pl.UInt64), [("9223372036854775808", V), ("7", V)]),
        (
            pd.Series(MIXED, dtype=object),
            [("1", V), ("1", V), ("true", V), ("1", V), (None, T), (None, N), (None, N), (None, T)],
        ),
        (pd.Series([], dtype="str"), []),
        (pl.Series([None, None], dtype=pl.String), [(None, N), (None, N)]),
        (pd.Series(["a", "\ud800"], dtype=object), [("a", V), ("\ud800", V)]),
        (pl.Series(["x" * 300, "x" * 301]), None),
    ],
)
def test_words_and_states_of_a_column(
    column: Any, expected: list[tuple[str | None, int]] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read(column)
    if expected is None:
        assert len({word for word, _ in found}) == len(found)
    else:
        assert found == expected
    if isinstance(column, (pd.Series, PlainSeries)) and str(column.dtype) not in (
        "str",
        "category",
    ):
        # Where pyarrow is not installed the same is found another way.
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        assert read(column) == found
