"""Who may reach the web process: its address, its names, and the token that it asks for.

Decided before anything is started. On loopback anybody on this machine may ask, unless there is a
token; every other address needs one. The token comes from the environment or a file, never from
the command line, which every process of the machine can read.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from driftline.errors import ConfigError
from monitor.config import Settings, secret_from

VARIABLE: Final = "DRIFTLINE_TOKEN"
READ_VARIABLE: Final = "DRIFTLINE_READ_TOKEN"
MIN_TOKEN: Final = 20
MAX_TOKEN: Final = 500
HOW_TO_MAKE_ONE: Final = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_NAME: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")

TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help=f"File with the server's token; else {VARIABLE}."),
]


@dataclass(frozen=True)
class Access:
    """How the web process is reached.

    Attributes
    ----------
    host
        The address that it listens on.
    hosts
        Names that the Host header may carry.
    token
        What it asks for; None where this machine is trusted.
    read_token
        What those give who only look; None where there is none.
    """

    host: str
    hosts: frozenset[str]
    token: str | None = field(repr=False)
    read_token: str | None = field(default=None, repr=False)


def access(settings: Settings, environment: Mapping[str, str] = os.environ) -> Access:
    """Return how the web process is reached.

    Raises
    ------
    ConfigError
        Others than this machine reach it and there is no token, or no name for it; or one of
        the settings cannot be used.

    Examples
    --------
    >>> from monitor.config import load
    >>> access(load({}), {}).token is None
    True
    >>> access(load({"DRIFTLINE_WEB__HOST": "192.0.2.1"}), {})
    Traceback (most recent call last):
    driftline.errors.ConfigError: web.host (DRIFTLINE_WEB__HOST): got '192.0.2.1', expected a \
loopback address, or a token in DRIFTLINE_TOKEN or web.token_file; make one with: \
python -c "import secrets; print(secrets.token_urlsafe(32))"
    """
    host = settings.text("web.host").strip()
    found = token(settings, environment)
    if not is_loopback(host) and found is None:
        raise ConfigError(
            "web.host", settings.source("web.host"), host,
            f"a loopback address, or a token in {VARIABLE} or web.token_file; make one with: "
            f"{HOW_TO_MAKE_ONE}",
        )  # fmt: skip
    return Access(host, names(settings), found, read_token(settings, environment, found))


def token(settings: Settings, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token of this installation; None where there is none.

    Raises
    ------
    ConfigError
        It is too short to be one, or no header could carry it, or its file cannot be read.
    """
    found = _given(settings, environment, VARIABLE, "web.token_file")
    return None if found is None else found[0]


def read_token(
    settings: Settings, environment: Mapping[str, str] = os.environ, admin: str | None = None
) -> str | None:
    """Return the token of those who may look and change nothing; None where there is none.

    Parameters
    ----------
    admin
        The token of this installation.

    Raises
    ------
    ConfigError
        It cannot be a token; it is the other one; or there is no other one, so that whoever comes
        without any may do everything.
    """
    found = _given(settings, environment, READ_VARIABLE, "web.read_token_file")
    if found is None:
        return None
    given, key, source = found
    if admin is None:
        raise ConfigError(
            key, source, "a token that reads",
            f"a token of those who may change something, too, in {VARIABLE} or web.token_file: "
            f"without one everybody on this machine may",
        )  # fmt: skip
    if given == admin:
        raise ConfigError(
            key, source, f"the token of {VARIABLE} or web.token_file",
            f"another one; make one with: {HOW_TO_MAKE_ONE}",
        )  # fmt: skip
    return given


def _given(
    settings: Settings, environment: Mapping[str, str], variable: str, name: str
) -> tuple[str, str, str] | None:
    """Return a token with the key that it came by and where that stands."""
    given = environment.get(variable, "").strip()
    if given:
        return _checked(given, variable, "environment"), variable, "environment"
    file = settings.text(name)
    if not file:
        return None
    source = settings.source(name)
    return _checked(secret_from(file, name, source).strip(), name, source), name, source


def client_token(file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the token that a command sends: of `--token-file`, else of the environment.

    It may be another server's, so nothing is asked of its length.

    Raises
    ------
    ConfigError
        The file cannot be read, or holds nothing.
    """
    if file is not None:
        return secret_from(str(file), "--token-file", "command line").strip()
    return environment.get(VARIABLE, "").strip() or None


def _checked(found: str, key: str, source: str) -> str:
    """The token, of which no message tells anything but its length."""
    if not MIN_TOKEN <= len(found) <= MAX_TOKEN:
        raise ConfigError(
            key, source, f"{len(found)} characters",
            f"{MIN_TOKEN} to {MAX_TOKEN} characters; make one with: {HOW_TO_MAKE_ONE}",
        )  # fmt: skip
    if not re.fullmatch(r"[!-~]+", found):
        raise ConfigError(
            key, source, "a character that no HTTP header carries",
            f"ASCII without spaces; make one with: {HOW_TO_MAKE_ONE}",
        )  # fmt: skip
    return found


def names(settings: Settings) -> frozenset[str]:
    """Return the names that the Host header may carry: this machine's own are always among them.

    Raises
    ------
    ConfigError
        An entry of `web.hosts` is no name, or there is none where the address is every one.

    Examples
    --------
    >>> from monitor.config import load
    >>> options = {"web.host": "0.0.0.0", "web.hosts": "drift.example, 192.0.2.1"}
    >>> sorted(names(load({}, options=options)) - LOOPBACK_NAMES)
    ['192.0.2.1', 'drift.example']
    >>> sorted(names(load({}, options={"web.url": "https://drift.example"})) - LOOPBACK_NAMES)
    ['drift.example']
    """
    host = settings.text("web.host").strip().lower()
    source = settings.source("web.hosts")
    given = [part.strip().lower() for part in settings.text("web.hosts").split(",")]
    listed = {part.strip("[]").rstrip(".") for part in given if part}
    # Where people open the pages is a name of theirs, too; whether it is one, its user says.
    with contextlib.suppress(ValueError):
        listed |= {urlsplit(settings.text("web.url")).hostname or ""} - {""}
    for name in listed:
        if not _is_name(name):
            raise ConfigError(
                "web.hosts", source, name, "names such as drift.example, without scheme and port"
            )
    if _is_every(host):
        if not listed:
            raise ConfigError(
                "web.hosts", source, "no name",
                f"the names by which browsers reach this server, which listens on every address "
                f"({host}): web.hosts = \"drift.example\" or DRIFTLINE_WEB__HOSTS",
            )  # fmt: skip
    else:
        listed.add(host)
    return LOOPBACK_NAMES | listed


def is_loopback(host: str) -> bool:
    """Return whether nobody but this machine reaches the address.

    Examples
    --------
    >>> [is_loopback(host) for host in ("127.0.0.2", "::1", "localhost", "0.0.0.0", "drift")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_every(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return host == ""


def _is_name(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return len(name) <= 253 and _NAME.fullmatch(name) is not None
    return True
