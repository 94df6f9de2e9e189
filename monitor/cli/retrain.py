"""`driftline retrain`: when models are retrained, and what became of it. Over HTTP, by the SDK."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from driftline.errors import ConfigError
from driftline.program import command
from monitor.cli import access, options
from monitor.cli.connect import Url, connect
from monitor.cli.saying import line, minute, plain, user

if TYPE_CHECKING:
    from driftline import answers

app = typer.Typer(help="When models are retrained, and what became of it.", no_args_is_help=True)


class Reported(StrEnum):
    """How far a training came."""

    running = "running"
    succeeded = "succeeded"
    failed = "failed"


class State(StrEnum):
    """What a request can be."""

    requested = "requested"
    accepted = "accepted"
    running = "running"
    succeeded = "succeeded"
    failed = "failed"
    expired = "expired"


Model = Annotated[str, typer.Argument(help="The model's name.")]
Number = Annotated[int, typer.Argument(help="The request's number.")]


@app.command()
def policy(
    model: Model,
    trainer: Annotated[
        str | None,
        typer.Option(help="Set it: an endpoint of kind webhook, airflow, databricks or github."),
    ] = None,
    open_days: Annotated[
        int | None, typer.Option(min=1, help="Critical drift must have stood on so many ... (5)")
    ] = None,
    of_days: Annotated[
        int | None, typer.Option(min=1, help="... of the last so many days. (28)")
    ] = None,
    cooldown: Annotated[
        int | None,
        typer.Option(metavar="DAYS", min=0, help="From one request to the next. (28)"),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="Requests of the whole service in 24 hours, at most. (10)"),
    ] = None,
    answer_within: Annotated[
        int | None,
        typer.Option(metavar="HOURS", min=1, help="From a trainer's word to its next. (96)"),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Write down what would be asked; send nothing.")
    ] = False,
    off: Annotated[
        bool | None, typer.Option("--off/--on", help="Ask for nothing, keep the rest; ask again.")
    ] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Remove it. What was asked for goes on.")
    ] = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show when MODEL's retraining is asked for; with --trainer, set it.

    It is asked for when critical drift stood on enough days. Missing values never start one: that
    is a pipeline to mend, and holds it back. With --trainer, what is not given has the value in
    brackets; without, what is given changes the policy that stands, and the rest stays.
    """
    given = {
        "open_days": open_days,
        "of_days": of_days,
        "cooldown_days": cooldown,
        "daily_budget": budget,
        "answer_within_hours": answer_within,
    }
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if dry_run:
        wanted["dry_run"] = True
    if off is not None:
        wanted["enabled"] = not off
    if remove and (wanted or trainer is not None):
        raise ConfigError(
            "retrain policy", "command line", "--remove beside what sets it", "one of them"
        )
    with connect(url, config, token_file) as client:
        if remove:
            client.remove_retraining(model)
            said = f"{line(model)} is not retrained by itself any more"
            options.echo(json.dumps({"model": model}) if json_ else said)
            return
        if trainer is not None:
            found = client.set_retraining(model, trainer, **wanted)
        else:
            found = client.retraining(model)
            if wanted:
                found = client.set_retraining(model, **(_standing(found) | wanted))
    options.echo(json.dumps(plain(found)) if json_ else _policy(found))


