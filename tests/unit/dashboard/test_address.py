"""Addresses: any name survives the way there and back, and a bad query is told, never obeyed."""

from __future__ import annotations

from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import address
from dashboard.address import Asked

NEW_YORK = ZoneInfo("America/New_York")
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(NAMES, NAMES, NAMES)
def test_names_come_back_as_they_went(model: str, feature: str, segment: str) -> None:
    href = address.feature(model, feature, segment=segment)
    parts = urlsplit(href)
    assert address.path_parts(parts.path) == ("models", model, "features", feature)
    assert Asked(parts.query).text("segment") == segment
    assert not set(parts.path) & set("<>\"' ")


@pytest.mark.parametrize("name", [".", "..", "~", "~.", "~~..", "a~b", "%2e%2e", "..."])
def test_names_that_browsers_fold_keep_a_page(name: str) -> None:
    href = address.model(name)
    assert href.rsplit("/", 1)[1] not in (".", "..")
    assert address.path_parts(href) == ("models", name)


def test_what_is_no_address_is_no_place() -> None:
    for value in (None, 3, ["/"], "x" * 100_000):
        assert address.path_parts(value) == ()


def test_a_value_that_is_not_there_is_told_with_what_is() -> None:
    asked = Asked("?window=month&q=a%00b")
    assert asked.choice("window", ("hour", "day"), "day") == "day"
    assert asked.notes == ["The link asks for window 'month'; here is hour and day."]
    assert asked.choice("sort", ("worst", "name"), "worst") == "worst"
    assert len(asked.notes) == 1


@pytest.mark.parametrize(
    ("text", "is_end", "expected"),
    [
        ("2013-02-08T10:15:00Z", False, 1_360_318_500_000),
        ("2013-02-08T05:15:00-05:00", False, 1_360_318_500_000),
        ("2013-02-08", False, 1_360_299_600_000),  # midnight in New York
        ("2013-02-08", True, 1_360_386_000_000),  # the end of that day
        ("-1d", False, 1_360_299_600_000 - 86_400_000),
        ("-2h", False, 1_360_299_600_000 - 7_200_000),
    ],
)
def test_times_are_absolute_dates_or_relative(text: str, is_end: bool, expected: int) -> None:
    asked = Asked(f"from={text.replace('+', '%2B')}")
    found = asked.instant("from", NEW_YORK, now_ms=1_360_299_600_000, is_end=is_end)
    assert found == expected
    assert not asked.notes


@pytest.mark.parametrize(
    "text", ["yesterday", "2013-02-30", "2013-02-08T10:15:00", "9999-12-31", "-9999w", "1e99", "0"]
)
def test_a_time_that_is_none_is_told(text: str) -> None:
    asked = Asked(f"from={text}")
    assert asked.instant("from", NEW_YORK, now_ms=1_360_299_600_000, is_end=True) is None
    assert len(asked.notes) == 1


@given(st.one_of(st.none(), st.integers(), st.text(max_size=200)))
def test_no_query_breaks_the_parser(search: object) -> None:
    asked = Asked(search)
    for key in asked.values():
        asked.text(key)
        asked.number(key, 0, 9, 1)
        asked.instant(key, NEW_YORK, now_ms=0)
