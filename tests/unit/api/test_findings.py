"""What a finding tells: every distance, bounds of every rate, and a sentence."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import seed_database
import sqlalchemy as sa
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from driftline import answers
from driftline.answers import Finding
from driftline.reading import _typed
from driftline.stats.distance import wilson
from driftline.stats.reference import build_reference
from driftline.stats.rule import SHARES, FixedLimit
from driftline.stats.words import NBSP
from monitor.api.app import create_app
from monitor.detect.spec import MonitorSpec
from monitor.storage import engine as storage
from monitor.storage import schema as t
from monitor.storage.reads.judged import MEASURES
from monitor.views.told import bounds, told, why

MODEL = "flight-delay"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = storage.create(f"sqlite:///{tmp_path_factory.mktemp('findings') / 'd.db'}")
    storage.upgrade(engine)
    seed_database.seed(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def api(database: Engine) -> Iterator[TestClient]:
    app = create_app(database, with_dashboard=False)
    with TestClient(app, base_url="http://127.0.0.1:8050") as client:
        yield client


def findings(api: TestClient, **asked: Any) -> list[dict[str, Any]]:
    answer = api.get("/api/v1/findings", params={"model": MODEL, **asked})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_a_finding_has_every_distance_that_is_stored(api: TestClient, database: Engine) -> None:
    m = t.finding.c
    with storage.reading(database) as conn:
        here = (m.feature == "temp", m.length == "day", m.segment == "all")
        stored = conn.execute(
            sa.select(*MEASURES).where(*here).order_by(m.start_ms)
        ).mappings().all()  # fmt: skip
    found = findings(api, feature="temp")
    assert len(found) == len(stored) == 104
    for item, row in zip(found, stored, strict=True):
        told_ = {name: item[name] for name in row}
        assert told_ == {**row, "parts": json.loads(row["parts"])}


def test_every_rate_has_its_own_interval(api: TestClient) -> None:
    item = findings(api, feature="airport_delay", limit=9)[7]  # the blizzard
    for name in SHARES:
        if item[name] is None:
            assert item[f"{name}_low"] is item[f"{name}_high"] is None
            continue
        assert 0 <= item[f"{name}_low"] <= item[name] <= item[f"{name}_high"] <= 1
    low, high = wilson(round(item["missing"] * item["rows"]), item["rows"], 3.09)
    assert (item["missing_low"], item["missing_high"]) == pytest.approx((float(low), float(high)))
    assert bounds({"rows": 0, "n": 0, "missing": 0.0})["missing_low"] is None


def test_a_finding_without_values_has_no_distances_and_says_why(
    database: Engine, tmp_path: Path
) -> None:
    engine = storage.create(f"sqlite:///{tmp_path / 'd.db'}")
    storage.upgrade(engine)
    seed_database.seed(engine, days=2)
    nothing = {
        "psi": None, "psi_limit": None, "n": 0, "missing": 1.0, "verdict": "insufficient_data",
    }  # fmt: skip
    with storage.transaction(engine) as conn:
        measured = dict.fromkeys(column.name for column in MEASURES)
        conn.execute(sa.update(t.finding).values(**measured, **nothing))
    with TestClient(create_app(engine, with_dashboard=False), base_url="http://127.0.0.1") as api:
        (item, *_) = findings(api, feature="temp")
    assert {item[column.name] for column in MEASURES} == {None}
    assert item["why"] == "0 values, PSI is judged from 100"
    engine.dispose()


def test_the_sentence_names_the_limit_and_the_group_that_moved_most(api: TestClient) -> None:
    items = findings(api, feature="temp", **{"from": "2013-05-14T00:00:00-04:00"})
    assert items[-1]["exceeds"] == ["psi"]
    assert items[-1]["why"].startswith("PSI 0.")
    assert f"; 82{NBSP}% of it from values above " in items[-1]["why"]
    calm = findings(api, feature="carrier", limit=1)[0]
    assert calm["why"].startswith("PSI 0.0")
    assert ", limit 0." in calm["why"]
    (blind,) = findings(api, feature="precip", limit=1)
    assert "cannot exceed its limit" in blind["why"]


ROW: dict[str, Any] = {
    "feature": "fare", "length": "day", "rows": 1_000, "n": 990, "verdict": "warning",
    "evidence": "ks", "exceeds": "ks", "psi": 0.2, "psi_limit": 0.3, "psi_critical": 0.5,
    "ks_low": 0.18, "ks_high": 0.19, "missing": 0.01, "missing_limit": 0.02, "parts": None,
}  # fmt: skip


def test_what_a_fixed_limit_tells_is_said_against_that_limit() -> None:
    spec = MonitorSpec(
        limits=(FixedLimit("*", "ks", 0.3), FixedLimit("fare", "ks", 0.15, 0.17)),
    )
    assert why(ROW, None, spec) == "KS 0.18, limit 0.17"
    assert why(ROW | {"feature": "age", "ks_low": 0.31}, None, spec) == "KS 0.31, limit 0.30"
    both = ROW | {"exceeds": "psi,ks", "psi": 0.4, "evidence": "ks"}
    assert why(both, None, spec) == "KS 0.18, limit 0.17; PSI 0.40, limit 0.30"


def test_a_rate_is_told_beside_the_reference_s_own() -> None:
    ages = np.where(np.arange(1_000) % 50 == 0, np.nan, np.arange(1_000.0))
    reference = build_reference(pd.DataFrame({"age": ages}))
    row = ROW | {"feature": "age", "segment": "all", "exceeds": "missing", "evidence": "missing"}
    row |= {"missing": 0.77, "missing_excess": 0.7, "missing_limit": 0.04}
    said = why(row, reference, None).replace(NBSP, " ")
    assert said == "missing 2.0 % \u2192 77 % of 1,000 rows, limit 4 points"


def test_values_that_are_all_infinite_are_said_to_be_so() -> None:
    reference = build_reference(pd.DataFrame({"age": np.arange(1_000.0)}))
    row = ROW | {"feature": "age", "segment": "all", "verdict": "insufficient_data", "n": 0}
    row |= {"exceeds": "", "psi": None, "psi_limit": None, "missing": 0.25, "type_error": 0.0}
    said = why(row, reference, None).replace(NBSP, " ")
    assert said.startswith("infinite in 75 % of 1,000 rows, no value is left")
    assert "infinite" not in why(row | {"missing": 1.0}, reference, None)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"verdict": "collecting"}, "PSI 0.20, not judged: what days wobble by is being learnt"),
        ({"verdict": "insufficient_data", "n": 61, "visible": 1.13},
         "61 values, PSI is judged from 100; only a shift above 1.1 sigma could have been seen"),
        ({"verdict": "ok", "psi": None, "psi_limit": None, "n": 70},
         f"missing 1.0{NBSP}%, within its limit; 70 values, PSI is judged from 100"),
        ({"verdict": "uncalibrated"}, "PSI 0.20, limit 0.30; natural wobble unknown"),
    ],
)  # fmt: skip
def test_what_is_not_over_a_limit_says_what_it_is(changed: dict[str, Any], said: str) -> None:
    assert why(ROW | {"exceeds": "", **changed}, None, None) == said


def test_the_client_and_the_table_have_the_same(api: TestClient) -> None:
    item = findings(api, feature="temp", limit=1)[0]
    read = _typed(item, Finding)
    assert isinstance(read, answers.Finding)
    assert read.parts == tuple(item["parts"])
    text = api.get(
        "/api/v1/findings", params={"model": MODEL, "feature": "temp", "format": "csv"}
    ).content.decode()
    row = next(csv.DictReader(io.StringIO(text, newline="")))
    assert row["why"] == item["why"]
    assert json.loads(row["parts"]) == item["parts"]
    assert float(row["w1_low"]) == item["w1_low"]
    assert told(ROW)["parts"] is None
