"""`driftline delivery`: what was sent to endpoints, and sending it again. Over HTTP."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Final

import typer

from driftline.errors import ConfigError
from driftline.program import command
from monitor.cli import access, options
from monitor.cli.connect import Url, connect
from monitor.cli.saying import instant, line, plain
from monitor.words import counted

if TYPE_CHECKING:
    from driftline import answers

app = typer.Typer(
    help="What was sent to endpoints: listed, shown, sent again.", no_args_is_help=True
)

# What a terminal shows of an answer's beginning.
_SHOWN: Final = 200

Endpoint = Annotated[str | None, typer.Option(help="Those for this endpoint.")]
AlertId = Annotated[str | None, typer.Option("--alert", help="Those of this alert.")]


@app.command("list")
def list_(
    endpoint: Endpoint = None,
    state: Annotated[
        str | None, typer.Option(help="pending, delivered, dead (given up) or cancelled.")
    ] = None,
    alert: AlertId = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show the newest messages and what became of each."""
    with connect(url, config, token_file) as client:
        found = list(client.deliveries(endpoint, state=state, alert_id=alert, limit=limit))
    if json_:
        options.echo(json.dumps([plain(one) for one in found]))
        return
    if not found:
        options.echo("no such message")
        return
    width = max(len(str(one.id)) for one in found)
    for one in found:
        options.echo(
            line(
                f"{one.id:>{width}}  {one.created:%Y-%m-%d %H:%M:%S}  {one.endpoint}  {one.type}  "
                f"{_became(one)}"
            )
        )


@app.command()
def show(
    id_: Annotated[int, typer.Argument(metavar="ID", min=1, help="Its number.")],
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show one message with its body, and each time that it was sent."""
    with connect(url, config, token_file) as client:
        found = client.delivery(id_)
    if json_:
        options.echo(json.dumps(plain(found)))
        return
    told = {
        "id": str(found.id),
        "endpoint": found.endpoint,
        "type": found.type,
        "webhook-id": found.webhook_id,
        "alert": "none" if found.alert_id is None else f"{found.alert_id}, {found.sequence}",
        "decided": instant(found.created),
        "became": _became(found),
    }
    for name, words in told.items():
        options.echo(f"{name:<10} {line(words)}")
    for one in found.tried:
        status = "no answer" if one.status is None else str(one.status)
        options.echo(
            line(
                f"  attempt {one.number}  {instant(one.at)}  {status} in {one.duration_ms:,} ms"
                f"{': ' + one.error if one.error else ''}"
            )
        )
        if one.response:
            options.echo(line(f"    {' '.join(one.response[:_SHOWN].split())}"))
    options.echo(line(found.body))


@app.command()
def redeliver(
    id_: Annotated[int | None, typer.Argument(metavar="[ID]", min=1, help="This one.")] = None,
    endpoint: Endpoint = None,
    state: Annotated[str, typer.Option(help="dead (given up) or delivered.")] = "dead",
    alert: AlertId = None,
    type_: Annotated[str | None, typer.Option("--type", help="Such as drift.detected.")] = None,
    first: Annotated[int | None, typer.Option(min=1, help="From this number on.")] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Up to this number.")] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Decided from then on: 2025-06-02T07:00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Decided before then.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every one in that state.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")
    ] = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Send messages again: one by its number, or those that the options name.

    They keep id and body, so a receiver that has one already does nothing. One that waits is
    tried now.
    """
    filters = (endpoint, alert, type_, first, last, since, until)
    named = everything or any(one is not None for one in filters)
    if (id_ is not None) == named:
        raise ConfigError(
            "redeliver", "command line", "nothing named" if id_ is None else "both",
            "a number, or options that say which (--all: every one)",
        )  # fmt: skip
    if id_ is not None and dry_run:
        raise ConfigError("--dry-run", "command line", "a number", "options that say which")
    with connect(url, config, token_file) as client:
        if id_ is not None:
            ids = [client.redeliver(id_).id]
        else:
            ids = client.redeliver_all(
                endpoint, state=state, alert_id=alert, type=type_, first=first, last=last,
                start=since, end=until, everything=everything, dry_run=dry_run,
            )  # fmt: skip
    if json_:
        options.echo(json.dumps({"ids": ids, "dry_run": dry_run}))
        return
    what = (
        "would be sent again"
        if dry_run
        else "is sent again"
        if len(ids) == 1
        else ("are sent again")
    )
    options.echo(f"{counted(len(ids), 'message')} {what}" if ids else "no such message")
    if ids and not dry_run:
        options.echo(f"  what becomes of them: `{command('delivery list')}`")


def _became(one: answers.Delivery) -> str:
    sent = f"after {counted(one.attempts, 'attempt')}"
    if one.state == "delivered":
        return f"delivered {sent}"
    why = f": {one.error}" if one.error else ""
    if one.state == "dead":
        return f"given up {sent}{why}"
    if one.state == "cancelled":
        return "cancelled"
    if not one.attempts:
        return "waits for its first attempt"
    due = "" if one.due is None else f", due {instant(one.due)}"
    return f"waits {sent}{due}{why}"
