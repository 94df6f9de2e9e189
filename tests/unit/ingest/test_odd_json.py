"""JSON that is odd and legal: what counts is defined, and the same whoever reads it.

Each event is read three times: by a layout, by `wire`'s decoder, and by its second look, which an
unusual value elsewhere in the record asks for.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from fake_source import HOUR_MS, KAFKA_MS, START_MS, Entry, small_reference

from consumers.admit import Admitted, Rules, admit
from consumers.count import count
from driftline.stats.coding import NEGATIVE, ZERO
from driftline.stats.profile import COUNTERS, Profile
from monitor.storage.registry import BoundVersion, Registry

WAYS = ("layout", "wire", "second look")
USUAL = (
    f'{{"type":"prediction","model":"m","version":"1","time":{START_MS},'
    '"features":{"x":1.5,"kind":"a","site":"north"},"prediction":{"class":"yes","score":0.5}}'
)


def registry_of_two() -> Registry:
    reference = small_reference()
    bound = {
        (model, "1"): BoundVersion(i, model, "1", "UTC", HOUR_MS, ((0, reference.digest),))
        for i, model in enumerate("mn")
    }
    return Registry(1, frozenset("mn"), bound, {reference.digest: reference})


def read(text: str, way: str) -> tuple[Admitted, Registry]:
    known = registry_of_two()
    if way == "layout":
        admit([Entry(0, KAFKA_MS, USUAL.encode())] * 2, Rules(), known.layouts)
    elif way == "second look":
        assert text.endswith("}")
        text = text[:-1] + ',"trace":NaN}'
    value = [Entry(1, KAFKA_MS, text.encode())]
    if way == "layout":
        return admit(value, Rules(), known.layouts), known
    return admit(value, Rules()), known


def counted(text: str, way: str) -> Profile:
    admitted, known = read(text, way)
    assert not admitted.refused
    found = [p for key, p in count(admitted, known).panes.items() if key.segment == "all"]
    assert len(found) == 1
    return found[0]


def said(old: str, new: str) -> str:
    assert old in USUAL
    return USUAL.replace(old, new)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("twice", "once"),
    [
        (said('"x":1.5', '"x":5.5,"x":1.5'), USUAL),
        (said('"x":1.5', '"x":"text","x":1.5'), USUAL),
        (said('"x":1.5,"kind":"a"', '"kind":"b","x":1.5,"kind":"a"'), USUAL),
        (said('"x":1.5', '"x":1.5,"x":null'), said('"x":1.5', '"x":null')),
        (said('"score":0.5', '"score":0.9,"score":0.5'), USUAL),
        (said('"features":{', '"features":{"y":1},"features":{'), USUAL),
        (said('"features":{', '"features":null,"features":{'), USUAL),
        (
            said('"prediction":{"class"', '"prediction":{"value":3},"prediction":{"class"'),
            USUAL,
        ),
        (said('"time":', '"time":1700000000000,"time":'), USUAL),
        (said('"type":', '"type":"label","type":'), USUAL),
    ],
)
def test_of_a_key_that_comes_twice_the_last_one_counts(twice: str, once: str, way: str) -> None:
    assert counted(twice, way) == counted(once, "wire")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("key", "first", "last"), [("model", "m", "n"), ("model", "n", "m"), ("version", "7", "1")]
)
def test_of_two_names_the_last_one_is_whose_event_it_is(
    key: str, first: str, last: str, way: str
) -> None:
    """The first one is where a layout is looked for."""
    given = json.loads(USUAL)[key]
    text = said(f'"{key}":"{given}"', f'"{key}":"{first}","{key}":"{last}"')
    admitted, _ = read(text, way)
    wanted = {"model": "m", "version": "1"} | {key: last}
    assert admitted.names == [(wanted["model"], wanted["version"], "prediction")]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("number", "place"),
    [
        ("1e999", "over"),
        ("-1e999", "under"),
        ("9" * 400, "over"),
        ("-" + "9" * 400, "under"),
        ("9" * 5_000, "over"),
        ("9" * 900_000, "over"),
        ("3.5e38", "over"),
        ("-0.0", "zero"),
        ("-0", "zero"),
        ("5e-324", "zero"),
        ("-5e-324", "zero"),
        ("0." + "0" * 900_000 + "1", "zero"),
    ],
)
def test_a_number_that_no_float32_holds_is_what_is_nearest_to_it(
    number: str, place: str, way: str
) -> None:
    """Never a dead letter and no fault of its type: a JSON number is one, however it is written."""
    gridset = small_reference().gridset
    f = gridset.names().index("x")
    found = counted(said('"x":1.5', f'"x":{number}'), way)
    bins = found.counts[gridset.bins[f]]
    assert bins.sum() == 1
    counters: dict[Any, int] = dict(
        zip(range(len(COUNTERS)), found.counts[gridset.counters[f]].tolist(), strict=True)
    )
    expected = dict.fromkeys(counters, 0) | ({ZERO: 1} if place == "zero" else {})
    if place == "under":
        expected[NEGATIVE] = 1
    assert counters == expected
    at = int(np.flatnonzero(bins)[0]) + gridset.bins[f].start
    assert bool(at == gridset.over[f]) is (place == "over")
    if place == "under":
        assert at == gridset.under[f]


@pytest.mark.parametrize("deep", ["[", '{"a":'])
@pytest.mark.parametrize("way", ["layout", "wire"])
def test_a_million_levels_are_one_dead_letter_wherever_they_stand(deep: str, way: str) -> None:
    levels = deep * (900_000 // len(deep))
    for text in (levels, said('"x":1.5', f'"x":{levels}'), said('"x":1.5', f'"y":{levels}')):
        admitted, _ = read(text, way)
        assert admitted.refused == {"too_deep": 1}


@pytest.mark.parametrize("way", WAYS)
def test_names_of_a_megabyte_are_told_by_their_length(way: str) -> None:
    long = "n" * 900_000
    admitted, _ = read(said('"m"', f'"{long}"'), way)
    assert admitted.refused == {"model_invalid": 1}
    assert len(admitted.letters[0].detail) < 100
    admitted, _ = read(said('"version":"1"', f'"version":"{long}"'), way)
    assert admitted.refused == {"version_invalid": 1}
    # Of a feature that nobody watches the name is not kept, and of a category its beginning.
    admitted, known = read(said('"x"', f'"{long}":2,"x"'), way)
    delta = count(admitted, known)
    assert {key.outcome: n for key, n in delta.counters.items()} == {
        "prediction": 1, "unknown_feature": 1,
    }  # fmt: skip
    admitted, known = read(said('"kind":"a"', f'"kind":"{long}"'), way)
    assert all(len(key.value) <= 300 for key in count(admitted, known).unseen)
