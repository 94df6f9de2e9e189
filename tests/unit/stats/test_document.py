"""Documents: a reference comes back as it was, and nothing else comes in."""

from __future__ import annotations

import base64
import json
import random
import zlib
from functools import reduce

import numpy as np
import pandas as pd
import pytest

from driftline.errors import InvalidReference
from driftline.stats.profile import Profile
from driftline.stats.reference import Reference, build_reference
from driftline.stats.slicing import SLICE_ARRAYS


@pytest.fixture(scope="module")
def reference():
    rng = np.random.default_rng(0)
    n = 6000
    minutes = np.sort(rng.integers(0, 20 * 1440, n))
    data = pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "k": rng.poisson(4, n),
            "odd": rng.choice([-1e-30, 2012, 2012.125, 1e30], n),
            "c": rng.choice(["a", "b", "c<script>"], n, p=[0.6, 0.398, 0.002]),
            "many": [f"m{i}" for i in rng.integers(0, 1500, n)],
            "note": ["some text that is free to be anything at all " + str(i) for i in range(n)],
            "o": rng.choice(["JFK", "LGA"], n),
            "p": rng.random(n),
            "at": pd.Timestamp("2013-01-01T05:00Z") + pd.to_timedelta(minutes, unit="min"),
        }
    )
    return build_reference(
        data,
        score="p",
        timestamp="at",
        timezone="America/New_York",
        segments=["o"],
        importance={"x": 2.0},
    )


@pytest.fixture(scope="module")
def written(reference):
    return reference.to_document()


def test_a_reference_comes_back_as_it_was(reference, written):
    again = Reference.from_document(written)
    assert again.digest == reference.digest
    assert again.gridset.digest == reference.gridset.digest
    assert again.profiles == reference.profiles
    assert again.buckets == reference.buckets
    for name in ("dimensions", "timezone", "first_ms", "last_ms", "rows", "prediction"):
        assert getattr(again, name) == getattr(reference, name)
    assert again.importance == reference.importance and again.warnings == reference.warnings
    for segment, lengths in reference.slices.items():
        for length, slices in lengths.items():
            for name in SLICE_ARRAYS:
                other = getattr(again.slices[segment][length], name)
                assert np.array_equal(other, getattr(slices, name))
                assert other.dtype == getattr(slices, name).dtype
    assert again.to_document() == written


def test_the_grids_that_come_back_count_the_same(reference, written):
    again = Reference.from_document(written).gridset
    rng = np.random.default_rng(3)
    from driftline.stats.profile import Column

    columns = {
        "x": Column(rng.normal(size=500) * 3),
        "k": Column(rng.poisson(9, 500).astype(float)),
        "odd": Column(rng.choice([1.0, 2012, 2012.125, np.inf, 9e32], 500)),
        "c": Column(rng.choice(["a", "c<script>", "new"], 500).tolist()),
        "many": Column([f"m{i}" for i in range(1400, 1900)]),
    }
    [one] = reference.gridset.count(columns, 500, with_sums=True)
    [two] = again.count(columns, 500, with_sums=True)
    assert one == two
    assert Profile.from_bytes(again, one.to_bytes()) == one


def pack(array):
    return base64.b64encode(zlib.compress(np.asarray(array).tobytes())).decode()


def at(document, path):
    return reduce(lambda inner, key: inner[key], path, document)


