"""The verbs of `driftline`, in one place."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from driftline import __version__
from monitor.cli import db, options, reference, roles, status, up
from monitor.cli.demo import command as demo
from monitor.config import KEYS

app = typer.Typer(
    name="driftline",
    help="Drift and model monitoring over Kafka: every record counted once, few false alarms.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        options.echo(f"driftline {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command()(demo.demo)
app.command()(up.up)
app.command()(roles.ingest)
app.command()(roles.evaluate)
app.command()(roles.web)
app.command()(status.status)
app.add_typer(db.app, name="db")
app.add_typer(reference.app, name="reference")

config_app = typer.Typer(help="The settings.", no_args_is_help=True)
app.add_typer(config_app, name="config")


@config_app.command("show")
def config_show(config: options.ConfigFile = None, json_: options.AsJson = False) -> None:
    """Print every setting with its value, where that came from, and what it is for."""
    settings = options.settings(config=config)
    if json_:
        found = {name: {"value": settings[name], "from": settings.source(name)} for name in KEYS}
        options.echo(json.dumps(found))
        return
    width = max(len(name) for name in KEYS)
    for key in KEYS.values():
        unit = f" {key.unit}" if key.unit else ""
        value = f"{settings[key.name]}{unit}"
        options.echo(f"{key.name:{width}}  {value:28} {settings.source(key.name):14} {key.help}")
