"""Tables of chaos in the docs: each client has its own, and a run of one leaves the others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from chaos_report import PAGE, Report, put_into_docs


def report(broker: str, doubled: int = 0, control: str = "") -> Report:
    faults = Counter({"stops after poll": 3, "dies before sql COMMIT": 2})
    return Report(broker, "postgresql", 7, control, records=1_000, doubled=doubled, faults=faults)


def test_the_tables_of_one_client_leave_those_of_the_other(tmp_path: Path) -> None:
    page = tmp_path / "guarantees.md"
    page.write_text(PAGE.read_text())
    put_into_docs([report("first"), report("first", 12, "unguarded")], "kafka-python", page)
    put_into_docs([report("second")], "confluent", page)
    put_into_docs([report("third")], "confluent", page)
    said = page.read_text()
    assert "| first + PostgreSQL | on | 5 | 3 | 1,000 | 0 | 0 | 0 | 0 |" in said
    assert "| first + PostgreSQL | **off** (unguarded) | 5 | 3 | 1,000 | 0 | 12 | 0 | 0 |" in said
    assert "second +" not in said
    assert "third +" in said
    assert said.splitlines()[0] == PAGE.read_text().splitlines()[0]
    assert said.splitlines()[-1] == PAGE.read_text().splitlines()[-1]


def test_a_page_without_a_place_for_a_client_is_not_cut(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("words\n")
    with pytest.raises(AssertionError, match="no place for the tables of confluent"):
        put_into_docs([report("x")], "confluent", page)
    assert page.read_text() == "words\n"
