"""`driftline model`: what is done to a whole model. Over HTTP, so that it needs the SDK alone."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.errors import Conflict, DriftlineError
from driftline.program import command
from monitor.cli import access, options
from monitor.cli.connect import connect
from monitor.cli.saying import line, plain

if TYPE_CHECKING:
    from driftline import Client, answers

app = typer.Typer(help="Models: listed, archived, deleted.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The model's name.")]
Url = Annotated[str | None, typer.Option("--url", help="Server; the local one by default.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


class NotConfirmed(DriftlineError):
    """Nobody said that it should be done."""


@app.command("list")
def list_(
    archived: Annotated[
        bool, typer.Option("--archived", help="Show those that are archived, too.")
    ] = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show the models with their versions."""
    with client_of(url, config, token_file) as client:
        found = client.models(archived=archived)
    if json_:
        options.echo(json.dumps([plain(model) for model in found]))
        return
    if not found:
        options.echo("no model yet: a reference that is registered makes one")
        return
    for model in found:
        when = "" if model.archived is None else f", archived {model.archived:%Y-%m-%d %H:%M} UTC"
        options.echo(f"{line(model.model)} ({model.timezone}{when})")
        for version in model.versions:
            judged = "not judged yet"
            if version.judged_to is not None:
                judged = f"judged up to {version.judged_to:%Y-%m-%d %H:%M} UTC"
            options.echo(f"  {line(version.version)}: {version.health}, {judged}")


@app.command()
def archive(
    name: Name,
    yes: Yes = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Count and judge a model no longer, and leave it out of lists; `unarchive` takes it back.

    Its events are counted as unmonitored from then on: what comes meanwhile is in no window.
    Endpoints are told that its open alerts ended.
    """
    with client_of(url, config, token_file) as client:
        client.model(name)  # that it is there, before anybody is asked
        _confirm(yes, name, f"{line(name)} will be counted and judged no longer")
        found = client.archive_model(name)
    _tell(found, json_, "is archived: its events are counted as unmonitored from now on")


@app.command()
def unarchive(
    name: Name,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Count and judge an archived model again, from now on."""
    with client_of(url, config, token_file) as client:
        found = client.unarchive_model(name)
    _tell(found, json_, "is counted and judged again from now on")


@app.command()
def delete(
    name: Name,
    yes: Yes = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Delete an archived model with its references, counts, findings and incidents, for good.

    What became of each event stays counted, and what was sent to endpoints stays listed.
    """
    with client_of(url, config, token_file) as client:
        # What the server would refuse is said before anybody is asked.
        if client.model(name).archived is None:
            raise Conflict(
                f"model {line(name)} is not archived: `{command('model archive')} "
                f"{shlex.quote(name)}` first, then delete it"
            )
        _confirm(yes, name, f"All of {line(name)} will be deleted, for good")
        rows = client.delete_model(name)
    if json_:
        options.echo(json.dumps({"model": name, "rows": rows}))
    else:
        options.echo(f"{line(name)} is deleted: {sum(rows.values()):,} rows")


def client_of(url: str | None, config: Path | None, token_file: Path | None) -> Client:
    """A client of the server that was named, or of the local one."""
    return connect(url, options.settings(config=config), token_file)


def _confirm(is_said: bool, name: str, what: str) -> None:
    """Ask for the name on a terminal; elsewhere --yes must say it.

    Raises
    ------
    NotConfirmed
        Another text came, or nobody could be asked.
    """
    if is_said:
        return
    if not sys.stdin.isatty():
        raise NotConfirmed(f"{what}: say --yes")
    if typer.prompt(f"{what}. Type its name to go on", err=True) != name:
        raise NotConfirmed("that is not its name: nothing was changed")


def _tell(found: answers.Model, as_json: bool, what: str) -> None:
    options.echo(json.dumps(plain(found)) if as_json else f"{line(found.model)} {what}")
