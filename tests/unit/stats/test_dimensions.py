"""Segments are named dimension=value: no two may have one name."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from driftline.errors import InvalidReference
from driftline.stats.reference import Reference, build_reference


def _frame() -> pd.DataFrame:
    # "a=b" and "c" make the same name as "a" and "b=c".
    return pd.DataFrame({"x": range(2_000), "a": ["b=c", "d"] * 1_000, "a=b": ["c", "e"] * 1_000})


def test_a_dimension_with_an_equals_sign_is_refused() -> None:
    with pytest.raises(InvalidReference, match="rename column 'a=b'"):
        build_reference(_frame(), features=["x"], segments=["a", "a=b"])


def test_a_value_may_hold_one() -> None:
    reference = build_reference(_frame(), features=["x"], segments=["a"])
    assert reference.segments() == ("all", "a=b=c", "a=d")
    assert Reference.from_document(reference.to_document()).digest == reference.digest


def test_a_document_with_such_a_dimension_is_refused() -> None:
    document = json.loads(build_reference(_frame(), features=["x"], segments=["a"]).to_document())
    document["facts"]["dimensions"]["a=b"] = ["c"]
    with pytest.raises(InvalidReference, match="must hold no '=': rename the column"):
        Reference.from_document(json.dumps(document).encode())
