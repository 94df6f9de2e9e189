"""A range of time: two dates, and presets that a link keeps as they are (`from=-28d`, `from=all`).

A preset stands in the address in its own words, so that the page moves on with the data;
dates stand there as they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import dash_mantine_components as dmc
from dash import html

from dashboard import address, parts
from dashboard.address import Asked
from monitor.views.scope import DEFAULT_DAYS, FAR_MS, back_from

ALL = "all"
WORDS = {
    "-24h": "24 hours",
    "-7d": "7 days",
    "-28d": "28 days",
    "-90d": "90 days",
    "-365d": "1 year",
    ALL: "Everything",
}
# A range of a handful of windows shows nothing through time.
FROM = {"hour": "-24h", "day": "-7d", "week": "-28d", "4weeks": "-365d"}


@dataclass(frozen=True)
class Preset:
    """A range with a name; `first` and `last` are its days, as ISO dates."""

    key: str
    first: str
    last: str

    @property
    def words(self) -> str:
        """How people call it."""
        return WORDS[self.key]


def back_ms(text: str | None) -> int | None:
    """Return how far back from the newest window a link's `from` reaches; None for an instant.

    >>> back_ms("-28d"), back_ms("2013-02-08")
    (2419200000, None)
    """
    if text == ALL:
        return FAR_MS
    return address.relative_ms(text) if text else None


def offered(length: str, first_ms: int, last_ms: int, zone: ZoneInfo) -> list[Preset]:
    """Return the presets of judged windows from `first_ms` to `last_ms`.

    Those that reach beyond the first window are one: everything.
    """
    last = day_of(last_ms - 1, zone)
    keys = list(WORDS)
    found = []
    for key in keys[keys.index(FROM[length]) :]:
        begin_ms = back_from(length, back_ms(key) or 0, last_ms, zone.key)
        if begin_ms > first_ms or key == ALL:
            found.append(Preset(key, day_of(max(first_ms, begin_ms), zone), last))
    return found


def standing(length: str, presets: Sequence[Preset]) -> str:
    """Return the preset that a page opens with."""
    key = f"-{DEFAULT_DAYS[length]}d" if length in DEFAULT_DAYS else ALL
    return key if any(preset.key == key for preset in presets) else ALL


def chosen(asked: Asked, default: str | None) -> str | None:
    """Return the preset that an address asks for; None for dates of its own.

    `default` is what stands where it asks for no range.
    """
    first, last = asked.text("from"), asked.text("to")
    if first is None and last is None:
        return default
    return first if last is None and first in WORDS else None


def picker(
    first: str,
    last: str,
    presets: Sequence[Preset],
    key: str | None,
    *,
    default: str | None = None,
    label: str = "Range",
) -> Any:
    """Return a picker of days, both included, as ISO dates; it writes `from` and `to`.

    `key` is the preset that is shown, `default` the one that needs no words in the address.
    """
    # Two presets of the same days are told apart by nothing: the shorter one is meant.
    written: dict[str, str | None] = {}
    for preset in presets:
        days = f"{preset.first}/{preset.last}"
        written.setdefault(days, None if preset.key == default else preset.key)
    word = WORDS.get(key or "")
    label_px = len(word) * 7 + 18 if word else 28
    control = dmc.DatePickerInput(
        id={"at": "control", "key": "range", "was": f"{first}/{last}", "default": ""},
        type="range",
        value=[first, last],
        valueFormat="D MMM YYYY",
        size="xs",
        allowSingleDateInRange=True,
        presets=[{"value": [p.first, p.last], "label": p.words} for p in presets] or None,
        leftSection=html.Span(word, className="select-label") if word else parts.icon("calendar"),
        leftSectionWidth=f"{label_px}px",
        leftSectionPointerEvents="none",
        className="range",
        popoverProps={"shadow": "md", "position": "bottom-end"},
        **{"aria-label": f"{label}: {word}" if word else label},
    )
    return html.Div(control, className="range-box", **{"data-presets": json.dumps(written)})


def day_of(ms: int, zone: ZoneInfo) -> str:
    """Return the local day of an instant as an ISO date."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone).date().isoformat()
