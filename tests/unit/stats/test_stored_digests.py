"""The digest of a reference is its name for ever: another way of counting must not change it."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from driftline.comparing import compare
from driftline.stats.reference import build_reference

OPTIONS: dict[str, Any] = {
    "prediction": "out",
    "score": "score",
    "label": "label",
    "timestamp": "at",
    "timezone": "America/New_York",
    "segments": ["airport", "flag"],
    "categorical": ["codes", "float_codes"],
    "exclude": ["when"],
    "importance": {"even": 2},
}


def noise(n: int, salt: int) -> np.ndarray:
    """The same numbers in [0, 1) for ever: no generator's stream, no function of a C library."""
    i = np.arange(n, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
    i ^= i >> np.uint64(30)
    i *= np.uint64(0xBF58476D1CE4E5B9)
    i ^= i >> np.uint64(27)
    i *= np.uint64(0x94D049BB133111EB)
    i ^= i >> np.uint64(31)
    return (i >> np.uint64(11)).astype(np.float64) / 2.0**53


def pick(values: list[Any], u: np.ndarray) -> pd.Series:
    return pd.Series([values[i] for i in np.floor(u * len(values)).astype(int)])


def frame(n: int = 4_000, salt: int = 0, shift: float = 0.0, *, is_sorted: bool = True):
    """86 days with every kind of column."""
    u = [noise(n, 1 + 7_919 * (salt + k)) for k in range(40)]
    minutes = np.floor(u[0] * 86 * 1440).astype(np.int64)
    minutes = np.sort(minutes) if is_sorted else minutes
    at = pd.Series(pd.Timestamp("2013-01-20T05:10Z") + pd.to_timedelta(minutes, unit="min"))
    at[u[38] < 0.002] = pd.NaT
    heavy = (u[5] - 0.5) / (np.abs(u[6] - 0.5) + 1e-4)
    beyond = np.where(u[13] > 0.99, 1e300, np.where(u[13] > 0.98, -1e300, u[14]))
    infinite = np.where(u[12] < 0.01, np.inf, np.where(u[13] < 0.01, -np.inf, beyond))
    mixed: list[Any] = [1, 1.0, True, "x", 2.5, None, float("nan")]
    return pd.DataFrame(
        {
            "even": u[1] + u[2] + u[3] + u[4] - 2 + shift,
            "heavy": heavy * 2.0**20,
            "integers": np.floor(u[7] * 300).astype(np.int64),
            "zeros": np.where(u[8] < 0.7, 0.0, u[9] * 100 - 3),
            "gaps": np.where(u[10] < 0.04, np.nan, np.floor(u[11] * 10_000) / 128),
            "infinite": infinite,
            "years": np.where(u[15] < 0.5, 2012.25, 2013.5) - (u[15] < 0.001) * 9000,
            "big": u[16] * 2.0**70,
            "constant": np.full(n, 4.5),
            "flag": u[17] < 0.3,
            "null_flag": pd.array(np.where(u[18] < 0.02, None, u[17] < 0.6), "boolean"),
            "carrier": pick(["UA", "AA", "B6", "ünï 漢"], u[19]).where(pd.Series(u[20] > 0.03)),
            "rare": pick([f"r{k}" for k in range(400)], u[21] * u[21] * u[21]),
            "many": pick([f"m{k}" for k in range(1_500)], u[22]),
            "mixed": pick(mixed, u[23]).astype(object),
            "codes": np.floor(u[24] * 5).astype(np.int64),
            "float_codes": np.where(u[25] < 0.1, np.nan, np.floor(u[25] * 5)),
            "category": pick(["lo", "mid", "hi"], u[26]).astype("category"),
            "small": np.floor(u[27] * 200 - 100).astype(np.int8),
            "single": u[28].astype(np.float32),
            "null_integers": pd.array(np.where(u[29] < 0.1, None, np.floor(u[29] * 1e6)), "Int64"),
            "nothing": pd.Series([None] * n, dtype=object),
            "when": at.dt.tz_convert("UTC"),
            "airport": pick(["JFK", "LGA", "EWR"], u[30] * u[30]),
            "out": np.where(u[31] < 0.3, "late", "on time"),
            "score": u[32],
            "label": np.floor(u[33] * 2).astype(int),
            "at": at,
        }
    )


def in_library(name: str, data: pd.DataFrame) -> Any:
    if name == "pandas":
        return data
    data = data.drop(columns="mixed")
    if name == "polars":
        return pl.from_pandas(data)
    return pa.Table.from_pandas(data, preserve_index=False)


def counted(reference: Any, current: Any) -> str:
    """A hash of the counts of another frame on the reference's grids."""
    found = compare(
        reference, current, prediction="out", score="score", label="label", timestamp="at"
    )
    return hashlib.sha256(found.current.to_bytes()).hexdigest()


# With the column of mixed types, which polars and pyarrow cannot hold, and without it.
WITH_MIXED = (
    "7b0da2be2ab29b5decb1dbce1342d339726a69238572f9b6bca6193f478c9e50",
    "b3e8c6927c5cd40422f7ab326d1a3fb1f22af6065d4ffb724083f64e51c64ab1",
)
WITHOUT = (
    "f718f8154a80726db9a260c3bc8117b8506b2354ca1214af73482ffee8b2f81f",
    "b8d4d5b00dfc74fe2bb545c278ef05191c46f2bd67ebb0ff54bf02b23ecaf25c",
)
STORED = {"pandas": WITH_MIXED, "polars": WITHOUT, "pyarrow": WITHOUT}


@pytest.mark.parametrize("library", STORED)
def test_references_and_counts_are_what_they_were(library: str) -> None:
    made = build_reference(in_library(library, frame()), **OPTIONS)
    current = in_library(library, frame(3_000, 100, 0.2))
    assert (made.digest, counted(made, current)) == STORED[library]


def test_any_order_and_another_library_s_columns_change_nothing() -> None:
    data = frame()
    digest = build_reference(data, **OPTIONS).digest
    others = [
        data.sample(frac=1, random_state=3),
        data.astype({"carrier": object, "rare": "category", "many": "string"}),
    ]
    assert {build_reference(other, **OPTIONS).digest for other in others} == {digest}


ODD = {
    "unsorted times": "1665509fcd166a42986381ea602788765e74d6a1b21f310e56ad13a5a8d0380c",
    "moved by half an hour": "73bda277eda9e9bd43740923a05ad87ffd647caa0fc56aaa282266f3525c96c5",
    "back over midnight": "ecaa1da9b7d6a14bc4a4dd829320d3e65397c79a305b7ee40aa9c3f7cc57596a",
    "no times": "1647e4268525a02d129387e828880bc687e429cbe8b947fba1efcbc4f3937979",
    "forced": "494db471117d4a7fc608d14ae3461fd18da2735dd8db2ae3b72f0cecbdab3e91",
}


@pytest.mark.parametrize("case", ODD)
def test_odd_references_are_what_they_were(case: str) -> None:
    data, options = frame(is_sorted=case != "unsorted times"), dict(OPTIONS)
    if case == "moved by half an hour":
        options["timezone"] = "Australia/Lord_Howe"
    elif case == "back over midnight":
        # There a day of the autumn of 2010 comes twice.
        data["at"] -= pd.Timedelta(days=875)
        options["timezone"] = "America/St_Johns"
    elif case == "no times":
        options["timestamp"] = None
    elif case == "forced":
        options |= {"features": ["even", "rare", "many", "mixed"], "segments": []}
    assert build_reference(data, **options).digest == ODD[case]
