"""`driftline hook`: where MLflow tells of promotions. Over HTTP, so that it needs the SDK alone."""

from __future__ import annotations

import json
import re
import sys
from enum import StrEnum
from typing import Annotated

import typer

from driftline.program import command
from monitor.cli import access, options
from monitor.cli.connect import Url, connect
from monitor.cli.saying import line, minute, plain
from monitor.config import secret_from

app = typer.Typer(help="Where MLflow tells which version it has promoted.", no_args_is_help=True)


class Kind(StrEnum):
    """Whose registry tells."""

    mlflow = "mlflow"


@app.command()
def add(
    kind: Annotated[Kind, typer.Argument(help="Whose registry tells.")],
    model: Annotated[str, typer.Option(help="The model whose versions it promotes.")],
    alias: Annotated[
        str, typer.Option(help="The alias that promotes; others are ignored.")
    ] = "champion",
    registered: Annotated[
        str | None, typer.Option(help="What MLflow calls the model; the same unless given.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Its name, part of the address; the model's unless given.")
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(
            help="File with what MLflow signs with, - for standard input; else one is made."
        ),
    ] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Promote the version of MODEL that an alias is set on in MLflow's registry.

    Create the webhook in MLflow with the address and the secret that are shown here, this once,
    for the event model_version_alias.created. A version of MLflow is the version of that name
    here; without a reference it waits for it. The same again changes nothing.
    """
    called = name or re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-._")
    with connect(url, config, token_file) as client:
        made = client.add_hook(
            called, model, registered=registered, alias=alias, secret=_secret(secret)
        )
    told = plain(made)
    if secret is not None:
        told["secret"] = None
    if json_:
        options.echo(json.dumps(told))
        return
    what = "is added" if made.is_new else "is there already"
    options.echo(f"hook {made.name} {what}: {kind.value} sends to {made.url}")
    options.echo(f"the alias {line(made.alias)} of {line(made.registered)} promotes a version of "
                 f"{line(made.model)}")  # fmt: skip
    if told["secret"]:
        options.echo(f"secret, told this once: {made.secret}")


@app.command("list")
def list_(
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show the hooks, how often what came was believed, and why it was not."""
    with connect(url, config, token_file) as client:
        found = client.hooks()
    if json_:
        options.echo(json.dumps([plain(one) for one in found]))
        return
    if not found:
        options.echo(f"no hook yet: `{command('hook add mlflow --model MODEL')}`")
    for one in found:
        options.echo(
            f"{one.name}: {line(one.alias)} of {line(one.registered)} promotes {line(one.model)}; "
            f"{one.url}"
        )
        last = f", the last {minute(one.last_accepted)}" if one.last_accepted else ""
        said = f"  {one.accepted:,} believed{last}"
        if one.last_refused is not None:
            said += (
                f"; {one.refused:,} refused, the last {minute(one.last_refused)}: {one.refused_why}"
            )
        options.echo(said)


@app.command()
def remove(
    name: Annotated[str, typer.Argument(help="The hook's name.")],
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Believe nothing any more that comes by it, and forget its secret."""
    with connect(url, config, token_file) as client:
        client.remove_hook(name)
    options.echo(json.dumps({"name": name}) if json_ else f"hook {name} is removed")


def _secret(path: str | None) -> str | None:
    if path is None:
        return None
    text = sys.stdin.read() if path == "-" else secret_from(path, "--secret", "command line")
    return text.strip()
