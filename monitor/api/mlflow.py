"""MLflow's registry webhooks: who signed a delivery, and what it says.

A delivery is believed where `X-MLflow-Signature` is `v1,` and the base64 of the HMAC-SHA256 of
`{X-MLflow-Delivery-Id}.{X-MLflow-Timestamp}.{body}`, with the secret's UTF-8 as the key and the
body as it came, and where its timestamp (Unix seconds) is at most five minutes from now.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from driftline.errors import DriftlineError

TOLERANCE_S: Final = 300
_DIGITS: Final = 12


class Forged(DriftlineError):
    """A delivery that cannot be believed; the text says why, and nothing of what would do."""


class Unreadable(DriftlineError):
    """A signed delivery that is none of MLflow's."""


@dataclass(frozen=True, slots=True)
class Alias:
    """An alias that was set on a version of a registered model."""

    registered: str
    alias: str
    version: str


def signature_of(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """Return what MLflow writes into `X-MLflow-Signature`.

    Examples
    --------
    >>> signature_of("s" * 16, "d-1", "1700000000", b"{}")
    'v1,b69gnmZPmyMlM2bvDPXvF46lBYdi0mE/db3kDCozrgo='
    """
    signed = b".".join([delivery_id.encode(), timestamp.encode(), body])
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def verify(headers: Mapping[str, str], body: bytes, secret: str, *, now_s: float) -> str:
    """Return the id of a delivery that was signed with `secret`.

    Parameters
    ----------
    headers
        By their names in lower case.

    Raises
    ------
    Forged
        It is unsigned, signed otherwise, or too old or too new.
    """
    delivery_id = headers.get("x-mlflow-delivery-id", "")
    timestamp = headers.get("x-mlflow-timestamp", "")
    given = headers.get("x-mlflow-signature", "")
    if not (delivery_id and timestamp and given):
        raise Forged("it is not signed")
    expected = signature_of(secret, delivery_id, timestamp, body).encode()
    is_signed = False
    for one in given.split()[:5]:
        is_signed |= hmac.compare_digest(one.encode("utf-8", "replace"), expected)
    if not is_signed:
        raise Forged("its signature is not made with the hook's secret")
    if len(delivery_id) > 200 or not delivery_id.isprintable():
        raise Forged("its delivery id cannot be")
    is_number = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _DIGITS
    if not is_number or abs(int(timestamp) - now_s) > TOLERANCE_S:
        raise Forged("its timestamp is more than five minutes from now")
    return delivery_id


def alias_of(body: bytes) -> Alias | None:
    """Return which alias a delivery says was set; None where it says something else.

    Raises
    ------
    Unreadable
        It is no delivery of MLflow's.
    """
    try:
        found = json.loads(body)
        entity, action, data = found["entity"], found["action"], found["data"]
        # A deleted alias promotes nothing, nor does a tag.
        if (str(entity).lower(), str(action).lower()) != ("model_version_alias", "created"):
            return None
        name, alias, version = data["name"], data["alias"], data["version"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise Unreadable(f"{type(error).__name__}: it has no entity, action and data") from None
    texts = (name, alias, version)
    if not all(isinstance(text, str) and 0 < len(text) <= 500 for text in texts):
        raise Unreadable("name, alias and version must be texts")
    if not all(text.isprintable() for text in texts):
        # Half characters and NULs are kept by no database, and no hook is for such a name.
        raise Unreadable("name, alias and version must be texts of what can be seen")
    return Alias(name, alias, version)
