"""What people did about an incident, and the buttons for it: `assets/handling.js` does the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from dash import html

from dashboard import parts
from dashboard.words import cut, moment
from monitor.storage.notes import Handling, Note
from monitor.views.episodes import Group
from monitor.views.handled import Handled

# Values that a dialog offers of a group that has more.
OFFERED = 40
VERDICTS = {"useful": ("thumbs-up", "Useful"), "noise": ("thumbs-down", "Noise")}
# Icon, and what follows the name, by action.
SAYS = {
    "acknowledged": ("user", "acknowledged it"),
    "given back": ("user", "gave it back"),
    "assigned": ("user", "assigned it to"),
    "commented": ("message-square", "said:"),
    "useful": ("thumbs-up", "found it useful"),
    "noise": ("thumbs-down", "found it noise"),
    "unjudged": ("message-square", "took the verdict back"),
}


def about(group: Group, number: int, handled: Handled, title: str = "") -> dict[str, Any]:
    """Return what a dialog must know of a problem; `title` names it where there are several."""
    told = group.told
    return {
        "number": number,
        "title": title,
        "model": group.model,
        "version": group.version,
        "features": _distinct([i.feature for i in told if i.feature]),
        "kinds": _distinct([i.kind for i in told]),
        "segments": _distinct([i.segment for i in told]),
        "assignee": handled.handling.assignee,
        "silence": handled.silence.number if handled.silence is not None else None,
    }


def many() -> Any:
    """Return the buttons for all that is selected in a list, and where that is counted."""
    return [
        html.Span(id="incidents-selected", className="selected", role="status"),
        _button("acknowledge-many", "Acknowledge", "check"),
        _button("silence-many", "Silence ...", "bell-off"),
    ]


def box(group: Group, handled: Handled, title: str) -> Any:
    """Return what selects one of a phone's list; only what stands can be looked after."""
    return html.Button(
        parts.icon("check", 16),
        type="button",
        role="checkbox",
        className="pick",
        **{
            "aria-checked": "false",
            "aria-label": f"Select #{group.number}",
            "data-pick": json.dumps(about(group, group.number, handled, title)),
        },
    )


def actions(group: Group, number: int, handled: Handled) -> Any:
    """Return the buttons at the head of an incident's page; of one that is over fewer."""
    has = handled.handling.acknowledged is not None
    buttons = []
    if group.is_open:
        words = (
            ("give-back", "Give back", "undo-2") if has else ("acknowledge", "Acknowledge", "check")
        )
        buttons += [_button(*words), _button("assign", "Assign", "user", is_minor=True)]
        buttons.append(_button("silence", "Silence ...", "bell-off"))
    buttons.append(_button("comment", "Comment", "message-square", is_minor=group.is_open))
    return html.Div(
        buttons,
        className="choices incident-actions",
        **{"data-about": json.dumps(about(group, number, handled))},
    )


def standing(handled: Handled, zone: ZoneInfo, zone_word: str, year: int | None) -> Any:
    """Return who looks after it and what keeps it quiet; None where there is nothing to say."""
    done, silence = handled.handling, handled.silence
    items = []
    if done.acknowledged is not None:
        at = f"since {moment(done.acknowledged.at_ms, zone, year=year)} {zone_word}"
        items.append(html.Li([
            parts.icon("check"),
            html.Span(["Acknowledged by ", html.B(cut(done.acknowledged.by, 60)), f" {at}"]),
        ]))  # fmt: skip
    if done.assignee:
        items.append(
            html.Li(
                [parts.icon("user"), html.Span(["Assigned to ", html.B(cut(done.assignee, 60))])]
            )
        )
    if silence is not None:
        until = f"{moment(silence.end_ms, zone, year=year)} {zone_word}"
        why = f": {cut(silence.reason, 120)}" if silence.reason else ""
        items.append(html.Li([
            parts.icon("bell-off"),
            html.Span([f"Silenced until {until} by ", html.B(cut(silence.by, 60)), why]),
            html.Button("End it", type="button", className="button", **{"data-do": "end-silence"}),
        ]))  # fmt: skip
    return html.Ul(items, className="handled") if items else None


def rated(handling: Handling) -> Any:
    """Return the two buttons that say whether it was worth the message; pressed again, none."""
    buttons = [
        html.Button(
            [parts.icon(icon), html.Span(word)],
            type="button",
            className="button",
            **{
                "data-do": "feedback",
                "data-verdict": "none" if handling.feedback == verdict else verdict,
                "aria-pressed": "true" if handling.feedback == verdict else "false",
            },
        )
        for verdict, (icon, word) in VERDICTS.items()
    ]
    return html.Div([html.Span("Was it worth a message?"), *buttons], className="rated")


def lines(notes: Sequence[Note]) -> list[tuple[int, str, Any]]:
    """Return what people did as lines of a history: (wall time, icon, words)."""
    return [(note.at_ms, SAYS[note.action][0], _said(note)) for note in notes]


def owner(group: Group, handled: Handled) -> str:
    """Return who has it: whom it was assigned to, else who acknowledged it.

    "nobody yet" while it stands and nobody has, "" once it is over.
    """
    done = handled.handling
    if done.assignee:
        return cut(done.assignee, 40)
    if done.acknowledged is not None:
        return cut(done.acknowledged.by, 40)
    return "nobody yet" if group.is_open and not group.is_muted else ""


def silenced_word(handled: Handled) -> str:
    """Return that nobody is told, as short as a cell is; "" where it is told."""
    return "silenced" if handled.silence is not None else ""


def _said(note: Note) -> Any:
    _, words = SAYS[note.action]
    text = note.text
    if note.action == "assigned" and not text:
        words = "took the assignment back"
    said: list[Any] = [html.B(cut(note.by, 60)), f" {words}"]
    if note.action == "assigned" and text:
        said += [" ", html.B(cut(text, 60))]
    elif text:
        said += [" ", html.Span(text, className="said")]
    return said


def _distinct(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))[:OFFERED]


def _button(what: str, words: str, icon: str, *, is_minor: bool = False) -> Any:
    return html.Button(
        [parts.icon(icon), html.Span(words)],
        type="button",
        className="button minor" if is_minor else "button",
        **{"data-do": what},
    )
