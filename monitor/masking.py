"""Addresses as they may be shown: what opens something in them is not.

Many services hand out an address that is itself the secret: whoever has it may send. So a path's
long parts and a query's values are shown by their first letters alone, wherever an address leaves
the place that sends.
"""

from __future__ import annotations

import re
from typing import Final

# Shorter is no secret that is worth the name, and words of a path are.
_LONG: Final = 16
# So much tells two of them apart for who knows them, and nobody else guesses the rest.
_SHOWN: Final = 3
_WORDS: Final = re.compile(r"[a-z]+(?:[-_.][a-z]+)*", re.IGNORECASE)
_USER: Final = re.compile(r"(?<=//)[^/?#]*@")
# Services whose paths are secrets from their first part on, however short.
_SECRET_PATHS: Final = ("hooks.slack.com/services/", "discord.com/api/webhooks/")
# What stands after others is a host.
_PLAIN: Final = {"http:", "https:", "ftp:", "smtp:", "smtps:", ""}
MASK: Final = "***"


def masked(url: str) -> str:
    """Return an address as it may be shown: credentials, tokens in its path and values hidden.

    Examples
    --------
    >>> masked("https://hooks.slack.com/services/T024BE7LD/B0AG3N/x8fhKq3sPwoL29dka0PqLwZe")
    'https://hooks.slack.com/services/T02***/B0A***/x8f***'
    >>> masked("https://hooks.example/drift?team=ml")
    'https://hooks.example/drift?team=***'
    >>> masked("smtps://me:pw@mail.example/")
    'smtps://***@mail.example/'
    >>> masked("tgram://123456789:AAHfoo_bar/-100200300")
    'tgram://123***/-10***'
    """
    url = _USER.sub(f"{MASK}@", url)
    before, sign, query = url.partition("?")
    scheme, slashes, rest = before.partition("//")
    host, *parts = rest.split("/")
    if slashes and scheme.lower() not in _PLAIN:
        # Where Apprise's addresses have a host, others of its have the secret.
        host, parts = _hidden(host), [_hidden(part) for part in parts]
    elif any(rest.lower().startswith(known) for known in _SECRET_PATHS):
        keep = next(k for k in _SECRET_PATHS if rest.lower().startswith(k)).count("/") - 1
        parts = [*parts[:keep], *(_hidden(part) for part in parts[keep:])]
    else:
        parts = [_hidden(part) if _is_secret(part) else part for part in parts]
    shown = scheme + slashes + "/".join([host, *parts])
    if not sign:
        return shown
    return f"{shown}?{'&'.join(_value_hidden(pair) for pair in query.split('&'))}"


def _is_secret(part: str) -> bool:
    return len(part) >= _LONG and _WORDS.fullmatch(part) is None


def _hidden(part: str) -> str:
    return f"{part[:_SHOWN]}{MASK}" if part else ""


def _value_hidden(pair: str) -> str:
    name, sign, value = pair.partition("=")
    if sign:
        return f"{name}={MASK}" if value else pair
    return _hidden(pair) if _is_secret(pair) else pair