FEATURE = {"x": 0, "k": 1, "odd": 2, "c": 3, "many": 4, "note": 5}
COUNTS = ("profiles", "all", "counts")
DAYS = ("slices", "all", "day")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("format",), 2, "format is 2, this release reads 1"),
        (("format",), True, None),
        (("digest",), "0" * 64, "does not have its digest"),
        (("digest",), None, "does not have its digest"),
        (("extra",), 1, "exactly the keys"),
        (("features",), [], "no features"),
        (("features",), {}, "must be a list"),
        (("features",), [{}] * 5001, "over 5,000"),
        (("features", 0, "name"), "k", "comes twice"),
        (("features", 0, "name"), "", "no name"),
        (("features", 0, "name"), "x" * 201, "at most 200 characters"),
        (("features", 0, "kind"), "magic", "unknown kind"),
        (("features", 0, "cells"), "magic", "unknown kind of cells"),
        (("features", 0, "n_cells"), 10**9, "n_cells"),
        (("features", 0, "n_cells"), 2.5, "n_cells"),
        (("features", 0, "shift"), 64, "shift"),
        (("features", 0, "base"), 2**31, "base"),
        (("features", 0, "quantum"), 500, "quantum"),
        (("features", 0, "low"), float("nan"), "finite number"),
        pytest.param(("features", 0, "low"), 10**400, "finite number", id="beyond floats"),
        (("features", 0, "low"), 0.1, "must be a float32"),
        (("features", 3, "levels"), ["\ud800"], "must be text"),
        (("features", 0, "low"), 99.0, "upside down"),
        (("features", 0, "ends"), "AAAAAA==", "ascend"),
        (("features", 0, "ends"), "AAAA", "values of 4 bytes"),
        (("features", 0, "ends"), "!!", "not base64"),
        (("features", 0, "edges"), "AACAPw==", "another kind of cells"),
        (("features", 2, "edges"), "AACAPw==", "edges"),
        (("features", 0, "is_atom"), "AA==", "is_atom"),
        (("features", 0, "groups"), "AAAAAA==", "groups"),
        (("features", 3, "levels"), ["a", "a", "b"], "comes twice"),
        (("features", 3, "levels"), ["x" * 300], "at most 200 characters"),
        (("features", 3, "levels"), "ab", "must be a list"),
        (("features", 3, "rare"), [f"r{i}" for i in range(1001)], "over 1,000"),
        (("features", 4, "hashes"), "AAAAAAAAAAAAAAAAAAAAAA==", "ascend"),
        (("facts", "rows"), -1, "rows must be an integer"),
        (("facts", "rows"), 5999, "rows is not the number"),
        (("facts", "timezone"), "Mars/Base", "IANA"),
        (("facts", "timezone"), 3, "timezone must be a string"),
        (("facts", "first_ms"), None, "first_ms"),
        (("facts", "first_ms"), 2**60, "first_ms"),
        (("facts", "prediction"), ["nope"], "a prediction is no feature"),
        (("facts", "importance"), {"x": -1}, "importance"),
        (("facts", "importance"), {"x": float("inf")}, "importance"),
        (("facts", "importance"), {"x": 10**400}, "importance"),
        (("facts", "dimensions"), {"o": ["JFK", "JFK"]}, "comes twice"),
        (("facts", "dimensions"), {"o": [f"v{i}" for i in range(101)]}, "over 100"),
        (("facts", "dimensions"), {}, "undeclared segment"),
        (("warnings",), ["x" * 5000], "warnings"),
        (("profiles",), {}, "must have the segment 'all'"),
        (("profiles", "all", "sums"), None, "must have sums"),
        ((*COUNTS,), "AAAA", "cannot be unpacked"),
        ((*COUNTS,), 5, "base64 string"),
        ((*COUNTS,), pack(np.zeros(3, "<i8")), "must hold"),
        (("buckets",), {}, "for each segment"),
        (("slices",), {}, "for each segment"),
        ((*DAYS, "n"), 10**7, "n of"),
        ((*DAYS, "n"), 1, "must hold"),
    ],
)
def test_a_changed_document_is_refused_with_one_sentence(written, path, value, says):
    document = json.loads(written)
    at(document, path[:-1])[path[-1]] = value
    raw = json.dumps(document).encode()
    if says is None:
        assert Reference.from_document(raw)
        return
    with pytest.raises(InvalidReference) as caught:
        Reference.from_document(raw)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def unpack(text, kind):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind).copy()


def changed(written, path, kind, change):
    document = json.loads(written)
    array = unpack(at(document, path), kind)
    change(array)
    at(document, path[:-1])[path[-1]] = pack(array)
    return json.dumps(document).encode()


