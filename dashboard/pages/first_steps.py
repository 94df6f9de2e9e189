"""What to type next, until the first event was counted: commands of this very installation.

With nothing registered the first step is the reference; once there is one, its step is
ticked and the snippet is its model's own. The page goes away by itself: the router shows the
list of models as soon as an event was counted. Every command here exists and is run by a test.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dash import html

from dashboard import address, commands, parts
from dashboard.commands import EXAMPLE, MODEL, VERSION, Installation
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.pages.refreshing import refreshing
from dashboard.words import cut, duration, plural, whole
from driftline.program import command
from monitor.views import pipeline as view
from monitor.views.awaited import Awaited, awaited
from monitor.views.pipeline import Missing, Pipeline, State

# Soon enough for somebody who has just pressed Enter.
REFRESH_S = 3
DIALECTS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
MAX_WAITING = 5

SLOTS = {
    "title": ("first-title", "children"),
    "lead": ("first-lead", "children"),
    "step": ("first-step", "className"),
    "register": ("first-register", "children"),
    "send": ("first-send", "children"),
    "sent": ("first-sent", "children"),
    "checks": ("first-checks", "children"),
}


def skeleton() -> Any:
    """Return the page before it is read."""
    steps = [
        html.Li(
            [html.H3("Register its training data as a reference"), html.Div(id="first-register")],
            id="first-step",
        ),
        html.Li(
            [
                html.H3("Log predictions to Kafka"),
                html.Div(id="first-send"),
                html.P(html.Span(id="first-sent")),
            ]
        ),
        html.Li(
            [
                html.H3("See that they are counted"),
                parts.command(command("status")),
                html.P("The same numbers as here, from the shell; it works without the server."),
            ]
        ),
    ]
    return html.Div(
        [
            refreshing(REFRESH_S),
            html.H1("Nothing is monitored yet", id="first-title"),
            html.P(id="first-lead", className="lead", role="status"),
            html.Div(
                [
                    html.Section([html.H2("Your model"), html.Ol(steps)], className="card"),
                    html.Div([_demo(), _installation()], className="side"),
                ],
                className="steps",
            ),
        ],
        className="first",
    )


def _demo() -> Any:
    return html.Section(
        [
            html.H2("Just looking?"),
            html.P(
                "A year of real flights, a real model, real incidents. It takes a minute or two."
            ),
            parts.command(command("demo")),
        ],
        className="card",
    )


def _installation() -> Any:
    return html.Section(
        [html.H2("This installation"), html.Div(parts.skeleton(3), id="first-checks")],
        className="card",
    )


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold."""
    found = view.read(
        look.conn,
        now_ms=look.now_ms,
        checkpoint_interval_s=look.checkpoint_interval_s,
        n_letters=1,
    )
    here = commands.installation(found.topics)
    waiting = [m for m in found.deficits if not m.is_registered]
    ready = awaited(look.conn)
    return {
        "title": title(found, waiting, ready),
        "lead": lead(found, waiting, ready),
        "step": "done" if ready else "",
        "register": registered(ready) if ready else register_steps(waiting, here),
        "send": parts.command(commands.snippet(here, example(waiting, ready)), ">>>"),
        "sent": sent(found, here),
        "checks": checks(found, look.engine.dialect.name),
    }


def title(found: Pipeline, waiting: Sequence[Missing], ready: Sequence[Awaited]) -> str:
    """Return what is true now."""
    if waiting and ready:
        return "Events arrive, but not of what is registered"
    if waiting:
        return "Events arrive, but no reference is registered"
    if found.dead and not found.counted:
        return "Events arrive, but none of them is counted"
    if ready:
        return f"{_versions(ready)} {'waits' if len(ready) == 1 else 'wait'} for the first event"
    return "Nothing is monitored yet"


def lead(found: Pipeline, waiting: Sequence[Missing], ready: Sequence[Awaited]) -> str:
    """Return what is missing, in a sentence or two."""
    if waiting:
        records = sum(missing.deficit.records for missing in found.deficits)
        came = f"{plural(records, 'prediction')} of {_of(waiting)} came and are counted as"
        if ready:
            return (
                f"{came} unmonitored; registered is {_versions(ready)}. Send the events under "
                "that name and version, or register a reference for theirs."
            )
        return (
            f"{came} unmonitored: what a model was trained on has to be registered first. What "
            "comes after that is judged."
        )
    if found.dead and not found.counted:
        return (
            f"{plural(found.dead, 'event')} came and {'was' if found.dead == 1 else 'were'} "
            "refused: see which, and what mends it, under Dead letters at the right."
        )
    if ready:
        return (
            "Its reference is there; now its predictions have to be logged. The first verdict "
            "comes when the first hour is over. This page fills itself as soon as an event came."
        )
    return (
        "A model needs a reference (what it was trained on) and a log of its predictions. "
        "This page fills itself as soon as they arrive."
    )


