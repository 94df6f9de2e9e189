"""Which server a command speaks to, and with which token."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from monitor.cli import access
from monitor.cli.processes import url_of

if TYPE_CHECKING:
    from driftline import Client
    from monitor.config import Settings


def connect(url: str | None, settings: Settings, token_file: Path | None = None) -> Client:
    """Return a client of the server at `url`, by default the one that these settings start.

    The token is that of `--token-file`, else of `DRIFTLINE_TOKEN`; the server that is started
    from here may name its file in `web.token_file`, which is no other server's.

    Raises
    ------
    ConfigError
        A token or its file cannot be used.
    """
    from driftline import Client

    token = access.client_token(token_file)
    if token is None and url is None:
        token = access.token(settings)
    return Client(url or local_url(settings), token or "")


def local_url(settings: Settings) -> str:
    """Return where the server that these settings start is reached from this machine."""
    return url_of(settings.text("web.host"), settings.integer("web.port"))
