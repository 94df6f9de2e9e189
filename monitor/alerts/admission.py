"""What may become an endpoint: its address, its secret and its settings, by its kind.

What of them is of trainers is in `monitor.alerts.trainers.admission`.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from driftline import webhooks
from driftline.errors import InvalidEndpoint, WebhookVerificationError
from monitor.alerts import apprise, guard
from monitor.alerts.guard import MAIL_PORTS, Network, Target
from monitor.alerts.trainers import admission as training
from monitor.alerts.ways import APPRISE, PAGERDUTY, SLACK, SMTP
from monitor.detect.retraining import TRAINS_ONLY
from monitor.storage.endpoints import AIRFLOW, WEBHOOK, Endpoint

# An integration key of Events API v2.
_KEY: Final = re.compile(r"[A-Za-z0-9]{32}")
_MAILBOX: Final = re.compile(r"[^\s@<>,;:\"\\]+@[A-Za-z0-9.-]+")


@dataclass(frozen=True, slots=True)
class Admitted:
    """What is stored of an endpoint to be, and what to know about it.

    `made` is a secret that was made for it, told this once.
    """

    secret: str | None = field(repr=False)
    made: str | None = field(default=None, repr=False)
    settings: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def admit(
    kind: str,
    url: str,
    secret: str | None,
    given: Mapping[str, dict[str, Any]],
    allow: Sequence[Network],
) -> Admitted:
    """Return what is stored of an endpoint; `given` are settings by the kind that they are of.

    Raises
    ------
    InvalidEndpoint
        Its address, its secret or its settings cannot be.
    """
    mail = given.get(SMTP)
    if mail is not None and kind != SMTP:
        raise InvalidEndpoint(f"who a mail is from and for is of kind smtp, not of {kind}")
    for other in sorted(given.keys() - {kind}):
        raise InvalidEndpoint(f"what a trainer of kind {other} starts is not of kind {kind}")
    if kind in TRAINS_ONLY:
        target, warnings = _web(url, allow)
        settings = training.settings_of(kind, url, given.get(kind))
        if warnings and kind == AIRFLOW:
            warnings = [
                f"{target.host} is told over plain http, and with it what opens it: whoever is "
                "on the way can start runs, too; use https where it leaves this machine"
            ]
        elif warnings:
            raise InvalidEndpoint(f"{target.host} is told its token over plain http: use https")
        return Admitted(
            training.secret_of(kind, secret or "", settings), settings=settings, warnings=warnings
        )
    match kind:
        case "webhook":
            _, warnings = _web(url, allow)
            made = webhooks.new_secret() if secret is None else None
            return Admitted(made or secret_of(WEBHOOK, secret or ""), made, warnings=warnings)
        case "slack" | "pagerduty":
            target, warnings = _web(url, allow)
            if warnings:
                raise InvalidEndpoint(
                    f"{target.host} is told over plain http, and with it what lets others write "
                    "there: use https"
                )
            if kind == PAGERDUTY:
                return Admitted(secret_of(PAGERDUTY, secret or ""))
        case "smtp":
            return _mail(url, secret, mail, allow)
        case "apprise":
            apprise.check(url)
    if secret is not None:
        raise InvalidEndpoint(f"an endpoint of kind {kind} has no secret but its address")
    return Admitted(None)


def secret_of(kind: str, text: str, settings: Mapping[str, Any] | None = None) -> str:
    """Return the secret of an endpoint as it is stored; its settings say of what it is.

    Raises
    ------
    InvalidEndpoint
        It cannot be one; or the kind has none.
    """
    if kind == WEBHOOK:
        try:
            webhooks.key_of(text)
        except WebhookVerificationError as error:
            raise InvalidEndpoint(error.detail) from None
        return text.strip()
    if kind in TRAINS_ONLY:
        return training.secret_of(kind, text, settings or {})
    if kind == PAGERDUTY:
        if _KEY.fullmatch(text.strip()) is None:
            raise InvalidEndpoint(
                "an endpoint of kind pagerduty needs its integration key (Events API v2) as the "
                "secret: 32 letters and digits"
            )
        return text.strip()
    if kind == SMTP:
        if not text or not text.isprintable():
            raise InvalidEndpoint("the password is empty, or holds what nobody types")
        return text
    raise InvalidEndpoint(
        f"the secret of an endpoint of kind {kind} is its address: remove it, and add the new one"
    )


def fingerprint_of(endpoint: Endpoint) -> str | None:
    """Return what tells an endpoint's secret from others; None where it has none."""
    if endpoint.kind in (SLACK, APPRISE) or not endpoint.secrets:
        return None
    secret = endpoint.secrets[0].value
    if endpoint.kind == WEBHOOK:
        return webhooks.fingerprint(secret)
    return hashlib.sha256(f"{endpoint.kind}:{secret}".encode()).hexdigest()[:8]


def _web(url: str, allow: Sequence[Network]) -> tuple[Target, list[str]]:
    target = guard.target_of(url)
    address = _checked(target, allow)
    if target.scheme == "http" and (address is None or not address.is_loopback):
        return target, [
            f"{target.host} is told over plain http: whoever is on the way can read it, though "
            "not change it; use https where it leaves this machine"
        ]
    return target, []


def _mail(
    url: str, password: str | None, mail: dict[str, Any] | None, allow: Sequence[Network]
) -> Admitted:
    target = guard.target_of(url, MAIL_PORTS)
    if target.path != "/":
        raise InvalidEndpoint("a mail server's address ends with its name or its port")
    _checked(target, allow)
    if mail is None:
        raise InvalidEndpoint("an endpoint of kind smtp needs who a mail is from, and for whom")
    for mailbox in (mail["from"], *mail["to"]):
        if _MAILBOX.fullmatch(mailbox) is None or not mailbox.isascii():
            raise InvalidEndpoint(f"{mailbox[:80]!r} is no mailbox: write name@firm.example")
    if (password is None) != (mail.get("user") is None):
        raise InvalidEndpoint("a mail server's user and password (the secret) go together")
    settings = {name: value for name, value in mail.items() if value is not None}
    return Admitted(None if password is None else secret_of(SMTP, password), settings=settings)


def _checked(
    target: Target, allow: Sequence[Network]
) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    address = guard.literal(target.host)
    if address is not None:
        # A name may mean another address by the time something is sent: it is checked then.
        try:
            guard.checked(target, [address], allow)
        except guard.Refused as error:
            raise InvalidEndpoint(str(error)) from None
    return address
