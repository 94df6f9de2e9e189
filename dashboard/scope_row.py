"""The row of choices over a page of one model: version, segment, window, range.

A model's page and its features' pages are asked for in the same words, so the row reads
them, and draws them, for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from dash import html

from dashboard import parts, ranges
from dashboard.look import Look
from dashboard.sentences_incidents import version_tag
from driftline.stats.lengths import SPAN
from monitor.storage import reads
from monitor.views.scope import ALL, Scope, resolve

KEYS = ("version", "segment", "window", "from", "to")


def read(look: Look, model: str, *, around_ms: int | None = None) -> Scope:
    """Return what the address asks for; what is not there is replaced, and said in its notes.

    `around_ms` moves a range that nobody asked for, so that it holds the instant.

    Raises
    ------
    NoSuch
        There is no such model.
    """
    asked, conn = look.asked, look.conn
    zone = look.model_zone or ZoneInfo("UTC")
    data_ms = reads.watermark_ms(conn) or look.now_ms
    back_ms = ranges.back_ms(asked.text("from"))
    wish: dict[str, Any] = {
        "version": asked.text("version"),
        "segment": asked.text("segment"),
        "length": asked.text("window"),
        "from_ms": None if back_ms is not None else asked.instant("from", zone, now_ms=data_ms),
        "to_ms": asked.instant("to", zone, now_ms=data_ms, is_end=True),
        "back_ms": back_ms,
    }

    def resolved(around_ms: int | None) -> tuple[Scope, tuple[str, ...]]:
        return look.cached(
            ("scope", model, *wish.values(), around_ms),
            lambda: resolve(conn, model, **wish, around_ms=around_ms),
        )

    scope, notes = resolved(None)
    is_elsewhere = around_ms is not None and not scope.from_ms <= around_ms < scope.to_ms
    if is_elsewhere and scope.is_default_range:
        scope, notes = resolved(around_ms)
    asked.notes.extend(notes)
    return scope


def slots(page: str) -> dict[str, tuple[str, str]]:
    """Return the row's slots on the page of that name.

    Two, as another range leaves the lists alone: drawing them again would make its click wait.
    """
    return {
        "choices": (f"{page}-choices", "children"),
        "range": (f"{page}-range", "children"),
    }


def skeleton(page: str) -> Any:
    """Return the row before it is read."""
    return html.Div(
        [
            html.Div(id=f"{page}-choices", className="choices"),
            html.Div(id=f"{page}-range", className="choices"),
        ],
        className="controls",
    )


def controls(look: Look, scope: Scope) -> dict[str, Any]:
    """Return what the row's slots hold."""
    versions = {v.name: version_tag(v.name) for v in scope.model.versions}
    segments = {name: "all rows" if name == ALL else name for name in scope.segments}
    segments.setdefault(scope.segment, scope.segment)
    lengths = {name: SPAN[name] for name in scope.lengths}
    default = "day" if "day" in lengths else next(iter(lengths))
    choices = [
        parts.select("version", scope.version.name, versions, "Version"),
        parts.select("segment", scope.segment, segments, "Segment", ALL),
        parts.select("window", scope.length, lengths, "Window", default),
    ]
    return {"choices": choices, "range": _range(look, scope) if scope.is_judged else []}


def carried(look: Look, keys: Sequence[str] = KEYS) -> dict[str, str]:
    """Return what of the address goes on into links; `from_` stands for `from`."""
    kept = {key: value for key in keys if (value := look.asked.text(key))}
    if "from" in kept:
        kept["from_"] = kept.pop("from")
    return kept


def _range(look: Look, scope: Scope) -> Any:
    """Return the picker of days, with the presets that this length of windows has."""
    assert scope.since_ms is not None and scope.last_ms is not None
    presets = ranges.offered(scope.length, scope.since_ms, scope.last_ms, scope.zone)
    default = ranges.standing(scope.length, presets)
    key = ranges.chosen(look.asked, default if scope.is_default_range else None)
    last_ms = max(scope.from_ms, scope.to_ms - 1)
    return ranges.picker(
        ranges.day_of(scope.from_ms, scope.zone), ranges.day_of(last_ms, scope.zone), presets, key,
        default=default,
    )  # fmt: skip
