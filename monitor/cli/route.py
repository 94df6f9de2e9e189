"""`driftline route`: which of a model's messages go where. Over HTTP, with the SDK alone."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.program import command
from monitor.cli import access, options
from monitor.cli.connect import Url, connect
from monitor.cli.saying import line, plain

if TYPE_CHECKING:
    from driftline import answers

app = typer.Typer(help="Which of a model's alerts go where.", no_args_is_help=True)


class Severity(StrEnum):
    """From which severity on."""

    warning = "warning"
    critical = "critical"


Model = Annotated[str, typer.Argument(help="The model's name.")]
Name = Annotated[str, typer.Argument(help="The route's name.")]


@app.command("list")
def list_(
    model: Annotated[str | None, typer.Argument(help="Only this model's.")] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show the routes; a model without any sends all its alerts to every endpoint."""
    with connect(url, config, token_file) as client:
        found = client.routes(model)
    if json_:
        options.echo(json.dumps([plain(one) for one in found]))
    elif not found:
        options.echo(f"no route: everything goes everywhere; `{command('route set --help')}`")
    for one in () if json_ else found:
        options.echo(_line(one))


@app.command("set")
def set_(
    model: Model,
    name: Name,
    endpoint: Annotated[list[str], typer.Option(help="Where it goes; may be repeated.")],
    event: Annotated[
        list[str] | None,
        typer.Option(
            help="drift, schema, model, retrain, pipeline, or a type (drift.detected); repeated. "
            "All."
        ),
    ] = None,
    severity: Annotated[
        Severity, typer.Option("--from-severity", help="From which severity on.")
    ] = Severity.warning,
    quiet: Annotated[
        str | None,
        typer.Option(help="Hours without anything below critical, such as 22:00-07:00."),
    ] = None,
    timezone: Annotated[
        str | None, typer.Option(help="Whose clock they go by; the model's unless given.")
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(
            metavar="HOURS",
            min=1,
            max=720,
            help="Tell again what still stands and nobody acknowledged, so often; never unless "
            "given.",
        ),
    ] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Let alerts of MODEL go to some endpoints. What no route of it takes then goes nowhere."""
    with connect(url, config, token_file) as client:
        found = client.set_route(
            model, name, endpoint, events=event or ["*"], severity=severity.value, quiet=quiet,
            timezone=timezone, repeat_hours=repeat,
        )  # fmt: skip
    if json_:
        options.echo(json.dumps(plain(found)))
    else:
        options.echo(_line(found))


@app.command()
def remove(
    model: Model,
    name: Name,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Remove a route. Without any, everything goes everywhere again."""
    with connect(url, config, token_file) as client:
        client.remove_route(model, name)
    options.echo(json.dumps({"model": model, "name": name}) if json_ else f"{name} is removed")


def _line(one: answers.Route) -> str:
    events = "everything" if "*" in one.events else ", ".join(one.events)
    quiet = "" if one.quiet is None else f", quiet {one.quiet} {one.timezone}"
    again = "" if one.repeat_hours is None else f", again every {one.repeat_hours} h"
    return line(
        f"{one.model} {one.name}: {events} from {one.severity} on to {', '.join(one.endpoints)}"
        f"{quiet}{again}"
    )
