"""Apprise: the hundred services that it knows, by an address of its own kind (`discord://...`).

Apprise dials by itself, so it runs in a process of its own (`monitor.alerts.apprise_child`) in
which every connection is checked where it is made: neither a name that leads inside nor a
redirect gets past. That process is ended when its time is over.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from driftline.errors import InvalidEndpoint
from monitor.alerts.guard import Network
from monitor.alerts.http import TIMEOUT_S
from monitor.alerts.said import Said
from monitor.alerts.schedule import Answer

MAX_URL: Final = 2_000
# What a library that is loaded for it needs before it sends: some 2 s on a small machine.
_LOADING_S: Final = 15.0
_NEEDED: Final = ("PATH", "PYTHONPATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "TZ")
_TYPES: Final = {"critical": "failure", "warning": "warning", "over": "success"}


class Notifier:
    """Sends messages through Apprise; `allow` as `alerts.allow` has it."""

    def __init__(self, allow: Sequence[Network] = (), *, timeout_s: float = TIMEOUT_S) -> None:
        self._allow, self._timeout_s = tuple(allow), timeout_s

    def __call__(self, url: str, said: Said) -> Answer:
        """Send one message; nothing is raised."""
        if not is_installed():
            return Answer(error="Apprise is not installed here: pip install 'driftline[apprise]'")
        asked = {
            "url": url,
            "allow": [str(network) for network in self._allow],
            "title": f"[{said.word}] {said.model} {said.version}".strip(),
            "body": "\n".join((said.summary, *(() if said.is_over else said.lines), said.url)),
            "type": _TYPES.get(said.word, "info"),
        }
        return _ask(asked, self._timeout_s + _LOADING_S)


def check(url: str) -> None:
    """Refuse an address that Apprise cannot read.

    Raises
    ------
    InvalidEndpoint
        Apprise is not there, or knows no such service.
    """
    if len(url) > MAX_URL or not url.isprintable():
        raise InvalidEndpoint("the address is no Apprise address: see its documentation")
    if not is_installed():
        raise InvalidEndpoint(
            "the server has no Apprise: pip install 'driftline[apprise]' there, and start it again"
        )
    answer = _ask({"url": url, "check": True, "allow": []}, _LOADING_S)
    if not answer.is_delivered:
        raise InvalidEndpoint(answer.error or "Apprise cannot read this address")


def is_installed() -> bool:
    """Whether there is an Apprise."""
    return importlib.util.find_spec("apprise") is not None


def _ask(asked: Mapping[str, object], timeout_s: float) -> Answer:
    """Let the child do it; a proxy of the environment is not asked."""
    environment = {name: os.environ[name] for name in _NEEDED if name in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "monitor.alerts.apprise_child"],
            input=json.dumps(asked).encode(), capture_output=True, timeout=timeout_s, check=False,
            env=environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Answer(error=f"no answer within {timeout_s:g} s")
    try:
        told = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return Answer(error=f"Apprise ended with exit code {done.returncode}")
    return Answer(status=200) if told["sent"] else Answer(error=str(told["why"])[:500])
