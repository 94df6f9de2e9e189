"""`driftline config`: what this installation runs with, and why."""

from __future__ import annotations

import json

import typer

from monitor.cli import options
from monitor.config import KEYS

app = typer.Typer(help="The settings.", no_args_is_help=True)


@app.command()
def show(config: options.ConfigFile = None, json_: options.AsJson = False) -> None:
    """Print every setting with its value, where that came from, and what it is for."""
    settings = options.settings(config=config)
    if json_:
        found = {
            name: {"value": settings.shown(name), "from": settings.source(name)} for name in KEYS
        }
        options.echo(json.dumps(found))
        return
    width = max(len(name) for name in KEYS)
    for key in KEYS.values():
        unit = f" {key.unit}" if key.unit else ""
        value = f"{settings.shown(key.name)}{unit}"
        options.echo(f"{key.name:{width}}  {value:28} {settings.source(key.name):14} {key.help}")
