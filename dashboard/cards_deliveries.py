"""What was told of an incident: its messages, and one of them with every attempt as a strip."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dash import html

from dashboard import address, parts
from dashboard import sentences_deliveries as say
from dashboard.look import Look
from dashboard.words import DASH, cut, plural, whole
from monitor.views.delivered import Delivered, Message

# The newest; the page of deliveries has all.
SHOWN = 8
# Attempts of a strip, the last: a message that was asked for again may have dozens.
CELLS = 12


def head(found: Delivered) -> list[Any]:
    """Return the card's head: how many arrived, and the way to all of them."""
    counts = say.count(found.counts)
    return [
        html.H3("Deliveries"),
        html.Span(f"{counts} arrived", className="num") if counts else None,
        html.Div(parts.link("All deliveries", _every(found)), className="head-end"),
    ]


def _every(found: Delivered) -> str:
    """Return the page of deliveries, of the one alert where there is but one."""
    alerts = {one.sent.alert_id for one in found.messages}
    alert = next(iter(alerts)) if len(alerts) == 1 else None
    return address.to("deliveries", alert=alert)


def body(
    found: Delivered,
    asked: int,
    number: int,
    look: Look,
    *,
    is_muted: bool = False,
    is_silenced: bool = False,
) -> Any:
    """Return the messages, and the strip of the one that was asked for, else of the worst.

    `asked` is a delivery's number or 0, `number` the incident's whose page this is.
    """
    if not found.messages:
        why, mend = say.nothing(found, is_muted=is_muted, is_silenced=is_silenced)
        return [
            parts.nothing(why, "bell-off"),
            *([parts.command(mend)] if mend else []),
        ]
    chosen = next((one for one in found.messages if one.sent.id == asked), worst(found.messages))
    year = datetime.fromtimestamp(look.now_ms / 1_000, look.zone).year
    shown = found.messages[-SHOWN:]
    rows = (
        _cards(shown, chosen, number, look, year)
        if look.is_narrow
        else _table(shown, chosen, number, look, year)
    )
    left = len(found.messages) - len(shown)
    more = [html.P(f"and {plural(left, 'earlier one')}", className="more")] if left else []
    return [rows, *more, strip(chosen, look, year)]


def worst(messages: Sequence[Message]) -> Message:
    """Return the message that somebody should look at: lost, failing, then tried most often."""

    def rank(one: Message) -> tuple[bool, bool, bool, int, int]:
        is_lost = one.sent.state == "dead"
        return is_lost, one.is_failing, one.sent.state == "pending", len(one.tried), one.sent.id

    return max(messages, key=rank)


def is_moving(found: Delivered) -> bool:
    """Whether something is still to come: then the page asks again by itself."""
    return any(one.sent.state == "pending" for one in found.messages)


def _link(one: Message, number: int) -> Any:
    return parts.link(
        cut(one.sent.endpoint, 60),
        address.to("incidents", str(number), delivery=one.sent.id),
        className="name",
        title=one.sent.endpoint,
    )


def _table(shown: Sequence[Message], chosen: Message, number: int, look: Look, year: int) -> Any:
    heads = ("Destination", "Event", "State", "Attempts", f"Delivered ({look.zone_word})")
    rows = []
    for one in shown:
        state = say.state(one, look.zone, year, look.now_ms)
        at_ms = one.sent.finished_ms if one.sent.state == "delivered" else None
        rows.append(
            html.Tr(
                [
                    html.Th(_link(one, number), scope="row"),
                    html.Td(html.Code(one.sent.type)),
                    html.Td(parts.status(state.icon, state.word, state.tone)),
                    html.Td(
                        [
                            html.B(whole(one.sent.attempts), className="num"),
                            html.Span(f" {say.codes(one)}", className="codes num"),
                        ]
                    ),
                    html.Td(
                        say.second(at_ms, look.zone, year) if at_ms is not None else DASH,
                        className="num",
                    ),
                ],
                className="on" if one is chosen and len(shown) > 1 else "",
            )
        )
    return html.Div(
        html.Table(
            [
                html.Thead(
                    html.Tr(
                        [
                            html.Th(name, scope="col", className="num" if at == 4 else "")
                            for at, name in enumerate(heads)
                        ]
                    )
                ),
                html.Tbody(rows),
            ],
            className="table sent",
        ),
        className="twin",
        tabIndex=0,
        role="region",
        **{"aria-label": "Messages about this incident"},
    )


