"""Whether an event is read by a layout or by `wire` changes nothing of what is counted."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
import pandas as pd
import pytest
from fake_source import HOUR_MS, KAFKA_MS, START_MS, Entry, small_reference
from hypothesis import event, given, settings
from hypothesis import strategies as st

import consumers.admit
from consumers.admit import Admitted, Rules, admit
from consumers.count import count
from driftline import laid, layouts
from driftline.events import Event
from driftline.stats.reference import Reference, build_reference
from driftline.wire import decode
from monitor.storage.registry import BoundVersion, Registry


@cache
def _references() -> tuple[Reference, Reference]:
    rng = np.random.default_rng(3)
    rows = 600
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "y": rng.integers(0, 50, rows),
            "kind": rng.choice(list("abc"), rows),
            "hour": rng.integers(0, 24, rows),
            "site": rng.choice(["north", "south"], rows),
            "3": rng.integers(0, 4, rows),
            "tokens": [[1, 2]] * rows,
            "value": rng.normal(size=rows),
            "no": rng.random(rows),
            "yes": rng.random(rows),
            "at": pd.date_range("2013-01-01", periods=rows, freq="15min", tz="UTC"),
        }
    )
    wide = build_reference(
        frame,
        prediction="value",
        scores={"no": "no", "yes": "yes"},
        timestamp="at",
        categorical=["hour"],
        segments=["site", "3"],
    )
    return small_reference(), wide


def _registry() -> Registry:
    """Made anew: what its layouts learn must not reach the next example."""
    small, wide = _references()
    bound = {
        ("m", "1"): BoundVersion(1, "m", "1", "UTC", HOUR_MS, ((0, small.digest),)),
        ("m", "2"): BoundVersion(2, "m", "2", "UTC", HOUR_MS, ((0, wide.digest),)),
        ("n", "1"): BoundVersion(
            3, "n", "1", "UTC", HOUR_MS, ((0, wide.digest), (START_MS + HOUR_MS, small.digest))
        ),
    }
    return Registry(1, frozenset({"m", "n"}), bound, {r.digest: r for r in (small, wide)})


# Values as they stand in JSON, among them such as only Python's reader takes, and such as nobody.
odd_numbers = st.one_of(
    st.sampled_from(
        [
            "-0",
            "-0.0",
            "1e3",
            "1E-400",
            "5e-324",
            "2.5e+10",
            "1e400",
            "-1e999",
            "1e300",
            "1e22",
            "3.0",
            "NaN",
            "01",
            "9007199254740993",
            "123456789012345678",
            "18446744073709551616",
            "-9223372036854775809",
            "1.7976931348623159e308",
        ]
    ),
    st.sampled_from(["9" * 25, "9" * 400, "0." + "3" * 900]),
)
odd_texts = st.sampled_from(
    ['"\\ud800"', '"\\u00e9"', '"é"', '"\\ud83d\\ude00"', '"a\\u0000"', "'a'", '"a\tb"']
)
odd = st.sampled_from(
    ["null", "true", "false", "[]", "[1]", "{}", '{"a":[1]}', "[" * 70 + "]" * 70]
)


def _mostly(usual: st.SearchStrategy[str], other: st.SearchStrategy[str]) -> Any:
    return st.sampled_from([True] * 15 + [False]).flatmap(
        lambda is_usual: usual if is_usual else other
    )


numbers = _mostly(
    st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers(-9, 60).map(str),
    odd_numbers,
)
texts = _mostly(
    st.sampled_from(["a", "b", "north", "south", "yes", "no", "", "3", "x" * 201]).map(json.dumps)
    | st.text(max_size=4).map(json.dumps),
    odd_texts,
)
anything = numbers | texts | odd_numbers | odd_texts | odd
times = _mostly(
    st.integers(0, 300).map(lambda i: str(START_MS + i * HOUR_MS // 60)),
    st.sampled_from(
        '"2013-01-08T10:20:30.123456789Z" "2013-01-08T10:20:30+05:30" "2013-01-08" null -1 1.5 '
        f'"2013-01-08T10:20:30" 1357639200000.0 "1357639200000" {10**30}'.split()
    ),
)


def _object(pairs: Sequence[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}:{value}" for name, value in pairs) + "}"


@st.composite
def objects(
    draw: st.DrawFn, usual: Mapping[str, st.SearchStrategy[str]], odd_names: Collection[str] = ()
) -> str:
    """An object with most of the usual keys, in any order, some twice, some unusual."""
    pairs = [(name, draw(values)) for name, values in usual.items()]
    for _ in range(draw(st.sampled_from([0] * 16 + [1, 2]))):
        act = draw(st.sampled_from(["drop", "twice", "odd", "shuffle", "other"]))
        if act == "shuffle":
            pairs = draw(st.permutations(pairs))
        elif act == "other":
            name = draw(st.sampled_from([*odd_names, "other", "é", 'q"', ""]))
            pairs.insert(draw(st.integers(0, len(pairs))), (name, draw(anything)))
        elif pairs:
            at = draw(st.integers(0, len(pairs) - 1))
            if act == "drop":
                pairs.pop(at)
            else:
                place = at if act == "odd" else len(pairs)
                pairs[place : at + 1 if act == "odd" else place] = [(pairs[at][0], draw(anything))]
    return _object(pairs)


FEATURES = {
    "x": numbers, "y": st.integers(0, 60).map(str), "kind": texts, "hour": numbers, "site": texts,
    "3": numbers, "tokens": st.just("7"), "prediction": numbers, "model": st.just('"n"'),
}  # fmt: skip


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """A record: a prediction as usual, as unusual, or none at all."""
    names = draw(st.sampled_from([["x", "kind", "site"], ["x", "y", "kind"], list(FEATURES)]))
    scores = objects({"no": numbers, "yes": numbers})
    prediction = st.one_of(
        objects({"class": texts, "score": numbers}, ["value", "scores", "note"]),
        objects({"value": numbers, "scores": scores}, ["class"]),
        numbers | texts,
        anything,
    )
    usual = {
        "type": st.sampled_from(['"prediction"'] * 9 + ['"label"', '"other"']),
        "model": st.sampled_from(['"m"', '"m"', '"m"', '"n"', '"stranger"', '"\\u006d"']),
        "version": _mostly(
            st.sampled_from(['"1"', "1", '"2"', "2", '"7"']),
            st.sampled_from(['""', "null", "true"]),
        ),
        "time": times,
        "features": objects({name: FEATURES[name] for name in names}, ["site", "prediction"]),
        "prediction": prediction,
    }
    if draw(st.booleans()):
        usual["tags"] = objects({"site": texts, "3": numbers}) | anything
    if draw(st.booleans()):
        usual = {"id": anything, **usual, "trace": anything}
    text = draw(objects(usual, ["label", "id", "trace"]))
    if draw(st.sampled_from([False] * 9 + [True])):
        text = draw(
            st.sampled_from([text[:-1], text + " ", text + "{}", "\ufeff" + text, f"[{text}]"])
        )
    return text.encode("utf-8", "surrogatepass")


def _facts(admitted: Admitted, registry: Registry) -> Any:
    delta = count(admitted, registry)
    panes = {
        key: (p.counts.tolist(), None if p.sums is None else p.sums.tolist(), p.to_bytes())
        for key, p in delta.counted().items()
    }
    return (
        panes, delta.counters, {k: asdict(v) for k, v in delta.deficits.items()},
        {k: asdict(v) for k, v in delta.unseen.items()}, delta.letters, delta.strangers,
        # A name of which nothing is admitted may stand among the others.
        [admitted.names[i] for i in admitted.name_of.tolist()], admitted.times_ms.tolist(),
        admitted.offsets.tolist(), admitted.refused,
    )  # fmt: skip


def _log(some: Sequence[bytes]) -> list[Entry]:
    return [Entry(i, KAFKA_MS, value) for i, value in enumerate(some)]


def _both(first: Sequence[bytes], then: Sequence[bytes]) -> tuple[Any, Any, Admitted]:
    """What is counted of the second records where the first have taught layouts, and where not."""
    registry = _registry()
    admit(_log(first), Rules(), registry.layouts)
    fast = admit(_log(then), Rules(), registry.layouts)
    return _facts(fast, registry), _facts(admit(_log(then), Rules()), registry), fast


def _n_laid_out(admitted: Admitted) -> int:
    parts = [p for part in admitted.parts for p in getattr(part, "parts", [part])]
    return sum(len(part) for part in parts if hasattr(part, "layout"))


@settings(max_examples=400, deadline=None)
@given(first=st.lists(values(), max_size=3), then=st.lists(values(), min_size=1, max_size=9))
def test_a_layout_changes_nothing(first: list[bytes], then: list[bytes]) -> None:
    # What comes is often written as what was learned from.
    fast, slow, admitted = _both([*first, *then[:1]], then)
    event(f"laid out: {min(_n_laid_out(admitted), 3)}")
    assert fast == slow


@settings(max_examples=400, deadline=None)
@given(
    first=st.lists(values(), max_size=2),
    then=st.lists(values(), min_size=1, max_size=12),
    repeats=st.lists(st.integers(1, 4), min_size=12, max_size=12),
    size=st.integers(1, 5),
    misfits=st.integers(0, 2),
    known=st.integers(0, 3),
)
def test_nor_do_pieces_that_are_decoded_one_after_the_other(
    first: list[bytes],
    then: list[bytes],
    repeats: list[int],
    size: int,
    misfits: int,
    known: int,
) -> None:
    some = [value for value, n in zip(then, repeats, strict=False) for _ in range(n)]
    with (
        patch.object(consumers.admit, "SLICE", size),
        patch.object(consumers.admit, "MISFITS", misfits),
        patch.object(laid, "MAX_KNOWN", known),
    ):
        fast, slow, admitted = _both([*first, *then[:1]], some)
    n_pieces = sum(hasattr(part, "layout") for part in admitted.parts)
    event(f"pieces laid out: {min(n_pieces, 3)}")
    assert fast == slow


def test_a_text_is_counted_as_itself_in_whichever_piece_it_came() -> None:
    """Of a feature with more texts than are known from one piece to the next."""
    some = [
        _prediction(f'{{"x":{i},"kind":"{kind}","site":"north"}}')
        for i, kind in enumerate([*(f"new {i // 2}" for i in range(2_000)), *"abc" * 600])
    ]
    fast, slow, admitted = _both([USUAL], some)
    assert fast == slow
    assert _n_laid_out(admitted) == len(some)
    [part] = admitted.rows(np.arange(len(some)))
    assert len(part) == len(some)
    met = [len(part.met) for one in admitted.parts for part in one.others if part.codes.any()]
    # What is known of it does not grow with all that ever came.
    assert laid.MAX_KNOWN < max(met) <= laid.MAX_KNOWN + consumers.admit.SLICE


def _prediction(features: str, version: str = "1", more: str = "") -> bytes:
    return (
        f'{{"type":"prediction","model":"m","version":"{version}","time":{START_MS},'
        f'"features":{features},"prediction":{{"class":"yes","score":0.5}}{more}}}'
    ).encode()


USUAL = _prediction('{"x":1.5,"kind":"a","site":"north"}')
MISFITS = [
    _prediction('{"x":true,"kind":"a","site":"north"}'),
    _prediction('{"x":1.5,"kind":"a","site":"north","more":1}'),
    _prediction('{"x":1.5,"kind":["a"],"site":"north"}'),
    _prediction('{"x":1e999,"kind":"a","site":"north"}'),
    _prediction('{"x":1.5,"kind":"a","site":"north"}', more=',"tags":[' + "[" * 70 + "]" * 71),
    _prediction("null"),
]


def test_who_misfits_is_read_by_wire_and_nobody_else() -> None:
    some = [USUAL, MISFITS[0], USUAL, *MISFITS, USUAL]
    fast, slow, admitted = _both([USUAL], some)
    assert fast == slow
    assert _n_laid_out(admitted) == 3


@pytest.mark.parametrize("value", [MISFITS[0], MISFITS[1], MISFITS[4]])
def test_to_take_what_misfits_would_be_seen(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: layouts that take any key, type and depth count something else."""

    def loose(title: str, fields: Any, keep: Collection[str] = ()) -> Any:
        kept = ("model", "features", "prediction")
        return make(
            title,
            {name: kind if name in kept else (Any, *kind[1:]) for name, kind in fields.items()},
            keep,
        )

    def open_struct(*given: Any, **how: Any) -> Any:
        return msgspec.defstruct(*given, **{**how, "forbid_unknown_fields": False})

    make = layouts._struct
    monkeypatch.setattr(layouts, "_struct", loose)
    monkeypatch.setattr(layouts, "defstruct", open_struct)
    usual, as_before, _ = _both([USUAL], [USUAL])
    assert usual == as_before
    fast, slow, admitted = _both([USUAL], [USUAL, value])
    assert _n_laid_out(admitted) == 2
    assert fast != slow


