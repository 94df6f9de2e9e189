"""When each model's incidents stood, as bars in lanes: where each lies, and its number. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from dashboard.words import day_text
from monitor.views.episodes import Group

# So many lanes for all models together; a model that needs more than its share of them, or
# than are read at a glance, counts the rest.
ALL_LANES = 24
MOST_LANES, LEAST_LANES = 12, 1
MAX_MODELS = 20
# A bar of a few hours in a year must stay a bar.
MIN_PX = 6
CHARACTER_PX = 7
GAP_PX = 6
TICK_PX = 76


@dataclass(frozen=True)
class Bar:
    """One group: its lane and its spans in percent of the plot; its number stands before them."""

    group: Group
    lane: int
    spans: tuple[tuple[float, float], ...]  # (left, width)
    is_open: bool

    @property
    def left(self) -> float:
        """Where the first span begins."""
        return self.spans[0][0]

    @property
    def right(self) -> float:
        """Where the last span ends."""
        return self.spans[-1][0] + self.spans[-1][1]


@dataclass(frozen=True)
class Row:
    """One model's bars, and how many found no lane."""

    model: str
    bars: tuple[Bar, ...]
    lanes: int
    left_out: int


@dataclass(frozen=True)
class Chart:
    """The rows, and the axis below them as (percent, words); `more` models have no row."""

    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    more: int


def chart(groups: Sequence[Group], from_ms: int, to_ms: int, zone: ZoneInfo, plot_px: int) -> Chart:
    """Return the groups that stood in `[from_ms, to_ms)`, those with open ones on top."""
    span_ms = max(1, to_ms - from_ms)

    def percent(ms: int) -> float:
        return 100 * (ms - from_ms) / span_ms

    by_model: dict[str, list[Group]] = {}
    for group in groups:
        ends = group.resolved_ms if group.resolved_ms is not None else to_ms
        if group.opened_ms < to_ms and ends >= from_ms:
            by_model.setdefault(group.model, []).append(group)
    order = sorted(
        by_model,
        key=lambda name: (
            not any(group.is_open for group in by_model[name]),
            -len(by_model[name]),
            name,
        ),
    )
    least = 100 * MIN_PX / plot_px
    share = ALL_LANES // max(1, min(len(order), MAX_MODELS))
    max_lanes = max(LEAST_LANES, min(MOST_LANES, share))
    rows = []
    for name in order[:MAX_MODELS]:
        spans = {
            group.number: tuple(
                _span(percent(start), percent(end) if end is not None else 100.0, least)
                for start, end in group.spans
                if percent(start) < 100 and (end is None or percent(end) >= 0)
            )
            for group in by_model[name]
        }
        shown = [group for group in by_model[name] if spans[group.number]]
        # What stands is placed first, so that it is never what is left out.
        shown.sort(key=lambda g: (not g.is_open, g.opened_ms, g.number))
        rows.append(_row(name, shown, spans, plot_px, max_lanes))
    return Chart(tuple(rows), ticks(from_ms, to_ms, zone, plot_px), len(order) - len(rows))


def _span(left: float, right: float, least: float) -> tuple[float, float]:
    left = min(max(0.0, left), 100 - least)
    return left, max(least, min(100.0, right) - left)


def _row(
    name: str,
    groups: Sequence[Group],
    spans: dict[int, tuple[tuple[float, float], ...]],
    plot_px: int,
    max_lanes: int,
) -> Row:
    lanes: list[list[tuple[float, float]]] = []
    bars: list[Bar] = []
    left_out = 0
    gap = 100 * GAP_PX / plot_px
    for group in groups:
        own = spans[group.number]
        left, right = own[0][0], own[-1][0] + own[-1][1]
        number = 100 * (len(f"#{group.number}") * CHARACTER_PX + GAP_PX) / plot_px
        # At the left edge the number stands in the gutter before the plot.
        taken = left - number, right
        lane = next(
            (
                at
                for at, busy in enumerate(lanes)
                if all(taken[1] + gap <= low or high + gap <= taken[0] for low, high in busy)
            ),
            len(lanes),
        )
        if lane == max_lanes:
            left_out += 1
            continue
        if lane == len(lanes):
            lanes.append([])
        lanes[lane].append(taken)
        bars.append(Bar(group, lane, own, group.is_open))
    return Row(name, tuple(bars), max(1, len(lanes)), left_out)


def ticks(from_ms: int, to_ms: int, zone: ZoneInfo, plot_px: int) -> tuple[tuple[float, str], ...]:
    """Return the axis: Mondays of a few months, firsts of months of a year, in percent."""
    first = datetime.fromtimestamp(from_ms / 1000, zone).date()
    last = datetime.fromtimestamp(to_ms / 1000, zone).date()
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    mondays = [day for day in days if day.weekday() == 0]
    firsts = [day for day in days if day.day == 1]
    scales = (
        days if len(days) <= 14 else [],
        mondays,
        mondays[::2],
        mondays[::4],
        firsts,
        firsts[::2],
        firsts[::3],
        firsts[::6],
        firsts[::12],
    )
    room = max(2, plot_px // TICK_PX)
    chosen: list[date] = next((s for s in scales if 2 <= len(s) <= room), days[:1])
    found = []
    year = first.year
    for day in chosen:
        at = datetime.combine(day, time(), zone).timestamp() * 1000
        left = 100 * (at - from_ms) / max(1, to_ms - from_ms)
        if 2 <= left <= 97:  # a label at the edge would be cut
            found.append((left, day_text(day, year=year)))
            year = day.year
    return tuple(found)
