"""`driftline model`: what is done to a whole model. Over HTTP, so that it needs the SDK alone."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from driftline.errors import Conflict, DriftlineError
from driftline.program import command
from monitor.cli import access, options
from monitor.cli.connect import Url, connect
from monitor.cli.saying import instant, line, plain

if TYPE_CHECKING:
    from driftline import answers

app = typer.Typer(help="Models: listed, promoted, archived, deleted.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The model's name.")]
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
    with connect(url, config, token_file) as client:
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
def promote(
    name: Name,
    version: Annotated[str, typer.Argument(help="What is made live; it has a reference.")],
    replaces: Annotated[
        str | None, typer.Option(help="What it replaces; what is live then, unless given.")
    ] = None,
    effective: Annotated[
        str | None,
        typer.Option(help="RFC 3339, event time; from the last counted event, unless given."),
    ] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Make a version live: open incidents of the one before end where this one takes over.

    While both have predictions (a canary) both are judged. What is live already stays so.
    """
    with connect(url, config, token_file) as client:
        found = client.promote(name, version, replaces=replaces, effective=effective)
    if json_:
        options.echo(json.dumps(plain(found)))
        return
    how = f"is {found.state}" if found.created else f"is {found.state} already:"
    options.echo(f"{line(name)}: {promoted(found, how)}")


@app.command()
def promotions(
    name: Name,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show which versions were made live when, and when each took over; the last first."""
    with connect(url, config, token_file) as client:
        found = client.promotions(name)
    if json_:
        options.echo(json.dumps([plain(one) for one in found]))
        return
    if not found:
        options.echo(
            f"no version of {line(name)} was promoted: `{command('model promote')} "
            f"{shlex.quote(name)} VERSION`, or register one with --replaces"
        )
    for one in found:
        options.echo(promoted(one, one.state))


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
    with connect(url, config, token_file) as client:
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
    with connect(url, config, token_file) as client:
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
    with connect(url, config, token_file) as client:
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


def promoted(one: answers.Promotion, how: str) -> str:
    """One promotion in a line."""
    said = f"version {line(one.version)} {how}"
    if one.effective is None:
        return f"{said}: it has no reference yet ({line(one.by)}, {instant(one.at)})"
    said += f" from {instant(one.effective)} on"
    if one.replaces is not None:
        said += f", instead of {line(one.replaces)}"
    if one.took_over is not None:
        said += f"; took over at {instant(one.took_over)}"
    return f"{said} ({line(one.by)})"


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
