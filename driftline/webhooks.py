"""Webhooks that can be trusted: signed by Standard Webhooks 1.0, verified before they are read.

The service signs with `sign`; a receiver calls `verify_webhook`. Only the standard library is
used, so that a receiver needs nothing else. Nothing here keeps or prints a secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets as randomness
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from driftline.errors import WebhookVerificationError

T = TypeVar("T")
Text = str | bytes


class WithItems(Protocol):
    """What has headers as (name, value) pairs, as every server's request has."""

    def items(self) -> Iterable[tuple[Any, Any]]: ...


Headers = Mapping[str, str] | Mapping[bytes, bytes] | WithItems | Iterable[tuple[Text, Text]]

PREFIX: Final = "whsec_"
# Standard Webhooks: between 192 and 512 bits.
MIN_SECRET_BYTES, MAX_SECRET_BYTES = 24, 64
NEW_SECRET_BYTES: Final = 32
# Epoch seconds have ten digits until the year 2286; longer ones only cost time.
_MAX_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class AlertWindow:
    """Event time that was judged: `[start, end)`."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class AlertIncident:
    """One incident that an alert is about; None where it does not say.

    Attributes
    ----------
    id
        The incident's number, as on the pages and in the API.
    value, limit
        The statistic's value in that window, and what it was held against.
    window
        What was judged; of a silence (`kind` volume), the time without predictions.
    raw
        Everything that was said of it.
    """

    id: int | None
    feature: str | None
    segment: str | None
    kind: str | None
    statistic: str | None
    value: float | None
    limit: float | None
    window: AlertWindow | None
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Alert:
    """A verified message; None where it does not say.

    Attributes
    ----------
    webhook_id
        The same each time the same message is sent: what was seen with it was done already.
    type
        Such as ``drift.detected``, ``model.silent`` or ``schema.broken``; all messages of one
        alert have the same word before the dot. Newer servers may send types that this release
        does not know.
    timestamp
        When it was decided.
    alert_id, sequence
        Messages of one alert count up from 1; one that comes late has the smaller number.
    raw
        The whole body, with what this release does not know.
    """

    webhook_id: str
    type: str
    timestamp: datetime
    alert_id: str | None
    sequence: int
    model: str | None
    version: str | None
    severity: str | None
    summary: str | None
    url: str | None
    incidents: tuple[AlertIncident, ...]
    raw: Mapping[str, Any] = field(repr=False)

    @property
    def is_reminder(self) -> bool:
        """Whether nothing is new: it says again what still stands, with the same `sequence`."""
        data = self.raw.get("data")
        return isinstance(data, Mapping) and data.get("reminder") is True

    @property
    def successor(self) -> str | None:
        """Which version took over, where that is why the alert ended; None otherwise."""
        data = self.raw.get("data")
        if not isinstance(data, Mapping) or data.get("ended") != "superseded":
            return None
        found = data.get("successor")
        return found if isinstance(found, str) else None


def verify_webhook(
    headers: Headers,
    body: Text,
    secrets: str | Iterable[str],
    *,
    tolerance_s: float = 300,
) -> Alert:
    """Return what a webhook says, when it comes from a holder of one of the secrets, and is fresh.

    Parameters
    ----------
    headers
        All headers of the request, whatever their case: a mapping, or (name, value) pairs.
    body
        The request's body as it came; parsed and written again it has another signature.
    secrets
        The endpoint's secret (``whsec_...``), or several while one takes over from another.
    tolerance_s
        How far its timestamp may be from this machine's clock, either way.

    Raises
    ------
    WebhookVerificationError
        It is not to be trusted; `reason` is missing_header, bad_timestamp, no_match, too_old,
        too_new, bad_body or bad_secret.

    Examples
    --------
    >>> import time
    >>> secret, now_s = new_secret(), int(time.time())
    >>> body = b'{"type": "endpoint.test", "timestamp": "2025-06-02T08:00:00Z", "data": {}}'
    >>> headers = {
    ...     "Webhook-Id": "msg_1",
    ...     "Webhook-Timestamp": str(now_s),
    ...     "Webhook-Signature": sign(secret, "msg_1", now_s, body),
    ... }
    >>> verify_webhook(headers, body, secret).type
    'endpoint.test'
    >>> verify_webhook(headers, body + b" ", secret)
    Traceback (most recent call last):
    driftline.errors.WebhookVerificationError: no_match: no signature in webhook-signature is of \
