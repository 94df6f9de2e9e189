"""The API keeps what its description promises, whatever is asked that it allows, or does not.

Schemathesis makes requests from the description and compares each answer with it: no server
error, no status or media type that is not described, no body that breaks its schema. A
living database is behind it, and what is there is asked for as well as what may be. The same
requests are made each time.
"""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import living_database
import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import FailedHealthCheck, Unsatisfiable
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode, checks
from schemathesis.core.failures import FailureGroup

from driftline.delivering import Delivery
from monitor.api.app import create_app
from monitor.cli.broker import EmbeddedBroker, ensure_topic
from monitor.clock import HeldClock
from monitor.storage import engine as storage

# For each operation; all of them take half a minute of an idle machine.
EXAMPLES = {GenerationMode.POSITIVE: 10, GenerationMode.NEGATIVE: 4}
checks.load_all_checks()
CHECKS = checks.CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
)
# What is in the living database: most requests should find something.
THERE = {
    "model": ["parcel-delay", "taxi-out", "gate-hold"],
    "name": ["parcel-delay", "taxi-out"],
    "version": ["1", "2"],
    "vs_version": ["1", "2"],
    "feature": ["weight", "carrier", "temperature", "promo", "prediction"],
    "segment": ["all", "depot=Ulm", "*"],
    "topic": ["driftline.events"],
    "from": ["2026-05-02T22:00:00Z"],
    "to": ["2026-05-08T22:00:00Z"],
    "vs_from": ["2026-05-01T22:00:00Z"],
    "vs_to": ["2026-05-05T22:00:00Z"],
    "number": [1, 2],
    "cursor": ["WzFd"],
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, living_file: Path) -> Iterator[FastAPI]:
    target = tmp_path_factory.mktemp("described") / "living.db"
    shutil.copyfile(living_file, target)
    engine = storage.create(f"sqlite:///{target}")
    with EmbeddedBroker(0) as broker:
        ensure_topic(broker.bootstrap, "driftline.events")
        with Delivery(broker.bootstrap, "driftline.events") as delivery:
            yield create_app(
                engine,
                with_dashboard=False,
                clock=HeldClock(living_database.NOW_MS),
                delivery=delivery,
            )
    engine.dispose()


@pytest.fixture
def document(app: FastAPI) -> dict[str, Any]:
    """What the API says of itself."""
    return copy.deepcopy(app.openapi())


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation with its name."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def parameters(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each parameter with the name of its operation."""
    for label, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            yield label, parameter


@dataclass
class Asked:
    """What came of asking everything: complaints, and how often each status was the answer."""

    broken: list[str]
    statuses: Counter[int]


def ask_everything(app: FastAPI, document: dict[str, Any], mode: GenerationMode) -> Asked:
    """Make requests for each operation of the document and compare the answers with it."""
    schema: Any = schemathesis.openapi.from_dict(document)
    schema.app = app
    asked = Asked([], Counter())
    for found in schema.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=EXAMPLES[mode], derandomize=True, database=None, deadline=None,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            response = case.call(headers={"host": "127.0.0.1"}, base_url="http://127.0.0.1:8050")
            asked.statuses[response.status_code] += 1
            case.validate_response(response, checks=CHECKS)

        try:
            # An operation without parameters cannot be asked wrongly.
            with contextlib.suppress(Unsatisfiable, FailedHealthCheck):
                ask()
        except FailureGroup as error:
            asked.broken.append(f"{operation.label}: {error.exceptions[0]}")
    return asked


def test_what_is_allowed_is_answered_as_described(app: FastAPI, document: dict[str, Any]) -> None:
    for _, parameter in parameters(document):
        if parameter["name"] in THERE:
            there = {"enum": THERE[parameter["name"]]}
            parameter["schema"] = {"anyOf": [there, parameter["schema"]]}
    asked = ask_everything(app, document, GenerationMode.POSITIVE)
    assert not asked.broken, "\n".join(asked.broken)
    assert asked.statuses[200] > 100
    assert asked.statuses[404] > 20


def test_what_is_not_allowed_is_a_described_problem(app: FastAPI, document: dict[str, Any]) -> None:
    asked = ask_everything(app, document, GenerationMode.NEGATIVE)
    assert not asked.broken, "\n".join(asked.broken)
    assert asked.statuses[422] > 30


def test_an_answer_that_is_not_described_is_found(app: FastAPI, document: dict[str, Any]) -> None:
    label = "/api/v1/models/{name}"
    document["paths"] = {label: document["paths"][label]}
    del document["paths"][label]["get"]["responses"]["404"]
    asked = ask_everything(app, document, GenerationMode.POSITIVE)
    assert len(asked.broken) == 1
    assert "404" in asked.broken[0]


def test_everything_is_described_in_words_and_with_examples(document: dict[str, Any]) -> None:
    for label, operation in operations(document):
        assert operation["summary"], label
        assert operation["tags"], label
        assert operation["description"], label
    for label, parameter in parameters(document):
        assert parameter["description"], (label, parameter["name"])
        examples = parameter["schema"].get("examples")
        assert examples, (label, parameter["name"])
        for example in examples:
            Draft202012Validator(parameter["schema"]).validate(example)
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names))
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            assert described.get("description"), (name, field)


def test_every_problem_is_a_problem_document(document: dict[str, Any]) -> None:
    reference = {"$ref": "#/components/schemas/Problem"}
    problem = document["components"]["schemas"]["Problem"]
    seen = set()
    for label, operation in operations(document):
        for status, response in operation["responses"].items():
            if not status.startswith(("4", "5")):
                continue
            seen.add(status)
            (media,) = response["content"].items()
            assert media[0] == "application/problem+json", (label, status)
            assert media[1]["schema"] == reference
            Draft202012Validator(problem).validate(media[1]["example"])
    assert seen == {"400", "401", "403", "404", "409", "413", "415", "421", "422", "503"}
