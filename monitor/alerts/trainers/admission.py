"""What may become a trainer: what it starts, and what opens it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from driftline.errors import InvalidEndpoint
from monitor.alerts.trainers import github
from monitor.alerts.trainers.asked import WORDS, unknown_words
from monitor.storage.endpoints import AIRFLOW, DATABRICKS, GITHUB

_DAG: Final = re.compile(r"[\w.-]{1,250}")
_REPOSITORY: Final = re.compile(
    r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,100}"
)
_PARAMETER: Final = re.compile(r"[A-Za-z0-9_.-]{1,100}")
# A token goes into a header.
_TOKEN: Final = re.compile(r"[!-~]{1,4096}")
_MENDS: Final = {
    AIRFLOW: "which DAG it starts (--dag)",
    DATABRICKS: "which job it runs (--job)",
    GITHUB: "which repository is told (--repository owner/name)",
}
_SECRETS: Final = {
    DATABRICKS: "a token as the secret, of a service principal that may run the job",
    GITHUB: "a token as the secret, with the right `contents: write` on the repository",
}


def settings_of(kind: str, url: str, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings of a trainer as they are stored.

    Raises
    ------
    InvalidEndpoint
        They, or its address, cannot be.
    """
    parts = urlsplit(url)
    if parts.query:
        raise InvalidEndpoint(
            f"the address of a trainer of kind {kind} has no ?query: leave it out"
        )
    if given is None:
        raise InvalidEndpoint(f"an endpoint of kind {kind} needs {_MENDS[kind]}")
    found = {name: value for name, value in given.items() if value is not None}
    if kind == AIRFLOW:
        return _airflow(parts.path, found)
    if kind == DATABRICKS:
        return _databricks(parts.path, found)
    return _github(parts.hostname or "", parts.path, found)


def secret_of(kind: str, text: str, settings: Mapping[str, Any]) -> str:
    """Return what opens a trainer, as it is stored.

    Raises
    ------
    InvalidEndpoint
        It is none.
    """
    if kind == AIRFLOW and settings.get("user"):
        if not text or not text.isprintable():
            raise InvalidEndpoint(
                "an Airflow user needs its password as the secret, of what people type"
            )
        return text
    token = text.strip()
    if _TOKEN.fullmatch(token) is None:
        needs = _SECRETS.get(
            kind, "a user (--user) and its password as the secret, or a token without a user"
        )
        raise InvalidEndpoint(f"an endpoint of kind {kind} needs {needs}")
    return token


def _airflow(path: str, given: dict[str, Any]) -> dict[str, Any]:
    if re.search(r"/api/v\d|/auth/token", path):
        raise InvalidEndpoint(
            f"the address of Airflow ends before /api: it is what a browser opens, without {path!r}"
        )
    if _DAG.fullmatch(given["dag"]) is None:
        raise InvalidEndpoint(
            f"{given['dag'][:80]!r} is no DAG's id: it has letters, digits, dots, dashes and "
            "underscores"
        )
    user = given.get("user")
    if user is not None and (not user or not user.isprintable() or ":" in user):
        raise InvalidEndpoint(f"{user[:80]!r} is no Airflow user's name")
    return given


def _databricks(path: str, given: dict[str, Any]) -> dict[str, Any]:
    if path.strip("/"):
        raise InvalidEndpoint(
            "the address of a workspace ends with its host, such as "
            "https://dbc-a1b2345c-d6e7.cloud.databricks.com"
        )
    for name, value in given.get("parameters", {}).items():
        if _PARAMETER.fullmatch(name) is None:
            raise InvalidEndpoint(
                f"{name[:80]!r} is no job parameter's name: letters, digits, dots, dashes and "
                "underscores"
            )
        for word in unknown_words(value):
            raise InvalidEndpoint(
                f"parameter {name}: nothing fills {{{word}}}; there are "
                + ", ".join(f"{{{known}}}" for known in WORDS)
            )
    return given


def _github(host: str, path: str, given: dict[str, Any]) -> dict[str, Any]:
    if host in ("github.com", "www.github.com"):
        raise InvalidEndpoint(
            f"the address is that of GitHub's API, {github.URL}, and the repository stands beside "
            "it; GitHub Enterprise has https://HOST/api/v3"
        )
    if "/repos" in path:
        raise InvalidEndpoint("the address of GitHub's API ends before /repos")
    if _REPOSITORY.fullmatch(given["repository"]) is None:
        raise InvalidEndpoint(f"{given['repository'][:80]!r} is no repository: write owner/name")
    event = given.get("event", github.EVENT)
    if not event.strip() or not event.isprintable():
        raise InvalidEndpoint("an event's name has 1 to 100 characters that can be seen")
    return {**given, "event": event}
