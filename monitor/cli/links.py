"""Where a link in a message leads: to the pages, as people reach them."""

from __future__ import annotations

from urllib.parse import urlsplit

from driftline.errors import ConfigError
from monitor.cli.processes import url_of
from monitor.config import Settings

# An address to listen on that nobody can open.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def public_url(settings: Settings, *, port: int | None = None) -> str:
    """The address of the pages: `web.url`, or what host and port make of it.

    Parameters
    ----------
    port
        The port that was taken where `web.port` is 0.

    Raises
    ------
    ConfigError
        `web.url` is no address that a browser could open.

    Examples
    --------
    >>> from monitor.config import load
    >>> public_url(load({})), public_url(load({}, options={"web.url": "https://drift.example/x/"}))
    ('http://127.0.0.1:8050', 'https://drift.example/x')
    """
    given = settings.text("web.url")
    if not given:
        host = settings.text("web.host")
        return url_of(_EVERYWHERE.get(host, host), port or settings.integer("web.port"))
    try:
        parts = urlsplit(given)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_plain = not (parts.query or parts.fragment or parts.username or parts.password)
        is_usable = is_address and is_plain and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is none, half an IPv6 address
        is_usable = False
    if not is_usable or any(c.isspace() or not c.isprintable() for c in given):
        raise ConfigError(
            "web.url",
            settings.source("web.url"),
            given,
            "an address such as https://drift.example.com, without ? and #",
        )
    return given.rstrip("/")
