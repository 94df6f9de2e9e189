"""The example of an event is one that its reference knows: each value is usual there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from driftline.stats.reference import build_reference
from monitor.views.awaited import expected

ROWS = 600


def example(**columns: object) -> dict[str, object]:
    made = build_reference(pd.DataFrame(columns))
    return dict(expected("m", "1", made).features)


def test_each_kind_has_a_value_of_its_own_type() -> None:
    draw = np.random.default_rng(3)
    found = example(
        whole=draw.integers(20, 60, ROWS),
        real=draw.normal(12.5, 2.0, ROWS),
        plan=np.resize(["free", "pro", "pro"], ROWS),
        member=np.resize([True, False, False], ROWS),
        nothing=pd.Series([None] * ROWS, dtype="object"),
    )
    assert isinstance(found["whole"], int)
    assert 30 <= found["whole"] <= 50
    assert isinstance(found["real"], float)
    assert 11 <= found["real"] <= 14
    assert found["plan"] == "pro"
    assert found["member"] is False


def test_the_prediction_is_said_as_events_say_it() -> None:
    frame = pd.DataFrame(
        {
            "x": np.arange(ROWS, dtype=float),
            "class": np.resize(["stays", "stays", "leaves"], ROWS),
            "score": np.linspace(0, 1, ROWS),
            "price": np.linspace(5, 15, ROWS),
        }
    )

    def said(**outputs: str) -> object:
        rest = [c for c in ("class", "score", "price") if c not in outputs.values()]
        return expected("m", "1", build_reference(frame, exclude=rest, **outputs)).prediction

    assert said(prediction="class") == "stays"
    assert said(prediction="class", score="score") == {
        "class": "stays",
        "score": pytest.approx(0.5, abs=0.05),
    }
    assert said(prediction="price") == pytest.approx(10.0, abs=0.5)
    both = said(prediction="price", score="score")
    assert isinstance(both, dict)
    assert set(both) == {"value", "score"}
    assert said() is None
