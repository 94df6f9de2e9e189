"""A request for a retraining on a page: its steps, the run, what it changed; and its history."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from dash import html

from dashboard import address, gantt, parts
from dashboard import sentences_retraining as say
from dashboard.look import Look
from dashboard.sentences_incidents import version_tag
from dashboard.words import cut, moment, plural
from monitor.storage.retrain_rows import Retrain
from monitor.views.retrained import Effect

MARKS = {"done": "check", "now": "rotate-cw", "bad": "circle-x", "ahead": ""}
TONES = {"run": "accent"}
# What is listed of earlier requests.
SHOWN = 6
PLOT_PX = 420


def stepper(one: Retrain, look: Look, year: int | None) -> Any:
    """Return the five steps in a row, each with its time; below each other on a phone."""
    items = [
        html.Li(
            [
                html.Span(
                    parts.icon(MARKS[step.tone], 12) if MARKS[step.tone] else None,
                    className="step-mark",
                ),
                html.B(step.word),
                html.Span(step.at, className="num"),
                html.Span({"now": ", now", "ahead": ", to come"}.get(step.tone, ""),
                          className="sr"),
            ],
            className=step.tone,
            title=cut(step.told, 300),
        )
        for step in say.steps(one, look.zone, year)
    ]  # fmt: skip
    return html.Ol(items, className="retrain-steps")


def status(one: Retrain, look: Look) -> Any:
    """Return how a request stands, as a word with its colour."""
    found = say.standing(one, look.now_ms)
    return parts.status(found.icon, found.word, TONES.get(found.tone, found.tone))


def run(one: Retrain) -> Any:
    """Return the run that trains: its trainer, its id, and the way to its page."""
    said: list[Any] = [html.B(cut(one.trainer, 60))]
    if one.run is not None and one.run.id:
        said += [", run ", html.Code(cut(one.run.id, 60), title=cut(one.run.id, 300))]
    url = one.run.url if one.run is not None else None
    # What a trainer names is data: only what a browser opens as a page is a link.
    if url is not None and url.startswith(("https://", "http://")):
        said += [
            " ",
            html.A(
                "open the run", href=url, target="_blank", rel="noopener noreferrer",
                title=cut(url, 300),
            ),
        ]  # fmt: skip
    return html.P(said, className="run")


def card(
    found: Sequence[Retrain], effect: Effect | None, look: Look, year: int | None, zone: ZoneInfo
) -> list[Any]:
    """Return the newest request with what it changed, and the earlier ones as a list."""
    one, *earlier = found
    return [
        html.Div(
            [status(one, look), parts.link(f"Request {one.id}", address.to("retrains", one.id))],
            className="retrain-line",
        ),
        html.P(say.standing(one, look.now_ms).said, className="retrain-said"),
        None if one.is_dry_run else stepper(one, look, year),
        None if one.is_dry_run else run(one),
        *(changed(effect, one, zone) if effect is not None else []),
        history(earlier, look, year) if earlier else None,
    ]


def history(found: Sequence[Retrain], look: Look, year: int | None) -> Any:
    """Return earlier requests, a line each."""
    items = [
        html.Li(
            [
                html.Span(moment(one.requested_ms, look.zone, year=year), className="num"),
                status(one, look),
                parts.link(f"Request {one.id}", address.to("retrains", one.id)),
            ]
        )
        for one in found[:SHOWN]
    ]
    left = len(found) - SHOWN
    if left > 0:
        items.append(html.Li(f"and {plural(left, 'earlier one')}", className="more"))
    return html.Div([html.H4("Before it"), html.Ul(items, className="retrain-list")])


def changed(effect: Effect, one: Retrain, zone: ZoneInfo) -> list[Any]:
    """Return what a retraining changed: drifted features before and after, and three numbers."""
    if effect.before.drifted is None:
        return []
    heads, rows = say.table(effect)
    return [
        bars(effect, one, zone),
        parts.table(heads, rows, numeric=heads[1:]),
    ]


def bars(effect: Effect, one: Retrain, zone: ZoneInfo) -> Any:
    """Return the drifted features of each window, with the request and the new version as lines."""
    after = effect.after.windows if effect.after is not None else ()
    windows = [*((w, "") for w in effect.before.windows), *((w, "new") for w in after)]
    if not windows:
        return None
    from_ms, to_ms = windows[0][0].start_ms, windows[-1][0].end_ms
    span = max(1, to_ms - from_ms)
    most = max(3, max(window.drifted for window, _ in windows))

    def left(ms: int) -> float:
        return round(100 * (ms - from_ms) / span, 2)

    drawn = [
        html.I(
            className=kind,
            style={
                "left": f"{left(window.start_ms)}%",
                "width": f"{max(0.4, left(window.end_ms) - left(window.start_ms) - 0.4):.2f}%",
                "height": f"{100 * window.drifted / most:.0f}%",
            },
        )
        for window, kind in windows
        if window.drifted
    ]
    marks = []
    if from_ms <= effect.asked_ms <= to_ms:
        marks.append(_mark("asked", left(effect.asked_ms), "retrain"))
    if effect.took_over_ms is not None:
        version = effect.after.version if effect.after is not None else ""
        marks.append(
            _mark("live", left(effect.took_over_ms), f"{version_tag(cut(version, 16))} live")
        )
    ticks = gantt.ticks(from_ms, to_ms, zone, PLOT_PX)
    return html.Div(
        [
            html.Div([html.Span(str(most)), html.Span("0")], className="bars-scale"),
            html.Div([*drawn, *marks], className="bars-plot"),
            html.Div(
                [html.Span(words, style={"left": f"{at:.1f}%"}) for at, words in ticks],
                className="bars-axis",
            ),
        ],
        className="drift-bars",
        role="img",
        **{
            "aria-label": f"Features drifted by day: "
            f"{say.effect_words(effect, is_live=one.live_version is not None) or 'so far'}"
        },
    )


def _mark(kind: str, left: float, words: str) -> Any:
    side = "before" if (left > 50 and kind == "asked") or left > 80 else ""
    return html.Span(
        html.Em(words), className=f"bars-mark {kind} {side}".strip(), style={"left": f"{left}%"}
    )


def events(one: Retrain, look: Look, year: int | None) -> Any:
    """Return all that became of a request, with who said so."""
    icons = {
        "requested": "send", "accepted": "check", "running": "rotate-cw",
        "succeeded": "circle-check", "live": "rocket", "failed": "octagon-alert",
        "expired": "clock", "basis_withdrawn": "undo-2",
    }  # fmt: skip
    tones = {"succeeded": "ok", "live": "ok", "failed": "crit", "expired": "crit"}
    items = []
    for event in one.events:
        word = say.WORDS.get(event.state, event.state.replace("_", " ").capitalize())
        items.append(
            html.Li(
                [
                    html.Span(moment(event.at_ms, look.zone, year=year), className="num"),
                    parts.icon_in(
                        icons.get(event.state, "message-square"), tones.get(event.state, "idle")
                    ),
                    html.Div(
                        [
                            html.Span([html.B(word), f" by {cut(event.actor, 60)}"]),
                            html.Div(cut(event.words, 400), className="sub said")
                            if event.words
                            else None,
                        ]
                    ),
                ]
            )
        )
    return html.Ol(items, className="timeline wide-times")
