"""What a back-test would have told stands in lines, by segment, whatever there is of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from driftline.answers import Backtest, Counted, Tried, TriedSegment
from monitor.cli.monitor import SHOWN, tried_lines

START, END = datetime(2013, 2, 1, tzinfo=UTC), datetime(2013, 12, 31, tzinfo=UTC)


def tried(*segments: TriedSegment, **given: Any) -> Backtest:
    before, after = (Counted(sum(getattr(s, of) for s in segments)) for of in ("before", "after"))
    told: dict[str, Any] = {
        "windows": 26_000, "same": sum(s.same for s in segments), "gone": (), "new": (),
        "left_out": (),
    } | given  # fmt: skip
    return Backtest(
        model="flight-delay", version="1", start=START, end=END, before=before, after=after,
        segments=segments, **told,
    )  # fmt: skip


def incident(segment: str, **given: Any) -> Tried:
    told: dict[str, Any] = {
        "number": 12, "statistic": "", "length": "", "value": None, "limit": None
    } | given  # fmt: skip
    return Tried(
        segment=segment, feature="temp", kind="distribution", severity="warning", opened=START,
        resolved=None, **told,
    )  # fmt: skip


def test_each_segment_has_its_difference_and_each_incident_its_segment() -> None:
    new = incident("all", number=None, statistic="ks", length="day", value=0.21, limit=0.15)
    lines = tried_lines(
        tried(
            TriedSegment("all", 6_729, 20, 21, 20), TriedSegment("origin=JFK", 6_728, 6, 6, 6),
            TriedSegment("origin=E\x1b[2J", 6_728, 5, 4, 4),
            gone=(incident("origin=E\x1b[2J"),), new=(new,),
        )
    )  # fmt: skip
    assert lines == [
        "flight-delay 1, 2013-02-01 to 2013-12-31, 26,000 windows judged so:",
        "  incidents: 31 instead of 31, 30 the same",
        "    all rows         21 instead of 20, 20 the same",
        "    origin=E\\x1b[2J  4 instead of 5, 4 the same",
        "    origin=JFK       6 instead of 6, 6 the same",
        "  - #12 temp distribution in origin=E\\x1b[2J, warning, 2013-02-01 still open",
        "  + temp distribution, warning, 2013-02-01 still open, ks 0.21 of 0.15",
    ]


def test_a_version_of_which_nothing_was_judged_is_said_to_have_no_windows() -> None:
    for segments in ((), (TriedSegment("all", 0, 0, 0, 0),)):
        lines = tried_lines(tried(*segments, windows=0))
        assert lines == ["flight-delay 1: no window is stored yet to try this on"]


def test_what_was_not_tried_is_named_and_what_is_not_shown_counted() -> None:
    parts = [TriedSegment(f"site={n}", 9, 1, 1, 1) for n in range(SHOWN + 2)]
    parts[-1] = TriedSegment("site=last", 9, 1, 0, 0)
    lines = tried_lines(
        tried(TriedSegment("all", 9, 0, 0, 0), *parts, left_out=("site=x", "site=y", "site=z"))
    )
    # Those that change come first: none of them is among those that are counted.
    assert lines[3].split() == ["site=last", "0", "instead", "of", "1,", "0", "the", "same"]
    assert lines[-2:] == [
        "    2 more segments: --json lists them",
        "  not tried: site=x and 2 more, as one back-test judges so much at most; --try SEGMENT "
        "tries them",
    ]


def test_hours_that_were_added_up_to_days_are_said_not_to_be_tried() -> None:
    since = datetime(2013, 6, 1, 4, tzinfo=UTC)
    assert tried_lines(tried(TriedSegment("all", 9, 0, 0, 0), hours_from=since))[-1] == (
        "  hours are tried from 2013-06-01 04:00 UTC on: older ones were added up to days "
        "(retention.hours_days), and what they alone had told counts as gone"
    )