def _of(waiting: Sequence[Missing]) -> str:
    models = sorted({f"{m.deficit.model} {m.deficit.version}" for m in waiting})
    return _some([cut(model, 60) for model in models], "version")


def _versions(ready: Sequence[Awaited]) -> str:
    return _some([f"{cut(one.model, 40)} {cut(one.version, 20)}" for one in ready], "version")


def _some(told: Sequence[str], noun: str) -> str:
    """Return some names, and how many more there are."""
    if len(told) > 3:
        return f"{', '.join(told[:3])} and {plural(len(told) - 3, f'more {noun}')}"
    return told[0] if len(told) == 1 else f"{', '.join(told[:-1])} and {told[-1]}"


def registered(ready: Sequence[Awaited]) -> Any:
    """Return what is registered, each with the way to its reference and to its own page."""
    return html.Ul(
        [
            html.Li(
                [
                    parts.status("circle-check", "Registered", "ok"),
                    parts.link(
                        f"{cut(one.model, 60)} {cut(one.version, 30)}", address.model(one.model)
                    ),
                    parts.link(
                        f"{plural(len(one.features), 'feature')}, {plural(one.rows, 'row')}",
                        address.reference(one.digest[:12]),
                        className="quiet",
                    ),
                ]
            )
            for one in ready
        ],
        className="registered",
    )


def register_steps(waiting: Sequence[Missing], here: Installation) -> list[Any]:
    """Return the command that registers a reference, for each version that waits for one."""
    named = [(m.deficit.model, m.deficit.version) for m in waiting[:MAX_WAITING]]
    found = [
        parts.command(commands.register(model, version, here))
        for model, version in named or [(MODEL, VERSION)]
    ]
    if len(waiting) > MAX_WAITING:
        found.append(html.P(f"and {plural(len(waiting) - MAX_WAITING, 'more version')}"))
    found.append(html.P(f"{commands.COLUMNS} Counted here, once; only counts are sent, no row."))
    return found


def example(waiting: Sequence[Missing], ready: Sequence[Awaited]) -> Awaited:
    """Return whose event the snippet sends: the newest registered one, else who waits, else any."""
    if ready:
        return ready[0]
    if waiting:
        deficit = waiting[0].deficit
        return replace(EXAMPLE, model=deficit.model, version=deficit.version)
    return EXAMPLE


def sent(found: Pipeline, here: Installation) -> list[Any]:
    """Return whether the topic is read, and how much of it so far."""
    topic = html.Code(cut(here.topic, 80))
    if not found.partitions:
        return ["Topic ", topic, f" is not read yet: {command('ingest')} reads it."]
    n = found.counted
    return ["Topic ", topic, f" is being read: {plural(n, 'event')} so far."]


def checks(found: Pipeline, dialect: str) -> Any:
    """Return what is there and what is not, in words."""
    rows: list[tuple[str, str, str, Any]] = [
        ("circle-check", "ok", "Database", DIALECTS.get(dialect, dialect)),
        _consumer(found),
    ]
    if found.counted:
        rows.append(
            ("circle-check", "ok", "Events", f"{whole(found.counted)} came, none is judged")
        )
    else:
        rows.append(("circle-dashed", "idle", "Events", "none yet, waiting"))
    if found.dead:
        refused = parts.link(f"{whole(found.dead)} refused, and why", address.to("pipeline"))
        rows.append(("triangle-alert", "warn", "Dead letters", refused))
    return html.Ul(
        [
            html.Li([parts.icon_in(icon, tone), html.B(name), html.Span(said)])
            for icon, tone, name, said in rows
        ],
        className="checks",
    )


def _consumer(found: Pipeline) -> tuple[str, str, str, str]:
    if not found.partitions:
        return "circle-dashed", "idle", "Consumer", "none has read a partition yet"
    alive = [p for p in found.partitions if p.state is not State.STALLED]
    if not alive:
        seen = [p.seen_ago_ms for p in found.partitions if p.seen_ago_ms is not None]
        since = f"not seen for {duration(min(seen))}" if seen else "not seen yet"
        return "circle-slash", "crit", "Consumer", since
    owners = {p.position.owner for p in alive if p.position.owner is not None}
    return (
        "circle-check",
        "ok",
        "Consumer",
        f"{len(owners)} running, {plural(len(alive), 'partition')}",
    )


PAGE = Page(
    name="first-steps",
    pattern=(),
    skeleton=skeleton,
    slots=SLOTS,
    fill=fill,
    title=lambda _parts: "First steps",
)
