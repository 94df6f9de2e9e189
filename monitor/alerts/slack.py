"""Slack: a message into a channel, through an incoming webhook whose address is its secret.

Slack reads `<`, `>` and `&` as its own marks: names are escaped, so that a feature called
`<!channel>` wakes nobody.
"""

from __future__ import annotations

import json
from typing import Any, Final

from monitor.alerts.said import Said
from monitor.detect.message_types import WITHDRAWALS

# Slack refuses longer sections, and cuts longer texts.
SECTION: Final = 3_000
_SIGNS: Final = {
    "critical": ":rotating_light:",
    "warning": ":warning:",
    "over": ":white_check_mark:",
    "test": ":wave:",
}


def body_of(said: Said) -> bytes:
    """Return the body of the request."""
    sign = _SIGNS.get(said.word, ":information_source:")
    word = "withdrawn" if said.type in WITHDRAWALS else said.word
    text = escaped(said.summary)
    first = f"{sign} *{word}* {text}"
    if said.url:
        # In an address of ours nothing but & is one of Slack's marks.
        first += f"\n<{escaped(said.url)}|Open it>"
    blocks: list[dict[str, Any]] = [_section(first)]
    if said.lines and not said.is_over:
        blocks.append(_section("\n".join(f"• {escaped(line)}" for line in said.lines)))
    return json.dumps({"text": f"{word}: {text}"[:SECTION], "blocks": blocks}).encode()


def escaped(text: str) -> str:
    """Return a text that Slack shows as it is.

    Examples
    --------
    >>> escaped("<!channel> & co")
    '&lt;!channel&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:SECTION]}}
