"""Which server a command speaks to, and with which token."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.cli import access
from monitor.cli.processes import url_of
from monitor.config import load

if TYPE_CHECKING:
    from driftline import Client
    from monitor.config import Settings

# The name by which trainings and CI jobs are told where the server is.
VARIABLE: Final = "DRIFTLINE_URL"
Url = Annotated[
    str | None, typer.Option("--url", help=f"Server; else {VARIABLE}, else the local one.")
]


def connect(
    url: str | None,
    config: Path | None = None,
    token_file: Path | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Client:
    """Return a client of the server at `url`, else at `DRIFTLINE_URL`, else the local one.

    The local one is the one that the settings of `config` start.

    The token is that of `--token-file`, else of `DRIFTLINE_TOKEN`; the server that is started
    from here may name its file in `web.token_file`, which is no other server's.

    Raises
    ------
    ConfigError
        A setting, a token or its file cannot be used.
    """
    from driftline import Client

    settings = load(environment, file=config)
    url = url or environment.get(VARIABLE, "").strip() or None
    token = access.client_token(token_file, environment)
    if token is None and url is None:
        token = access.token(settings)
    return Client(url or local_url(settings), token or "")


def local_url(settings: Settings) -> str:
    """Return where the server that these settings start is reached from this machine."""
    return url_of(settings.text("web.host"), settings.integer("web.port"))
