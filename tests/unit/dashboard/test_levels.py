"""The table of categories: a value stands in one row, and no count is told twice."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from plotly.io.json import to_json_plotly

from dashboard import cards_feature as cards
from monitor.views.compared import Level


def made(n_rare: int, **given: Any) -> Any:
    """A window in which `n_rare` of 15 known values share a group with all others."""
    levels = [
        Level(f"v{at}", "level", 60 - at, 60 - at, (60 - at) / 1_000, (60 - at) / 1_000,
              None if at >= 15 - n_rare else 0.05)
        for at in range(15)
    ]  # fmt: skip
    levels += [Level("other", "other", 205, 205, 0.205, 0.205, None if n_rare else 0.0)]
    return SimpleNamespace(
        levels=levels, groups=(SimpleNamespace(),), is_hashed=False, vanished=(), new_values=(),
        **given,
    )  # fmt: skip


def table(of: Any, **given: Any) -> dict[str, str]:
    """What each row says of its part of the PSI, by its name; and what the button says."""
    sent = json.loads(to_json_plotly(cards.levels(of, "share", "15 May", is_all=True, **given)))
    rows = next(part for part in sent if part["type"] == "Table")["props"]["children"][1]
    found = {}
    for row in rows["props"]["children"]:
        cells = row["props"]["children"]
        found[cells[0]["props"]["children"]["props"]["children"]] = cells[-1]["props"]["children"]
    return found


def test_a_value_that_shares_a_group_says_so_and_the_group_has_one_row() -> None:
    found = table(made(5))
    assert found[cards.TOGETHER].startswith("50")
    assert {found[f"v{at}"] for at in range(10, 15)} == {"together"}
    assert found["Other known values"] == "together"
    assert "together" not in {found[f"v{at}"] for at in range(10)}


def test_without_a_shared_group_nothing_is_together() -> None:
    assert cards.TOGETHER not in table(made(0))
    assert "together" not in table(made(0)).values()


def test_the_button_counts_rows_not_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "LEVELS_SHOWN", 12)
    sent = json.loads(to_json_plotly(cards.levels(made(5), "share", "15 May", is_all=False)))
    words = [part["props"]["children"] for part in sent if part["type"] == "Button"]
    assert words == ["Show all 17 rows"]
