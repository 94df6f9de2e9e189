"""`driftline incident`: what went wrong, and who looks after it. Over HTTP, with the SDK alone."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from driftline.errors import ConfigError
from monitor.cli import access, options
from monitor.cli.connect import Url, connect
from monitor.cli.saying import line, minute, plain, user

if TYPE_CHECKING:
    from driftline import answers

app = typer.Typer(
    help="What went wrong: listed, acknowledged, assigned, commented.", no_args_is_help=True
)

STATES: Final = ("firing", "all", "resolved", "withdrawn")
_VERDICTS: Final = ("useful", "noise", "none")

Number = Annotated[int, typer.Argument(help="The incident's number.")]
By = Annotated[str | None, typer.Option(help="Who says so; the user of this machine by default.")]
Comment = Annotated[str, typer.Option(help="What others should know.")]
Alone = Annotated[
    bool, typer.Option("--alone", help="This one alone, not what is one problem with it.")
]


@app.command("list")
def list_(
    model: Annotated[str | None, typer.Option(help="Of this model.")] = None,
    state: Annotated[str, typer.Option(help="firing, all, resolved or withdrawn.")] = "firing",
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show problems, newest first; incidents that are one problem are one line."""
    if state not in STATES:
        raise ConfigError("--state", "command line", state, f"one of {', '.join(STATES)}")
    with connect(url, config, token_file) as client:
        found = list(islice(client.incident_groups(model, state=state, limit=limit), limit))
        done = client.handlings(one.id for one in found)
    if json_:
        told = [{**plain(one), "handling": plain(done[one.id])} for one in found]
        options.echo(json.dumps(told))
        return
    if not found:
        which = "" if state == "all" else f"{state} "
        options.echo(f"no {which}incident" + (f" of {line(model)}" if model else ""))
        return
    for one in found:
        options.echo(line(f"#{one.id} {one.model} {one.version}: {one.summary}"))
        more = len(one.incidents) - 1
        parts = [one.severity, one.state, f"since {minute(one.opened_at)}"]
        parts += [f"and {more:,} more"] if more else []
        options.echo(line("  " + ", ".join([*parts, *_handled(done[one.id])])))


@app.command()
def show(
    number: Number,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show a problem by the number of any of its incidents, with what was done about it."""
    with connect(url, config, token_file) as client:
        found, done = client.incident_group(number), client.handling(number)
    if json_:
        options.echo(json.dumps({**plain(found), "handling": plain(done)}))
        return
    options.echo(line(f"#{found.id} {found.model} {found.version}: {found.summary}"))
    until = "" if found.resolved_at is None else f" until {minute(found.resolved_at)}"
    state = f"{found.severity}, {found.state}, since {minute(found.opened_at)}{until}"
    options.echo(line(", ".join([state, *_handled(done)])))
    for member in found.members:
        muted = " (muted: another speaks for it)" if member.muted else ""
        options.echo(line(f"  #{member.id} {member.state}: {member.summary}{muted}"))
    if found.n_members > len(found.members):
        options.echo(f"  and {found.n_members - len(found.members):,} more")
    for note in done.notes:
        did = _SAYS[note.action] if note.text or note.action != "assigned" else "unassigned it"
        said = f" {note.text}" if note.text else ""
        options.echo(line(f"  {minute(note.at)} {note.by} {did}{said}"))


@app.command()
def acknowledge(
    number: Number,
    comment: Comment = "",
    by: By = None,
    alone: Alone = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Say that somebody looks after it, until it turns worse or opens again."""
    with connect(url, config, token_file) as client:
        found = client.acknowledge(number, by=_by(by), comment=comment, alone=alone)
    _say(found, json_, f"{_named(found)} acknowledged by {found.acknowledged_by}")


@app.command()
def give_back(
    number: Number,
    comment: Comment = "",
    by: By = None,
    alone: Alone = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Say that nobody looks after it any more."""
    with connect(url, config, token_file) as client:
        found = client.give_back(number, by=_by(by), comment=comment, alone=alone)
    _say(found, json_, f"{_named(found)} looked after by nobody")


@app.command()
def assign(
    number: Number,
    to: Annotated[str, typer.Argument(help='Whom; "" takes it back.')],
    by: By = None,
    alone: Alone = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Say who is to look after it; nobody is told by a message."""
    with connect(url, config, token_file) as client:
        found = client.assign(number, to, by=_by(by), alone=alone)
    _say(found, json_, f"{_named(found)} assigned to {found.assignee or 'nobody'}")


@app.command()
def comment(
    number: Number,
    text: Annotated[str, typer.Argument(help="What others should know.")],
    by: By = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Write into its history what others should know."""
    with connect(url, config, token_file) as client:
        found = client.comment(number, text, by=_by(by))
    _say(found, json_, f"{_named(found)} commented")


@app.command()
def feedback(
    number: Number,
    verdict: Annotated[str, typer.Argument(help="useful, noise, or none to take it back.")],
    comment: Comment = "",
    by: By = None,
    alone: Alone = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Say whether it was worth the message: for whoever tunes the limits."""
    if verdict not in _VERDICTS:
        raise ConfigError("VERDICT", "command line", verdict, f"one of {', '.join(_VERDICTS)}")
    said: Any = verdict
    with connect(url, config, token_file) as client:
        found = client.feedback(number, said, by=_by(by), comment=comment, alone=alone)
    _say(found, json_, f"{_named(found)} told to be {found.feedback or 'neither'}")


_SAYS: Final = {
    "acknowledged": "acknowledged it",
    "given back": "gave it back",
    "assigned": "assigned it to",
    "commented": "said:",
    "useful": "found it useful",
    "noise": "found it noise",
    "unjudged": "took back their verdict",
}


def _handled(done: answers.Handling) -> list[str]:
    said = [f"acknowledged by {done.acknowledged_by}"] if done.acknowledged_by else []
    said += [f"assigned to {done.assignee}"] if done.assignee else []
    said += [done.feedback] if done.feedback else []
    if done.silence is not None:
        said.append(f"silenced until {minute(done.silence.until)} by {done.silence.by}")
    return said


def _named(found: answers.Handling) -> str:
    """The incidents that an answer is about, and whether they are one or more."""
    shown = ", ".join(f"#{number}" for number in found.incidents[:5])
    more = len(found.incidents) - 5
    is_one = len(found.incidents) == 1
    return f"{shown}{f' and {more:,} more' if more > 0 else ''} {'is' if is_one else 'are'}"


def _say(found: answers.Handling, json_: bool, words: str) -> None:
    options.echo(json.dumps(plain(found)) if json_ else line(words))


def _by(given: str | None) -> str:
    return user() if given is None else given
