"""`driftline endpoint`: where alerts are sent. Over HTTP, so that it needs the SDK alone."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from driftline.errors import InvalidEndpoint
from driftline.program import command
from monitor.cli import access, options
from monitor.cli.connect import Url, connect
from monitor.cli.saying import instant, line, plain
from monitor.config import secret_from
from monitor.words import counted

if TYPE_CHECKING:
    from driftline import answers

app = typer.Typer(help="Where alerts are sent.", no_args_is_help=True)


class Kind(StrEnum):
    """What is sent to an endpoint, and how."""

    webhook = "webhook"
    slack = "slack"
    pagerduty = "pagerduty"
    smtp = "smtp"
    apprise = "apprise"
    airflow = "airflow"
    databricks = "databricks"
    github = "github"


class Airflow(StrEnum):
    """Which Airflow an address is of."""

    two = "2"
    three = "3"


# What a terminal shows of an answer's beginning.
_SHOWN: Final = 200

Name = Annotated[str, typer.Argument(help="The endpoint's name.")]
SecretFile = Annotated[
    str | None,
    typer.Option(help="File with the secret (whsec_...), - for standard input; else one is made."),
]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Its name: letters, digits, dots, dashes.")],
    address: Annotated[
        str, typer.Argument(metavar="URL", help="http:// or https://; of mail smtp:// or smtps://")
    ],
    secret: SecretFile = None,
    kind: Annotated[Kind, typer.Option(help="What is sent there, and how.")] = Kind.webhook,
    sender: Annotated[
        str | None, typer.Option("--from", help="Of smtp: who a mail is from.")
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option(help="Of smtp: who it is for; may be repeated.")
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(help="Of smtp and airflow: who logs in; --secret has the password."),
    ] = None,
    dag: Annotated[str | None, typer.Option(help="Of airflow: the DAG that is started.")] = None,
    airflow: Annotated[
        Airflow | None, typer.Option(help="Of airflow: which one; else it is found out.")
    ] = None,
    job: Annotated[int | None, typer.Option(help="Of databricks: the job that runs.")] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Of databricks: a job parameter; {model}, {report_url} and such are filled in.",
        ),
    ] = None,
    repository: Annotated[
        str | None, typer.Option(help="Of github: owner/name of what is told.")
    ] = None,
    event: Annotated[
        str | None, typer.Option(help="Of github: the event; driftline-retrain unless given.")
    ] = None,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Send every alert to URL, signed. The same name and URL again change nothing.

    Of kind airflow, databricks or github it is a trainer: it gets no alerts, but the requests of
    the models whose retraining policy names it. `endpoint test` tries it and starts nothing.
    """
    is_airflow = kind == Kind.airflow
    mail = _mail(sender, to, None if is_airflow else user)
    of_kinds: dict[Kind, dict[str, Any]] = {
        Kind.airflow: {
            "dag": dag, "airflow": airflow and airflow.value, "user": user if is_airflow else None,
        },
        Kind.databricks: {"job": job, "parameters": _parameters(parameter)},
        Kind.github: {"repository": repository, "event": event},
    }  # fmt: skip
    trainer = _trainer(kind, of_kinds)
    with connect(url, config, token_file) as client:
        made = client.add_endpoint(
            name, address, secret=_secret(secret, kind), kind=kind.value, mail=mail,
            trainer=trainer,
        )  # fmt: skip
    told = made if secret is None else dataclasses.replace(made, secret=None)
    if json_:
        options.echo(json.dumps(plain(told)))
        return
    what = "is added" if made.is_new else "is there already"
    known = f" (secret {made.fingerprint})" if made.fingerprint else ""
    options.echo(f"endpoint {name} {what}: {made.url}{known}")
    _tell_secret(told)
    for warning in made.warnings:
        options.echo(f"warning: {warning}")


