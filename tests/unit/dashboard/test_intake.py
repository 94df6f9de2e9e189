"""What a browser may ask of a callback: anything else is refused before Dash breaks on it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from living_database import NOW_MS

from dashboard.app import create
from monitor.clock import HeldClock
from monitor.storage import engine as storage

PATH = "/_dash-update-component"


@pytest.fixture(scope="module")
def browser(living_file: Path) -> Iterator[FlaskClient]:
    engine = storage.create(f"sqlite:///{living_file}")
    app = create(engine, clock=HeldClock(NOW_MS)).server
    app.config["PROPAGATE_EXCEPTIONS"] = False
    yield app.test_client()
    engine.dispose()


@pytest.fixture(scope="module")
def questions(browser: FlaskClient) -> list[dict[str, Any]]:
    """Every question that a page puts."""
    found = []
    for one in browser.get("/_dash-dependencies").get_json():
        if one["clientside_function"] is None:
            names = [
                dict(zip(("id", "property"), name.rsplit(".", 1), strict=True))
                for name in one["output"].strip(".").split("...")
            ]
            found.append({
                "output": one["output"],
                "outputs": names if one["output"].startswith("..") else names[0],
                "inputs": [{**place, "value": None} for place in one["inputs"]],
                "state": [{**place, "value": None} for place in one["state"]],
                "changedPropIds": [],
            })  # fmt: skip
    return found


def put(browser: FlaskClient, body: str | bytes, kind: str = "application/json") -> Any:
    return browser.post(PATH, data=body, content_type=kind)


def test_what_a_page_asks_is_answered(
    browser: FlaskClient, questions: list[dict[str, Any]]
) -> None:
    assert len(questions) > 8
    for one in questions:
        assert put(browser, json.dumps(one)).status_code in (200, 204), one["output"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"1", b"null", b'"x"', b"{}", b'{"output": 1}', b"\xff\xfe", b"[" * 100_000],
)
def test_what_is_no_question_is_a_400(browser: FlaskClient, body: bytes) -> None:
    assert put(browser, body).status_code == 400


def test_a_form_is_refused(browser: FlaskClient) -> None:
    assert put(browser, b"output=1", "application/x-www-form-urlencoded").status_code == 415


def test_a_question_of_another_version_says_to_load_the_page_anew(
    browser: FlaskClient, questions: list[dict[str, Any]]
) -> None:
    one = questions[0]
    fewer = {**one, "inputs": one["inputs"][1:]}
    other = {**one, "output": "gone.children", "outputs": {"id": "gone", "property": "children"}}
    swapped = {**one, "outputs": list(reversed(one["outputs"]))}
    clientside = {
        **one,
        "output": "written.data",
        "outputs": {"id": "written", "property": "data"},
        "inputs": [],
        "state": [],
    }
    for asked in (fewer, other, swapped, clientside):
        answer = put(browser, json.dumps(asked))
        assert answer.status_code == 409
        assert "Load it anew" in answer.get_json()["title"]


def test_a_part_that_no_page_has_is_not_found(browser: FlaskClient) -> None:
    for path in ("/_dash-component-suites/nope/x.js", "/_dash-component-suites/dash/../../app.py"):
        assert browser.get(path).status_code == 404, path


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.sampled_from(["light", "/models/parcel-delay", "?window=day", "1.1", "-28d", "\x00"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["version", "at_ms", "slots", "asked", "scheme", "tz", "visit", "marks"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_question_breaks_the_server(
    browser: FlaskClient, questions: list[dict[str, Any]], data: st.DataObject
) -> None:
    one = dict(data.draw(st.sampled_from(questions)))
    for key in ("inputs", "state"):
        one[key] = [{**place, "value": data.draw(anything)} for place in one[key]]
    if data.draw(st.booleans()):
        one[data.draw(st.sampled_from(sorted(one)))] = data.draw(anything)
    assert put(browser, json.dumps(one)).status_code < 500


def test_what_is_nested_deep_is_refused(
    browser: FlaskClient, questions: list[dict[str, Any]]
) -> None:
    deep: Any = None
    for _ in range(400):
        deep = [deep]
    one = {**questions[0]}
    one["state"] = [{**place, "value": deep} for place in one["state"]]
    assert put(browser, json.dumps(one)).status_code == 400
