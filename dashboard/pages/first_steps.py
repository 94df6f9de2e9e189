"""What to type next, while nothing is monitored: three commands of this very installation.

The page goes away by itself: the router shows the list of models as soon as a reference
is registered. Every command here exists and is run by a test.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dash import html
from flask import has_request_context, request

from dashboard import address, parts
from dashboard import sentences_pipeline as say
from dashboard.look import Look
from dashboard.pages import Page
from dashboard.pages.refreshing import refreshing
from dashboard.words import cut, duration, plural, whole
from driftline.errors import ConfigError
from monitor import config
from monitor.views import pipeline as view
from monitor.views.pipeline import Missing, Pipeline, State

# Soon enough for somebody who has just pressed Enter.
REFRESH_S = 3
# The commands' own default; said only where the page is served elsewhere.
DEFAULT_URLS = ("http://127.0.0.1:8050", "http://localhost:8050")
DIALECTS = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9a-fA-F:]+\](:\d{1,5})?")
MAX_WAITING = 5
MODEL, VERSION = "my-model", "1"

SLOTS = {
    "title": ("first-title", "children"),
    "lead": ("first-lead", "children"),
    "register": ("first-register", "children"),
    "send": ("first-send", "children"),
    "sent": ("first-sent", "children"),
    "checks": ("first-checks", "children"),
}


@dataclass(frozen=True)
class Installation:
    """Where this server is reached, and where it reads events from."""

    url: str | None
    bootstrap: str
    topic: str


def skeleton() -> Any:
    """Return the page before it is read."""
    steps = [
        (
            "Register its training data as a reference",
            html.Div(id="first-register"),
            "Counted on your machine, once; only counts are sent, never rows.",
        ),
        (
            "Log predictions to Kafka",
            html.Div(id="first-send"),
            html.Span(id="first-sent"),
        ),
        (
            "See that they are counted",
            parts.command("driftline status"),
            "The same numbers as here, from the shell; it exists when nothing else runs, too.",
        ),
    ]
    return html.Div(
        [
            refreshing(REFRESH_S),
            html.H1("Nothing is monitored yet", id="first-title"),
            html.P(id="first-lead", className="lead", role="status"),
            html.Div(
                [
                    html.Section(
                        [
                            html.H2("Your model"),
                            html.Ol(
                                [
                                    html.Li([html.H3(head), body, html.P(note)])
                                    for head, body, note in steps
                                ]
                            ),
                        ],
                        className="card",
                    ),
                    html.Div(
                        [
                            html.Section(
                                [
                                    html.H2("Just looking?"),
                                    html.P(
                                        "A year of real flights, a real model, real incidents. "
                                        "It takes a minute or two."
                                    ),
                                    parts.command("driftline demo"),
                                ],
                                className="card",
                            ),
                            html.Section(
                                [
                                    html.H2("This installation"),
                                    html.Div(parts.skeleton(3), id="first-checks"),
                                    html.P("driftline status says the same from the shell."),
                                ],
                                className="card",
                            ),
                        ],
                        className="side",
                    ),
                ],
                className="steps",
            ),
        ],
        className="first",
    )


def fill(look: Look) -> Mapping[str, Any]:
    """Return what the slots hold."""
    found = view.read(
        look.conn,
        now_ms=look.now_ms,
        checkpoint_interval_s=look.checkpoint_interval_s,
        n_letters=1,
    )
    here = installation(found.topics)
    waiting = [m for m in found.deficits if not m.is_registered]
    return {
        "title": title(found, waiting),
        "lead": lead(found, waiting),
        "register": register_steps(waiting, here),
        "send": parts.command(snippet(here, waiting), ">>>"),
        "sent": sent(found, here),
        "checks": checks(found, look.engine.dialect.name),
    }


def installation(topics: Sequence[str]) -> Installation:
    """Return where this installation is, as the browser and the settings say."""
    try:
        settings = config.load(os.environ)
        bootstrap, topic = settings.text("kafka.bootstrap"), settings.text("kafka.topic")
    except ConfigError:  # the server runs: it was started with other ones
        bootstrap = str(config.KEYS["kafka.bootstrap"].default)
        topic = str(config.KEYS["kafka.topic"].default)
    url = request.host_url.rstrip("/") if has_request_context() else None
    return Installation(
        url=url if url is not None and ORIGIN.fullmatch(url) else None,
        bootstrap=bootstrap,
        topic=topics[0] if len(topics) == 1 else topic,
    )


def title(found: Pipeline, waiting: Sequence[Missing]) -> str:
    """Return what is true now."""
    if waiting:
        return "Events arrive, but no reference is registered"
    if found.dead and not found.counted:
        return "Events arrive, but none of them is counted"
    return "Nothing is monitored yet"


def lead(found: Pipeline, waiting: Sequence[Missing]) -> str:
    """Return what is missing, in a sentence or two."""
    if waiting:
        records = sum(missing.deficit.records for missing in found.deficits)
        models = {missing.deficit.model for missing in waiting}
        return (
            f"{plural(records, 'prediction')} of {_of(sorted(models))} came and are counted as "
            "unmonitored: what a model was trained on has to be registered first. What comes "
            "after that is judged."
        )
    if found.dead and not found.counted:
        return (
            f"{plural(found.dead, 'event')} came and {'was' if found.dead == 1 else 'were'} "
            "refused: see which, and what mends it, under Dead letters at the right."
        )
    return (
        "A model needs a reference (what it was trained on) and a log of its predictions. "
        "This page fills itself as soon as the first one arrives."
    )


def _of(models: Sequence[str]) -> str:
    told = ", ".join(cut(model, 40) for model in models[:3])
    return told if len(models) <= 3 else f"{told} and {len(models) - 3} more models"


def register_steps(waiting: Sequence[Missing], here: Installation) -> list[Any]:
    """Return the command that registers a reference, for each version that waits for one."""
    named = [(m.deficit.model, m.deficit.version) for m in waiting[:MAX_WAITING]]
    found = [
        parts.command(register(model, version, here))
        for model, version in named or [(MODEL, VERSION)]
    ]
    if len(waiting) > MAX_WAITING:
        found.append(html.P(f"and {plural(len(waiting) - MAX_WAITING, 'more version')}"))
    return found


def register(model: str, version: str, here: Installation) -> str:
    r"""Return the command, with this server's address where it is not the usual one.

    >>> print(register("m", "1", Installation("http://127.0.0.1:8050", "", "")))
    driftline reference register trained-on.parquet \
        --model m --version 1 \
        --prediction class --score score --label left --timestamp at
    """
    command = f"{say.register_command(model, version)} \\\n    "
    command += "--prediction class --score score --label left --timestamp at"
    if here.url is not None and here.url not in DEFAULT_URLS:
        command += f" \\\n    --url {here.url}"
    return command


def snippet(here: Installation, waiting: Sequence[Missing] = ()) -> str:
    """Return Python that logs one prediction with kafka-python."""
    model, version = MODEL, VERSION
    if waiting:
        model, version = waiting[0].deficit.model, waiting[0].deficit.version
    # json.dumps writes any name as text that Python reads as the same text.
    model, version, topic, bootstrap = (
        json.dumps(text) for text in (model, version, here.topic, here.bootstrap)
    )
    return f"""import json
from datetime import datetime, timezone
from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers={bootstrap}.split(","))
event = {{
    "type": "prediction",
    "model": {model},
    "version": {version},
    "id": "a-1",
    "time": datetime.now(timezone.utc).isoformat(),
    "features": {{"age": 41, "plan": "pro", "tenure": None}},
    "prediction": {{"class": "stays", "score": 0.73}},
}}
sent = producer.send({topic}, json.dumps(event).encode())
sent.get(timeout=10)"""


def sent(found: Pipeline, here: Installation) -> list[Any]:
    """Return whether the topic is read, and how much of it so far."""
    topic = html.Code(cut(here.topic, 80))
    if not found.partitions:
        return ["Topic ", topic, " is not read yet: driftline ingest reads it."]
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