@app.command("list")
def list_(
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Show the endpoints and what became of the messages for each."""
    with connect(url, config, token_file) as client:
        found = client.endpoints()
    if json_:
        options.echo(json.dumps([plain(one) for one in found]))
        return
    if not found:
        options.echo(f"no endpoint yet: `{command('endpoint add NAME URL')}`")
        return
    _print_list(found)


@app.command()
def test(
    name: Name,
    timeout_s: Annotated[float, typer.Option(help="How long to wait for the outcome.")] = 30.0,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Send a test, wait, and show what came back; exit code 1 when it did not arrive."""
    with connect(url, config, token_file) as client:
        found = client.test_endpoint(name, timeout_s=timeout_s)
    if json_:
        options.echo(json.dumps(plain(found)))
    else:
        last = found.tried[-1] if found.tried else None
        took = f" in {last.duration_ms:,} ms" if last is not None else ""
        if found.state == "delivered":
            options.echo(f"endpoint {name} answered {found.status}{took}")
        else:
            options.echo(f"endpoint {name}: {found.error or found.state}{took}")
        if last is not None and last.response:
            shown = " ".join(last.response[:_SHOWN].split())
            options.echo(f"  {shown}{' ...' if len(last.response) > _SHOWN else ''}")
    if found.state != "delivered":
        raise typer.Exit(1)


@app.command()
def rotate(
    name: Name,
    secret: SecretFile = None,
    overlap_s: Annotated[
        int, typer.Option(help="For how long the secret before signs, too.")
    ] = 86_400,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Sign with a new secret from now on, and with the one before for a day, too."""
    with connect(url, config, token_file) as client:
        kind = Kind.webhook if secret is None else Kind(client.endpoint(name).kind)
        made = client.rotate_endpoint(name, secret=_secret(secret, kind), overlap_s=overlap_s)
    told = made if secret is None else dataclasses.replace(made, secret=None)
    if json_:
        options.echo(json.dumps(plain(told)))
        return
    until = (
        "" if made.rotating_until is None else f"; both sign until {instant(made.rotating_until)}"
    )
    options.echo(f"endpoint {name} has a new secret ({made.fingerprint}){until}")
    _tell_secret(told)


@app.command()
def enable(
    name: Name,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Send to it again: what has waited, and what is decided from now on."""
    with connect(url, config, token_file) as client:
        found = client.enable_endpoint(name)
    if json_:
        options.echo(json.dumps(plain(found)))
    else:
        waiting = counted(found.pending, "message") + (" waits" if found.pending == 1 else " wait")
        options.echo(f"endpoint {name} is enabled; {waiting} for it")


@app.command()
def disable(
    name: Name,
    reason: Annotated[str, typer.Option(help="What others read.")] = "disabled by hand",
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Send nothing to it for now: what waits keeps waiting, what comes is not kept for it."""
    with connect(url, config, token_file) as client:
        found = client.disable_endpoint(name, reason)
    if json_:
        options.echo(json.dumps(plain(found)))
    else:
        options.echo(f"endpoint {name} is disabled: {found.disabled_reason}")


@app.command()
def remove(
    name: Name,
    url: Url = None,
    token_file: access.TokenFile = None,
    config: options.ConfigFile = None,
    json_: options.AsJson = False,
) -> None:
    """Send nothing to it any more and forget its secret; what was sent stays listed."""
    with connect(url, config, token_file) as client:
        cancelled = client.remove_endpoint(name)
    if json_:
        options.echo(json.dumps({"name": name, "cancelled": cancelled}))
    else:
        were = "message that waited is" if cancelled == 1 else "messages that waited are"
        lost = f"; {cancelled:,} {were} cancelled" if cancelled else ""
        options.echo(f"endpoint {name} is removed{lost}")


def _mail(sender: str | None, to: list[str] | None, user: str | None) -> dict[str, Any] | None:
    """Who a mail is from and for, where anything of it is given."""
    given = {"from": sender or "", "to": to or [], "user": user}
    return given if any(given.values()) else None


def _trainer(kind: Kind, of_kinds: Mapping[Kind, Mapping[str, Any]]) -> dict[str, Any] | None:
    """What a trainer starts, where anything of it is given.

    Raises
    ------
    InvalidEndpoint
        Something of another kind is.
    """
    given = {
        one: {name: value for name, value in options_.items() if value is not None}
        for one, options_ in of_kinds.items()
    }
    for other, found in given.items():
        if found and other != kind:
            name = next(iter(found)).removesuffix("s")
            raise InvalidEndpoint(f"--{name} is of --kind {other.value}, not of {kind.value}")
    return given.get(kind) or None


def _parameters(given: list[str] | None) -> dict[str, str] | None:
    """Job parameters by name.

    Raises
    ------
    InvalidEndpoint
        One has no name.
    """
    if not given:
        return None
    found = dict(one.partition("=")[::2] for one in given)
    if "" in found or any("=" not in one for one in given):
        raise InvalidEndpoint("a job parameter is NAME=VALUE, such as report={report_url}")
    return found


def _secret(file: str | None, kind: Kind) -> str | None:
    """The secret in a file: an argument would stand in the shell's history.

    Raises
    ------
    ConfigError
        The file cannot be read, or is empty.
    InvalidEndpoint
        It is no secret.
    """
    if file is None:
        return None
    from driftline.errors import WebhookVerificationError
    from driftline.webhooks import key_of

    text = sys.stdin.read() if file == "-" else secret_from(file, "--secret", "command line")
    if kind != Kind.webhook:
        return text.strip()
    try:
        key_of(text)
    except WebhookVerificationError as error:
        raise InvalidEndpoint(f"{file}: {error.detail}") from None
    return text.strip()


def _tell_secret(made: answers.NewEndpoint) -> None:
    if made.secret is not None:
        options.echo(f"  its secret, shown this once: {made.secret}")


def _print_list(found: list[answers.Endpoint]) -> None:
    """A line with name, state and address of each, and lines of what became of its messages.

    A line for each thing fits a narrow terminal; a table folded URLs letter by letter.
    """
    for one in found:
        state = one.state if one.is_enabled else f"disabled: {one.disabled_reason}"
        last = (
            "never tried" if one.last_attempt is None else f"last tried {instant(one.last_attempt)}"
        )
        counts = f"{one.delivered:,} delivered, {one.failed:,} given up, {one.pending:,} pending"
        kind = "" if one.kind == "webhook" else f"{one.kind}, "
        options.echo(line(f"{one.name} ({kind}{state})"))
        starts = "" if one.starts is None else f"; starts {one.starts}"
        options.echo(line(f"  {one.url}{starts}"))
        secret = f"; secret {one.fingerprint}" if one.fingerprint else ""
        options.echo(f"  {counts}{secret}")
        wrong = "" if one.last_error is None else f": {one.last_error}"
        options.echo(line(f"  {last}{wrong}"))