one of the secrets: compare the secret with the endpoint's, and pass the body as it came
    """
    return verified(headers, body, secrets, now_s=time.time(), tolerance_s=tolerance_s)


def verified(
    headers: Headers,
    body: Text,
    secrets: str | Iterable[str],
    *,
    now_s: float,
    tolerance_s: float,
) -> Alert:
    """Return what `verify_webhook` returns at `now_s`, epoch seconds."""
    keys = _keys(secrets)
    given = _wanted(headers)
    webhook_id = given["webhook-id"]
    stamp = given["webhook-timestamp"]
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= _MAX_DIGITS):
        raise WebhookVerificationError(
            "bad_timestamp", f"webhook-timestamp is {stamp[:40]!r}, not epoch seconds"
        )
    content = body.encode() if isinstance(body, str) else bytes(body)
    signed = _signed(webhook_id, int(stamp), content)
    expected = [_digest(key, signed) for key in keys]
    if not _matches(given["webhook-signature"], expected):
        raise WebhookVerificationError(
            "no_match",
            "no signature in webhook-signature is of one of the secrets: compare the secret with "
            "the endpoint's, and pass the body as it came",
        )
    age_s = now_s - int(stamp)
    if age_s > tolerance_s:
        raise WebhookVerificationError(
            "too_old", f"it was sent {age_s:.0f} s ago, {tolerance_s:g} s are tolerated"
        )
    if age_s < -tolerance_s:
        raise WebhookVerificationError(
            "too_new",
            f"it was sent {-age_s:.0f} s in the future, {tolerance_s:g} s are tolerated: "
            "is this machine's clock right?",
        )
    return _alert(webhook_id, content)


def sign(secret: str, webhook_id: str, timestamp_s: int, body: Text) -> str:
    """Return one signature as `webhook-signature` carries it; several are separated by spaces.

    Raises
    ------
    WebhookVerificationError
        The secret is none (`bad_secret`).

    Examples
    --------
    >>> sign(
    ...     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    ...     "msg_p5jXN8AQM9LWM0D4loKWxJek",
    ...     1614265330,
    ...     '{"test": 2432232314}',
    ... )
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    content = body.encode() if isinstance(body, str) else body
    return "v1," + _digest(key_of(secret), _signed(webhook_id, timestamp_s, content)).decode()