def _cards(shown: Sequence[Message], chosen: Message, number: int, look: Look, year: int) -> Any:
    """Return the same as a phone shows it: where, what became of it, when."""
    items = []
    for one in shown:
        state = say.state(one, look.zone, year, look.now_ms)
        at_ms = one.sent.finished_ms or one.sent.created_ms
        items.append(
            html.Li(
                [
                    html.Div([_link(one, number), html.Div(one.sent.type, className="sub")]),
                    parts.status(
                        state.icon,
                        say.word_of(one.tried[-1])
                        if one.sent.state == "delivered" and one.tried
                        else state.word,
                        state.tone,
                    ),
                    html.Span(say.minute(at_ms, 0, look.zone, year), className="num"),
                ],
                className="on" if one is chosen and len(shown) > 1 else "",
            )
        )
    return html.Ul(items, className="sent-rows")


def strip(one: Message, look: Look, year: int) -> Any:
    """Return a message with its attempts: code, how long it took, when; and when the next is."""
    sent, state = one.sent, say.state(one, look.zone, year, look.now_ms)
    cells = say.cells(one, look.zone, year, look.now_ms)
    left = len(cells) - CELLS
    items = [
        html.Li(
            [
                html.I(),
                html.Span([html.B(cell.head), f" {cell.beside}"]),
                html.Span(cell.at, className="num"),
            ],
            className=cell.tone,
            title=cell.told,
        )
        for cell in cells[-CELLS:]
    ]
    words = say.can_be_asked_for(one)
    again = [
        html.Button(
            [parts.icon("rotate-cw" if words == "Try now" else "send"), html.Span(f"{words} ...")],
            type="button",
            className="button",
            **{
                "data-do": "redeliver",
                "data-delivery": str(sent.id),
                "data-endpoint": sent.endpoint,
                "data-was": sent.state,
            },
        )
    ] * bool(words)
    return html.Section(
        [
            html.Header(
                [
                    html.H4(
                        [html.Code(sent.type), " ", parts.icon("arrow-right", 12), " ",
                         html.Span(cut(sent.endpoint, 60))]
                    ),
                    html.Span(
                        ["webhook-id ", html.Code(cut(sent.webhook_id, 24), title=sent.webhook_id)]
                    ),
                    *again,
                ]
            ),
            html.P(state.why) if state.why else None,
            *([parts.command(state.mend)] if state.mend else []),
            html.P(f"{plural(left, 'earlier attempt')} left out.", className="more")
            if left > 0
            else None,
            html.Ol(items, className="strip")
            if items
            else html.P("It was not sent yet.", className="more"),
            _twin(one, look, year) if one.tried else None,
        ],
        className="attempts",
        **{"aria-label": f"Message {sent.id}: every attempt"},
    )  # fmt: skip


def _twin(one: Message, look: Look, year: int) -> Any:
    """Return the strip as a table, with what came back as a sentence."""
    rows = [
        (
            str(each.number),
            html.Span(say.second(each.at_ms, look.zone, year), className="num"),
            cut(each.error or "arrived", 300),
            DASH if each.status is None else str(each.status),
            say.took(each.duration_ms),
        )
        for each in one.tried
    ]
    heads = ("Attempt", f"At ({look.zone_word})", "What came back", "Status", "Took")
    return html.Details(
        [
            html.Summary("Attempts as a table"),
            parts.table(heads, rows, numeric=("Status", "Took")),
        ],
        className="numbers",
    )
