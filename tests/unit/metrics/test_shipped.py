"""The alert rules and the dashboard that are shipped use nothing but series that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from typer.testing import CliRunner

from monitor.cli.app import app
from monitor.metrics.names import FAMILIES

ROOT = Path(__file__).parents[3]
FILES = resources.files("monitor.metrics")
RULES: list[dict[str, Any]] = yaml.safe_load(FILES.joinpath("rules.yaml").read_text())["groups"]
BOARD: dict[str, Any] = json.loads(FILES.joinpath("dashboard.json").read_text())
# Of prometheus_client, about the process; Prometheus adds the last two labels itself.
OTHERS = {"process_resident_memory_bytes": set[str]()}
ADDED = {"instance", "job"}
SUFFIXES = ("_bucket", "_sum", "_count")


def expressions() -> Iterator[tuple[str, str]]:
    """Where each expression stands, and itself."""
    for group in RULES:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in BOARD["panels"]:
        for target in panel.get("targets", ()):
            # Grafana puts a duration there.
            yield panel["title"], target["expr"].replace("$__rate_interval", "5m")


EXPRESSIONS = [pytest.param(expr, id=f"{where}: {expr}"[:80]) for where, expr in expressions()]


def parts(node: Any) -> Iterator[Any]:
    """A parsed expression and everything within it."""
    yield node
    for name in ("lhs", "rhs", "expr", "param", "vector_selector", "vs", "args"):
        found = getattr(node, name, None)
        for each in found if isinstance(found, list) else [found]:
            if each is not None and not isinstance(each, str):
                yield from parts(each)


def labels_of(name: str) -> set[str]:
    """The labels that a series has, as Prometheus knows it."""
    if name in OTHERS:
        return OTHERS[name] | ADDED
    for suffix in SUFFIXES:
        base = name.removesuffix(suffix)
        if name != base and base in FAMILIES and FAMILIES[base].kind == "histogram":
            return {*FAMILIES[base].labels, *ADDED, *(["le"] if suffix == "_bucket" else [])}
    return {*FAMILIES[name].labels, *ADDED}


def selectors(expr: str) -> list[Any]:
    return [
        node for node in parts(promql_parser.parse(expr)) if type(node).__name__ == "VectorSelector"
    ]


@pytest.mark.parametrize("expr", EXPRESSIONS)
def test_every_expression_is_promql_of_series_and_labels_that_there_are(expr: str) -> None:
    found = selectors(expr)
    # The parser's tree and the text agree on the names: none was missed on the way down.
    assert {node.name for node in found} == set(re.findall(r"\b(?:driftline|process)_\w+", expr))
    known: set[str] = set()
    for node in found:
        allowed = labels_of(node.name)
        known |= allowed
        for matcher in node.matchers.matchers:
            assert matcher.name in allowed, (node.name, matcher.name)
    for words in re.findall(r"\b(?:by|on|group_left)\s*\(([^)]*)\)", expr):
        for label in filter(None, re.split(r"[,\s]+", words)):
            assert label in known, label


def test_counters_are_read_as_counters_and_gauges_as_gauges() -> None:
    for where, expr in expressions():
        for call in re.findall(r"\b(?:rate|increase)\((\w+)", expr):
            is_counter = call.endswith(("_total", *SUFFIXES))
            assert is_counter, (where, call)
        for call in re.findall(r"\b(?:delta|deriv|min_over_time)\((\w+)", expr):
            assert FAMILIES[call].kind == "gauge", (where, call)


def test_a_wrong_expression_does_not_pass() -> None:
    with pytest.raises(ValueError, match="parenthesis"):
        promql_parser.parse("sum by (topic (driftline_partition_lag_records)")
    with pytest.raises(KeyError):
        labels_of("driftline_no_such_series")


def test_rules_say_how_bad_what_it_is_and_what_to_do() -> None:
    names = [rule["alert"] for group in RULES for rule in group["rules"]]
    assert len(names) == len(set(names)) > 10
    for group in RULES:
        assert set(group) == {"name", "rules"}
        for rule in group["rules"]:
            assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert set(rule["annotations"]) == {"summary", "description"}
            assert re.fullmatch(r"\d+[smh]", rule.get("for", "0s"))
            said = " ".join(rule["annotations"].values())
            for label in re.findall(r"\$labels\.(\w+)", said):
                # What the expression drops, no sentence can name.
                assert label in rule["expr"] or label in ADDED, (rule["alert"], label)
            for words in re.findall(r"`driftline ([a-z -]+)`", said):
                done = CliRunner().invoke(app, [*words.split(), "--help"])
                assert done.exit_code == 0, words


def test_every_series_of_the_table_is_on_the_dashboard() -> None:
    """What nobody looks at need not be told."""
    shown = {node.name for _, expr in expressions() for node in selectors(expr)}
    bases = {re.sub("_(bucket|sum|count)$", "", name) for name in shown}
    assert set(FAMILIES) <= bases | shown


def test_panels_do_not_overlap_and_have_ids_of_their_own() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@pytest.mark.parametrize(
    ("verb", "file"), [("rules", "rules.yaml"), ("dashboard", "dashboard.json")]
)
def test_the_command_prints_the_shipped_file(verb: str, file: str) -> None:
    done = CliRunner().invoke(app, ["metrics", verb])
    assert done.exit_code == 0
    assert done.output == FILES.joinpath(file).read_text()


def test_the_command_prints_the_table() -> None:
    lines = CliRunner().invoke(app, ["metrics", "names"]).output.splitlines()
    assert [re.split(r"[ {]", line)[0] for line in lines] == list(FAMILIES)
