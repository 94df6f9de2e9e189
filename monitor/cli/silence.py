"""`driftline silence`: of what nobody is told for a while. Over HTTP, with the SDK alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from driftline.errors import ConfigError
from driftline.program import command
from monitor.cli import access, options
from monitor.cli.connect import Url, connect
from monitor.cli.monitor import duration
from monitor.cli.saying import line, minute, plain, user
from monitor.words import counted

if TYPE_CHECKING:
    from driftline import answers

app = typer.Typer(help="Of what nobody is told for a while.", no_args_is_help=True)

_MATCHED: Final = ("model", "version", "segment", "feature", "kind", "severity")

By = Annotated[str | None, typer.Option(help="Who says so; the user of this machine by default.")]
Number = Annotated[int, typer.Argument(help="The silence's number.")]
Model = Annotated[str | None, typer.Option(help="Incidents of this model.")]
Version = Annotated[str | None, typer.Option(help="Of this version.")]
Segment = Annotated[str | None, typer.Option(help="Of this segment: origin=JFK, or all.")]
Feature = Annotated[str | None, typer.Option(help="Of this feature.")]
Kind = Annotated[
    str | None,
    typer.Option(help="Of this kind: distribution, missing, type_error, unseen, volume, schema."),
]
Severity = Annotated[
    str | None, typer.Option(help="The worst; warning lets through what turns critical.")
]
Everything = Annotated[bool, typer.Option("--all", help="Incidents of everything.")]
For = Annotated[str | None, typer.Option("--for", help="For how long: 30m, 2h, 7d.")]
Until = Annotated[str | None, typer.Option(help="Or until when: 2025-06-01T08:00:00Z.")]
Start = Annotated[str | None, typer.Option("--from", help="From when; now by default.")]


@app.command()
def add(
    model: Model = None,
    version: Version = None,
    segment: Segment = None,
    feature: Feature = None,
    kind: Kind = None,
    severity: Severity = None,
    everything: Everything = False,
    lasting: For = None,
    until: Until = None,
    start: Start = None,
    reason: Annotated[str, typer.Option(help="Why: others will wonder.")] = "",
    by: By = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Say what it would hold back; make none.")
    ] = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Tell nobody of incidents that match all that is given, until it is over.

    They open and end as ever, and pages show them. What still stands when the silence is over is
    told then.
    """
    if (lasting is None) == (until is None):
        given = "nothing" if lasting is None else "--for and --until"
        raise ConfigError("silence add", "command line", given, "--for or --until, one of them")
    asked: dict[str, Any] = {
        "model": model,
        "version": version,
        "segment": segment,
        "feature": feature,
        "kind": kind,
        "severity": severity,
        "everything": everything,
        "start": start,
        "until": until,
        "lasting": _lasting(lasting),
    }
    with connect(url, config, token_file) as client:
        seen = client.preview_silence(**asked)
        made = None if preview else client.silence(**asked, reason=reason, by=_by(by))
    if json_:
        found = plain(seen) if made is None else {**plain(made), "preview": plain(seen)}
        options.echo(json.dumps(found))
        return
    would = "would mute" if made is None else "mutes"
    said = f"{would} {counted(len(seen.firing), 'firing incident')} now; would have muted "
    said += f"{len(seen.past):,} of the last 30 days"
    if made is not None:
        options.echo(line(f"silence {made.number} of {_meant(made.matcher)} {_times(made)}"))
        said = f"  {said}"
    options.echo(said)
    for number in seen.overlapping:
        options.echo(f"  silence {number} means some of the same meanwhile")
    if not seen.firing and not seen.past:
        options.echo("  it matches nothing that ever was: check how it is written")


@app.command("list")
def list_(
    everything: Annotated[bool, typer.Option("--all", help="Those that are over, too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show the silences that are not over, newest first."""
    with connect(url, config, token_file) as client:
        found = list(client.silences("all" if everything else "standing", limit=limit))
    if json_:
        options.echo(json.dumps([plain(one) for one in found]))
        return
    if not found:
        add = command("silence add --model NAME --for 2h")
        options.echo(f"no silence; `{add}` makes one")
    for one in found:
        options.echo(line(f"{one.number}  {one.state}: {_meant(one.matcher)} {_times(one)}"))
        why = f": {one.reason}" if one.reason else ""
        ended = f", ended by {one.ended_by}" if one.ended_by else ""
        options.echo(line(f"   by {one.by}{why}{ended}"))


@app.command()
def end(
    number: Number,
    by: By = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """End a silence now: what still stands of it is told."""
    with connect(url, config, token_file) as client:
        found = client.end_silence(number, by=_by(by))
    if json_:
        options.echo(json.dumps(plain(found)))
    else:
        options.echo(f"silence {number} is over; what still stands of it is told")


@app.command()
def until(
    number: Number,
    at: Annotated[
        str, typer.Argument(metavar="TIME", help="2025-06-01T08:00:00Z, or 2h: from now.")
    ],
    by: By = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Let a silence last until another time, longer or shorter."""
    when: datetime | str = at
    if at[:1].isdigit() and "T" not in at:
        when = datetime.now(UTC) + (duration("TIME", at) or timedelta(0))
    with connect(url, config, token_file) as client:
        found = client.set_silence_until(number, when, by=_by(by))
    options.echo(json.dumps(plain(found)) if json_ else f"silence {number} {_times(found)}")


def _lasting(text: str | None) -> timedelta | None:
    found = duration("--for", text)
    if found is not None and found < timedelta(minutes=1):
        raise ConfigError("--for", "command line", text, "a minute or more")
    return found


def _meant(matcher: answers.Matcher) -> str:
    """What a silence is of, as it would be typed."""
    given = {name: getattr(matcher, name) for name in _MATCHED}
    said = " ".join(f"{name}={value}" for name, value in given.items() if value is not None)
    return said or "everything"


def _times(one: answers.Silence) -> str:
    until = f"until {minute(one.until)}"
    return f"from {minute(one.start)} {until}" if one.state == "scheduled" else until


def _by(given: str | None) -> str:
    return user() if given is None else given
