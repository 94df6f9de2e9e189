"""What a message asks a trainer for: its frozen body, as each trainer passes it on."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from monitor.storage.outbox import Message

# What run ids and tokens of every trainer may hold.
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,50}")
# What a parameter of a job may be filled with.
WORDS: Final = (
    "request_id", "key", "model", "version", "reason", "url", "report_url", "deadline", "request",
)  # fmt: skip
_WORD: Final = re.compile(r"\{([a-z_]*)\}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for a retraining as its message tells it.

    Attributes
    ----------
    name
        The same for the same request for ever, of at most 64 letters, digits, dashes and
        underscores: what makes a second start of it no second training.
    data
        All of it, as a webhook's receiver would read it.
    """

    name: str
    data: Mapping[str, Any]

    @property
    def is_dry_run(self) -> bool:
        """Whether nothing is to be started."""
        return self.data.get("dry_run") is True

    @property
    def sentence(self) -> str:
        """What it is about, as a person reads it in the trainer's own pages."""
        named = f"{self.data.get('model', '?')} {self.data.get('version', '')}".strip()
        why = str(self.data.get("reason") or "")
        where = str(self.data.get("url") or "")
        return " ".join(part for part in (f"Driftline asks for {named}:", why, where) if part)


def asked_of(message: Message) -> Asked:
    """Return what a message asks for.

    Examples
    --------
    >>> body = '{"type": "retrain.requested", "timestamp": "", "data": {"model": "m"}}'
    >>> asked_of(Message("retrain_1f", None, 0, "retrain.requested", body)).name
    'driftline-retrain_1f'
    """
    known = message.webhook_id
    if _PLAIN.fullmatch(known) is None:
        known = blake2b(known.encode(), digest_size=16).hexdigest()
    return Asked(f"driftline-{known}", json.loads(message.body)["data"])


def filled(text: str, data: Mapping[str, Any]) -> str:
    """Return a text with the words of a request in the place of their names in braces.

    Examples
    --------
    >>> filled("{model}-{version}", {"model": "flights", "version": "3"})
    'flights-3'
    """

    def word(found: re.Match[str]) -> str:
        name = found[1]
        if name not in WORDS:
            return found[0]
        value = data if name == "request" else data.get(name, "")
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return _WORD.sub(word, text)


def unknown_words(text: str) -> list[str]:
    """Return names in braces that nothing fills.

    Examples
    --------
    >>> unknown_words("{model} {modle}")
    ['modle']
    """
    return [name for name in _WORD.findall(text) if name not in WORDS]