@app.command("list")
def list_(
    model: Annotated[str | None, typer.Argument(help="Only this model's.")] = None,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    incident: Annotated[
        int | None, typer.Option(help="Only those that stand on this incident.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show requests for a retraining, the last asked first."""
    with connect(url, config, token_file) as client:
        asked = None if state is None else state.value
        found = list(client.retrains(model, state=asked, incident=incident, limit=limit))
    if json_:
        options.echo(json.dumps([plain(one) for one in found]))
    elif not found:
        hint = f"nothing was asked for; `{command('retrain policy --help')}`"
        options.echo(hint if state is None and incident is None else "no such request")
    for one in () if json_ else found:
        options.echo(_line(one))


@app.command()
def show(
    number: Number,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show one request with all that became of it."""
    with connect(url, config, token_file) as client:
        found = client.retrain(number)
    if json_:
        options.echo(json.dumps(plain(found)))
        return
    options.echo(_line(found))
    options.echo(line(f"  {found.summary}"))
    if found.run is not None:
        options.echo(line(f"  run {' '.join(filter(None, (found.run.id, found.run.url)))}"))
    for event in found.events:
        words = f": {event.words}" if event.words else ""
        options.echo(
            line(f"  {minute(event.at)}  {event.state.replace('_', ' ')} by {event.actor}{words}")
        )


@app.command()
def ask(
    model: Model,
    version: Annotated[str | None, typer.Option(help="To be replaced; the newest.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why; it is in the message.")] = None,
    by: Annotated[
        str | None, typer.Option(help="Who asks; the user of this machine by default.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be sent; send nothing.")
    ] = False,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Ask MODEL's trainer for a retraining now, whatever the policy says by itself."""
    with connect(url, config, token_file) as client:
        found = client.ask_retrain(
            model, version=version, reason=reason, by=user() if by is None else by,
            dry_run=dry_run,
        )  # fmt: skip
    if json_:
        options.echo(json.dumps(plain(found)))
        return
    says = found.policy
    why = f": {'; '.join(says.why)}" if says.why else ""
    verdict = {"ask": "asks for it, too", "held": "holds it back", "nothing": "sees no reason"}
    options.echo(line(f"the policy {verdict[says.verdict]}{why}"))
    if found.request is not None:
        options.echo(_line(found.request))
    else:
        options.echo(json.dumps(found.message, indent=2, ensure_ascii=True))


@app.command()
def report(
    number: Number,
    state: Annotated[Reported, typer.Argument(help="How far the training came.")],
    message: Annotated[str, typer.Option(help="What else there is to say.")] = "",
    run_url: Annotated[str | None, typer.Option(help="The training's page.")] = None,
    version: Annotated[str | None, typer.Option(help="The new version.")] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Say how a training comes on: what a trainer does by POST /api/v1/retrains/NUMBER."""
    with connect(url, config, token_file) as client:
        found = client.report_retrain(
            number, state.value, message=message, run_url=run_url, version=version
        )
    options.echo(json.dumps(plain(found)) if json_ else _line(found))


def _standing(one: answers.Retraining) -> dict[str, Any]:
    """Return what sets a policy to what it is.

    Raises
    ------
    ConfigError
        Its trainer was removed.
    """
    if one.trainer is None:
        raise ConfigError(
            "retrain policy", "command line", "no --trainer, and that of the policy was removed",
            "--trainer ENDPOINT",
        )  # fmt: skip
    given = ("trainer", "open_days", "of_days", "cooldown_days", "daily_budget",
             "answer_within_hours", "dry_run", "enabled")  # fmt: skip
    return {name: getattr(one, name) for name in given}


def _policy(one: answers.Retraining) -> str:
    trainer = "nobody (it was removed)" if one.trainer is None else f"{one.trainer} ({one.kind})"
    what = f"writes down what it would ask {trainer}" if one.dry_run else f"asks {trainer}"
    if not one.enabled:
        what = f"is switched off, and would ask {trainer}"
    return line(
        f"{one.model}: {what} for a retraining when critical drift stood on "
        f"{one.open_days} of the last {one.of_days} days; {one.cooldown_days} days between two, "
        f"{one.daily_budget} a day for all models, {one.answer_within_hours} h for each answer"
    )


def _line(one: answers.Retrain) -> str:
    state = "dry run" if one.is_dry_run else one.state
    if one.live_version is not None:
        state += f", version {one.live_version} took over"
    elif one.is_open and one.state == "succeeded":
        state += f", waits for version {one.made_version or '?'} to take over"
    basis = ", its basis was withdrawn" if one.basis_withdrawn else ""
    return line(
        f"{one.id}  {one.model} {one.version}  {state}{basis}  asked {minute(one.requested)} of "
        f"{one.trainer}"
    )
