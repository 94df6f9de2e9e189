"""Presets of a range: which are offered, what they write, which one is shown."""

from __future__ import annotations

import doctest
import json
from zoneinfo import ZoneInfo

import pytest

from dashboard import ranges
from dashboard.address import Asked
from monitor.windows.calendar import window_of

NEW_YORK = ZoneInfo("America/New_York")
DAY_MS = 86_400_000
LAST_MS = window_of(1_388_500_000_000, "day", NEW_YORK.key).end_ms  # the end of 2013


def offered(length: str, days: int) -> list[str]:
    presets = ranges.offered(length, LAST_MS - days * DAY_MS, LAST_MS, NEW_YORK)
    return [preset.key for preset in presets]


def test_the_examples_are_true() -> None:
    assert doctest.testmod(ranges).failed == 0


@pytest.mark.parametrize(
    ("length", "days", "keys"),
    [
        ("hour", 400, ["-24h", "-7d", "-28d", "-90d", "-365d", "all"]),
        ("day", 400, ["-7d", "-28d", "-90d", "-365d", "all"]),
        ("day", 40, ["-7d", "-28d", "all"]),
        ("week", 100, ["-28d", "-90d", "all"]),
        ("day", 3, ["all"]),
    ],
)
def test_only_presets_that_make_sense_are_offered(length: str, days: int, keys: list[str]) -> None:
    assert offered(length, days) == keys


def test_a_preset_has_as_many_days_as_it_says() -> None:
    found = ranges.offered("day", LAST_MS - 400 * DAY_MS, LAST_MS, NEW_YORK)
    assert [(p.first, p.last) for p in found[:3]] == [
        ("2013-12-25", "2013-12-31"),
        ("2013-12-04", "2013-12-31"),
        ("2013-10-03", "2013-12-31"),  # the clock was changed meanwhile
    ]


def test_a_page_opens_with_a_preset_or_with_everything() -> None:
    for length, days, key in (
        ("day", 400, "-90d"), ("hour", 400, "-7d"), ("week", 400, "all"), ("day", 9, "all"),
    ):  # fmt: skip
        presets = ranges.offered(length, LAST_MS - days * DAY_MS, LAST_MS, NEW_YORK)
        assert ranges.standing(length, presets) == key


@pytest.mark.parametrize(
    ("search", "key"),
    [
        ("", "-90d"),
        ("?from=-28d", "-28d"),
        ("?from=all", "all"),
        ("?from=-3d", None),
        ("?from=-28d&to=2013-02-01", None),
        ("?from=2013-02-01&to=2013-03-01", None),
    ],
)
def test_the_preset_of_an_address_is_named(search: str, key: str | None) -> None:
    assert ranges.chosen(Asked(search), "-90d") == key


def test_days_of_a_preset_are_written_as_the_preset() -> None:
    presets = ranges.offered("day", LAST_MS - 400 * DAY_MS, LAST_MS, NEW_YORK)
    box = ranges.picker("2013-12-04", "2013-12-31", presets, "-28d", default="-90d")
    written = json.loads(getattr(box, "data-presets"))
    assert written["2013-12-04/2013-12-31"] == "-28d"
    assert written["2013-10-03/2013-12-31"] is None  # the one that needs no words
    assert "28 days" in str(box.children.leftSection)
