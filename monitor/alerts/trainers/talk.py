"""A conversation with a trainer: a few requests to one address, with one end in time."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from monitor.alerts.http import Response, text
from monitor.alerts.schedule import Answer, retry_after_s

# A run of a job with hundreds of tasks is told in some 300 KB.
MAX_BYTES: Final = 2_000_000
MAX_PAGE: Final = 2_000
# What is shown of the words of a trainer.
SHOWN: Final = 300
State = Literal["queued", "running", "succeeded", "failed"]
# What was learnt of an address and its credentials; lost with the process, and learnt again.
Memory = dict[str, str]


class Call(Protocol):
    """What makes a request, and never raises."""

    def __call__(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        *,
        most_bytes: int = ...,
        timeout_s: float | None = None,
    ) -> Response: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """How a run is.

    Attributes
    ----------
    state
        None where the trainer did not say: it is asked again.
    words
        What it says of it, or why it says nothing, in a line.
    retry_after_s
        For how long it wants not to be asked, where it says so.
    """

    state: State | None
    words: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """An answer in a conversation.

    Attributes
    ----------
    status, error
        One of them is None: there was an answer, or there is why not.
    data
        Its JSON object; empty where it is none.
    is_json
        Whether it is one.
    """

    status: int | None
    error: str | None
    data: Mapping[str, Any] = field(default_factory=dict)
    is_json: bool = False
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether it is what was asked for: 2xx, and a JSON object."""
        return self.status is not None and 200 <= self.status < 300 and self.is_json

    @property
    def words(self) -> str:
        """What it says in its own words, in one line; its beginning where it is no JSON."""
        for name in ("message", "detail", "title"):
            found = self.data.get(name)
            if isinstance(found, str) and found:
                return line(found)
            if found:
                return line(json.dumps(found, ensure_ascii=False))
        return line(self.body)

    def refused(self, why: str) -> Answer:
        """Return this answer as a failure, for a reason that people read."""
        return Answer(self.status, why, self.headers.get("retry-after"), self.body)

    def unseen(self, who: str) -> Seen:
        """Return this answer as one that does not say how a run is."""
        wait_s = retry_after_s(self.headers.get("retry-after"), round(time.time() * 1_000))
        return Seen(None, f"{who} {self.said}", wait_s)

    @property
    def said(self) -> str:
        """What came back, as the rest of a sentence about who answered."""
        if self.status is None:
            return f"gave no answer: {self.error}"
        if 300 <= self.status < 400:
            return f"answered {self.status}: redirects are not followed, name the new address"
        if not self.is_json:
            shown = f", {self.words!r}" if self.body.strip() else ""
            return f"answered {self.status} and no JSON{shown}: is this its address?"
        return f"answered {self.status}" + (f": {self.words}" if self.words else "")


class Talk:
    """Asks one address.

    Parameters
    ----------
    call
        What makes a request.
    url
        What the trainer's paths are below.
    memory
        What was learnt before; what is written there lasts.
    most_s
        For all of it.
    """

    def __init__(self, call: Call, url: str, memory: Memory, most_s: float) -> None:
        self._call, self.url, self.memory = call, url.rstrip("/"), memory
        self._until_s, self._most_s = time.monotonic() + most_s, most_s

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Told:
        """Ask for something."""
        return self._ask("GET", path, headers or {}, b"")

    def post(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Told:
        """Send a JSON object."""
        content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        return self._ask("POST", path, {"content-type": "application/json", **headers}, content)

    def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Told:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            return Told(None, f"no answer within {self._most_s:g} s")
        told = self._call(
            method, self.url + path, {"accept": "application/json", **headers}, body,
            most_bytes=MAX_BYTES, timeout_s=left_s,
        )  # fmt: skip
        if told.status is None:
            return Told(None, told.error)
        data = _object(told)
        return Told(told.status, None, data or {}, data is not None, text(told.body), told.headers)


def _object(told: Response) -> dict[str, Any] | None:
    """Return the JSON object of an answer; None where it is none, as one that was cut off."""
    try:
        found = json.loads(told.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def page_of(address: object) -> str | None:
    """Return an address that people are led to, where a trainer names one that a browser opens.

    Examples
    --------
    >>> page_of("https://workspace.example/runs/1"), page_of("javascript:alert(1)")
    ('https://workspace.example/runs/1', None)
    """
    if not isinstance(address, str) or not address.isprintable() or len(address) > MAX_PAGE:
        return None
    return address if address.startswith(("https://", "http://")) else None


def line(words: str) -> str:
    """Return words of a trainer as they are stored and shown: one line, of what can be seen."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in words[: SHOWN * 4]).split())
    return shown if len(shown) <= SHOWN else f"{shown[: SHOWN - 4]} ..."