def test_pieces_of_nulls_tags_and_other_types_are_put_together() -> None:
    some = []
    for said in ('"a"', "1", "true", "null", "2.5", '"north"', json.dumps("x" * 201)):
        for x in ("1.5", "null"):
            some += [
                _prediction(f'{{"x":{x},"kind":{said},"site":{said}}}', "2"),
                _prediction(f'{{"x":{x},"kind":{said}}}', "2"),
                _prediction(f'{{"kind":{said}}}', "2", ',"tags":{"site":"south"}'),
            ]
    with patch.object(consumers.admit, "SLICE", 2):
        fast, slow, admitted = _both([USUAL], some)
    assert fast == slow
    assert _n_laid_out(admitted) == len(some)


def test_alternating_models_and_versions_stay_in_the_order_of_the_log() -> None:
    other = USUAL.replace(b'"model":"m"', b'"model":"n"')
    second = _prediction('{"x":2,"y":3,"hour":4,"tokens":[1]}', "2")
    some = [USUAL, other, second, MISFITS[0], other, USUAL, second] * 5
    fast, slow, admitted = _both([USUAL, other], some)
    assert fast == slow
    assert _n_laid_out(admitted) == 20


def test_a_layout_that_misses_is_learned_anew_and_in_the_end_given_up() -> None:
    known = layouts.Layouts(lambda model: layouts.Wanted(("x",), frozenset({"x"})))

    def read(value: bytes) -> bool:
        if known.read(value) is not None:
            return True
        known.learn(value, decode(value))
        return False

    shapes = [_prediction(f'{{"x":1.5,"f{i}":1}}') for i in range(5)]
    read(shapes[0])
    assert read(shapes[0])
    hits = [sum(read(shape) for _ in range(1_000)) for shape in shapes[1:]]
    # Each is learned after some misses; who changes for the fourth time is left to `wire`.
    assert [n > 400 for n in hits] == [True, True, False, False]
    assert hits[2:] == [0, 0]


def test_too_many_fields_make_no_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"x{i}" for i in range(layouts.MAX_FIELDS)]
    wide = _prediction(json.dumps(dict.fromkeys(names, 1.5)))
    known = layouts.Layouts(lambda model: layouts.Wanted((), frozenset()))
    known.learn(wide, decode(wide))
    assert known.read(wide) is None
    known = layouts.Layouts(lambda model: layouts.Wanted((), frozenset()))
    monkeypatch.setattr(layouts, "MAX_ALL_FIELDS", 15)
    read = []
    for model in ("m", "n"):
        value = USUAL.replace(b'"m"', f'"{model}"'.encode())
        known.learn(value, decode(value))
        read.append(known.read(value) is not None)
    # What both need is more than is allowed together.
    assert read == [True, False]


def test_labels_and_strangers_teach_nothing() -> None:
    known = layouts.Layouts(lambda model: None)
    known.learn(USUAL, decode(USUAL))
    label = Event("label", "m", START_MS, "", 1, label=1)
    known.learn(b"{}", label)
    assert known.read(USUAL) is None