def put(place, value):
    def change(array):
        array[place] = value

    return change


@pytest.mark.parametrize(
    ("path", "kind", "change", "says"),
    [
        (COUNTS, "<i8", put(5, -1), "negative"),
        (COUNTS, "<i8", put(5, 10**6), "above its number of rows"),
        (COUNTS, "<i8", put(5, 0), "do not add up"),
        (("profiles", "all", "low"), "<f4", put(0, np.nan), "NaN"),
        (("profiles", "o=JFK", "counts"), "<i8", put(slice(None), 0), None),
        ((*DAYS, "groups"), "<i4", put(0, -5), "negative"),
        ((*DAYS, "groups"), "<i4", put(0, 10**6), "above its rows"),
        ((*DAYS, "rows"), "<i8", put(0, 0), "must be positive"),
        ((*DAYS, "rows"), "<i8", put(0, 10**6), "more rows than it"),
        ((*DAYS, "starts_ms"), "<i8", put(0, 2**60), "ascend"),
        ((*DAYS, "is_weekend"), "|u1", put(0, 7), "0 or 1"),
        ((*DAYS, "missing"), "<i4", put(0, 2**31 - 1), "above its rows"),
        ((*DAYS, "unseen"), "<i4", put(3, 2**31 - 1), "above its rows"),
    ],
)
def test_counts_that_contradict_each_other_are_refused(written, path, kind, change, says):
    with pytest.raises(InvalidReference) as caught:
        Reference.from_document(changed(written, path, kind, change))
    assert says is None or says in str(caught.value)


def test_an_array_that_unpacks_to_gigabytes_is_not_unpacked(written):
    document = json.loads(written)
    bomb = zlib.compressobj(9)
    packed = b"".join(bomb.compress(b"\0" * (1 << 20)) for _ in range(200)) + bomb.flush()
    document["profiles"]["all"]["counts"] = base64.b64encode(packed).decode()
    with pytest.raises(InvalidReference, match="must hold"):
        Reference.from_document(json.dumps(document).encode())


def test_slices_that_add_up_to_gigabytes_are_not_unpacked(written, monkeypatch):
    from driftline.stats import document

    monkeypatch.setattr(document, "MAX_UNPACKED", 50_000)
    with pytest.raises(InvalidReference, match="unpacked it is over 50,000 bytes"):
        Reference.from_document(written)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"1" * 5000],
)
def test_what_is_no_document_is_refused(raw):
    with pytest.raises(InvalidReference, match="no reference document"):
        Reference.from_document(raw)


def test_a_document_that_is_too_large_is_refused_unread(monkeypatch, reference):
    from driftline.stats import document

    monkeypatch.setattr(document, "MAX_BYTES", 1000)
    with pytest.raises(InvalidReference, match="over 1,000"):
        Reference.from_document(b" " * 2000)
    with pytest.raises(InvalidReference, match="fewer features or segments"):
        reference.to_document()


def test_whatever_is_put_in_place_of_a_part_nothing_but_invalid_reference_comes_out(written):
    rng = random.Random(0)
    junk = [None, True, -1, 2**70, 1.5, "", "x", "AAAA", [], {}, [[]], {"a": 1}, float("nan")]

    def paths(node, prefix=()):
        inner = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in inner:
            yield (*prefix, key)
            if isinstance(value, (dict, list)):
                yield from paths(value, (*prefix, key))

    every = list(paths(json.loads(written)))
    accepted = []
    for path in every if len(every) < 250 else rng.sample(every, 250):
        document = json.loads(written)
        value = rng.choice(junk)
        if at(document, path) == value:
            continue
        at(document, path[:-1])[path[-1]] = value
        try:
            Reference.from_document(json.dumps(document).encode())
        except InvalidReference:
            continue
        accepted.append(path)
    # Warnings are no part of the content.
    assert {path[0] for path in accepted} <= {"warnings", "format"}