def new_secret() -> str:
    """Return a new random secret.

    Examples
    --------
    >>> len(key_of(new_secret()))
    32
    """
    return PREFIX + base64.b64encode(randomness.token_bytes(NEW_SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Return the bytes that a secret stands for.

    Raises
    ------
    WebhookVerificationError
        It is no base64, or not of 24 to 64 bytes (`bad_secret`).

    Examples
    --------
    >>> key_of("whsec_c2hvcnQ=")
    Traceback (most recent call last):
    driftline.errors.WebhookVerificationError: bad_secret: a secret stands for 24 to 64 bytes, \
this one for 5
    """
    if not isinstance(secret, str):
        raise WebhookVerificationError(
            "bad_secret", f"a secret is a text such as whsec_..., not {type(secret).__name__}"
        )
    text = secret.strip().removeprefix(PREFIX)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        # Nothing of it is repeated: errors end in logs.
        raise WebhookVerificationError(
            "bad_secret", "a secret is base64, with whsec_ before it or not"
        ) from None
    if not MIN_SECRET_BYTES <= len(key) <= MAX_SECRET_BYTES:
        raise WebhookVerificationError(
            "bad_secret",
            f"a secret stands for {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} bytes, this one for "
            f"{len(key)}",
        )
    return key


def fingerprint(secret: str) -> str:
    """Return what tells secrets apart and gives none away: eight hexadecimal digits.

    Examples
    --------
    >>> fingerprint("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    'f74e1720'
    """
    return hashlib.sha256(key_of(secret)).hexdigest()[:8]


def _keys(secrets: str | Iterable[str]) -> list[bytes]:
    if secrets is None:
        raise WebhookVerificationError(
            "bad_secret", "there is no secret: is the variable that holds it set?"
        )
    listed = [secrets] if isinstance(secrets, str) else list(secrets)
    if not listed:
        raise WebhookVerificationError("bad_secret", "there is no secret: the list is empty")
    return [key_of(secret) for secret in listed]


def _wanted(headers: Headers) -> dict[str, str]:
    pairs: Iterable[Any] = headers.items() if hasattr(headers, "items") else headers
    found: dict[str, str] = {}
    for name, value in pairs:
        # The first of a name counts; a second one could only be somebody else's.
        found.setdefault(_text(name).lower(), _text(value).strip())
    wanted = ("webhook-id", "webhook-timestamp", "webhook-signature")
    missing = [name for name in wanted if not found.get(name)]
    if missing:
        raise WebhookVerificationError(
            "missing_header", f"the request has no {' and no '.join(missing)}"
        )
    return {name: found[name] for name in wanted}


def _text(value: Text) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _signed(webhook_id: str, timestamp_s: int, content: bytes) -> bytes:
    return f"{webhook_id}.{timestamp_s}.".encode() + content


def _digest(key: bytes, signed: bytes) -> bytes:
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())


def _matches(header: str, expected: list[bytes]) -> bool:
    """Whether one signature is right; every pair is compared, each in constant time."""
    is_right = False
    for part in header.split(" "):
        version, _, signature = part.partition(",")
        if version != "v1":  # of a newer standard: another one beside it may be ours
            continue
        for one in expected:
            is_right |= hmac.compare_digest(signature.encode(), one)
    return is_right


def _alert(webhook_id: str, content: bytes) -> Alert:
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError):
        raise WebhookVerificationError("bad_body", "the body is no JSON") from None
    whole = _Fields(raw, "the body")
    data = _Fields(whole.required("data", dict), "data")
    return Alert(
        webhook_id=webhook_id,
        type=whole.required("type", str),
        timestamp=_instant(whole.required("timestamp", str), "timestamp"),
        alert_id=data.get("alert_id", str),
        sequence=data.get("sequence", int) or 0,
        model=data.get("model", str),
        version=data.get("version", str),
        severity=data.get("severity", str),
        summary=data.get("summary", str),
        url=data.get("url", str),
        incidents=tuple(_incident(one) for one in data.get("incidents", list) or ()),
        raw=raw,
    )


def _incident(raw: object) -> AlertIncident:
    # A request for a retraining names the incidents that it stands on by their numbers alone.
    is_number = isinstance(raw, int) and not isinstance(raw, bool)
    said = _Fields({"id": raw} if is_number else raw, "an incident")
    window = said.get("window", dict)
    return AlertIncident(
        id=said.get("id", int),
        feature=said.get("feature", str),
        segment=said.get("segment", str),
        kind=said.get("kind", str),
        statistic=said.get("statistic", str),
        value=said.number("value"),
        limit=said.number("limit"),
        window=None if window is None else _window(_Fields(window, "a window")),
        raw=said.raw,
    )


def _window(said: _Fields) -> AlertWindow:
    return AlertWindow(
        _instant(said.required("start", str), "start"), _instant(said.required("end", str), "end")
    )


def _instant(text: str, what: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise WebhookVerificationError("bad_body", f"{what} is no RFC 3339 time: {text[:40]!r}")
    return found


class _Fields:
    """The members of a JSON object, each of the type that is expected."""

    def __init__(self, raw: object, what: str) -> None:
        if not isinstance(raw, dict):
            raise WebhookVerificationError("bad_body", f"{what} is no JSON object")
        self.raw, self._what = raw, what

    def get(self, name: str, kind: type[T]) -> T | None:
        value = self.raw.get(name)
        # True is an int to Python, and no number to anybody else.
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
            raise WebhookVerificationError(
                "bad_body", f"{name} of {self._what} is no {kind.__name__}"
            )
        return value

    def required(self, name: str, kind: type[T]) -> T:
        value = self.get(name, kind)
        if value is None:
            raise WebhookVerificationError("bad_body", f"{self._what} has no {name}")
        return value

    def number(self, name: str) -> float | None:
        value = self.raw.get(name)
        whole = self.get(name, int) if isinstance(value, int) else self.get(name, float)
        return None if whole is None else float(whole)
