"""Texts that try to be more than text: what a name, a value or a payload may hold.

Names come from whoever writes to the topic, so a page, a CSV file or a chat message that
shows one must show it literally. Nothing here is random: a fault found once is found again.
A text that runs as a script sets `window.driftlineCanary`; see `tests/browser/harness.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from driftline.events import MAX_NAME
from driftline.wire import is_name

# Every host that a link or a request of a hostile text would go to.
EVIL: Final = "evil.example"
RAN: Final = "window.driftlineCanary=1"

MARKUP: Final = (
    f'<a href="https://{EVIL}">click</a>',
    f'<img src=x onerror="{RAN}">',
    f"</script><script>{RAN}</script>",
    f"<svg/onload={RAN}>",
    f'"><iframe src="javascript:{RAN}">',
    f"<b>bold</b> &amp; &lt;i&gt; <style>*{{display:none}}</style><base href=//{EVIL}>",
    f"<!--#include --><meta http-equiv=refresh content=0;url=//{EVIL}>",
)
LINKS: Final = (
    f"javascript:{RAN}",
    f"data:text/html,<script>{RAN}</script>",
    f"https://{EVIL}/?q=1#top",
    f"//{EVIL}/path",
    f"[a link](https://{EVIL})",
)
TEMPLATES: Final = (
    "{{7*7}} {% raw %}",
    "%{y} %{customdata[0]} %s %(name)s",
    "${x} `echo 1` $(id) #{7*7}",
    "{0} {name!r} {constructor}",
    r"\(\frac{1}{0}\) $$x^2$$",
)
FORMULAS: Final = (
    f'=HYPERLINK("https://{EVIL}","click")',
    "+1",
    "-1",
    "@SUM(1+1)*cmd|' /C calc'!A0",
    "\t=1+1",
)
DIRECTIONS: Final = (
    "\u202egnp.exe\u202c",
    "\u200fשלום\u200e left",
    "مرحبا 2026 abc",
    "\u2066isolate\u2069\u200b",
)
PATHS: Final = (
    "../../etc/passwd",
    "..",
    ".",
    "/leading/and/trailing/",
    "a//b/features/c",
    "back\\slash\\",
    "100 % of %2F %00 %zz",
    "query?x=1&y=2;z=3#fragment",
)
ODD: Final = (
    "quo\"ted 'single' `back` \u201csmart\u201d",
    "nul\0in it",
    "line\nbreak\r\nand\ttab",
    "\U0001f6e9️ \U0001f468\u200d\U0001f469\u200d\U0001f467 emoji",
    "Zalgo " + "a\u0300\u0301\u0302\u0303" * 12,
    "no-break\u00a0space \u2003em",
    " leading and trailing ",
    "null",
    "__proto__",
    "__other__",
    "all",
    "constructor",
    "0",
    "=",
    "origin=JFK",
    "-",
    "N/A'); DROP TABLE model;--",
)
# Ten thousand characters in a row without a place to break, and with many.
LONG: Final = ("x" * 10_000, "many words in a row " * 500, "長" * 10_000)

CORPUS: Final = (
    *MARKUP, *LINKS, *TEMPLATES, *FORMULAS, *DIRECTIONS, *PATHS, *ODD, *LONG,
)  # fmt: skip


def names() -> tuple[str, ...]:
    """The corpus as models and versions can bear it: printable, cut to the longest allowed."""
    return tuple(dict.fromkeys(text[:MAX_NAME] for text in CORPUS if is_name(text[:MAX_NAME])))


def values() -> tuple[str, ...]:
    """The corpus as features, categories and segment values can bear it: anything, cut."""
    return tuple(dict.fromkeys(text[:MAX_NAME] for text in CORPUS))


def dimensions() -> tuple[str, ...]:
    """The corpus as names of segment dimensions, which must hold no "="."""
    return tuple(text for text in values() if "=" not in text)


def payloads() -> Iterator[bytes]:
    """Records that no consumer can count, and that a page shows the beginning of."""
    for text in CORPUS:
        yield text.encode()
    yield b"\xff\xfe\x00\x01 not text at all \x80"
    yield json.dumps({"type": "prediction", "model": MARKUP[0], "version": "1"}).encode()
    yield json.dumps({"type": MARKUP[1], "model": "m", "time": 0}).encode()
    yield json.dumps({"type": "prediction", "model": "nul\0", "version": 1, "time": 0}).encode()


@dataclass(frozen=True)
class Names:
    """What the living database calls its things (see `tests/living_database.py`)."""

    model: str = "parcel-delay"
    version: str = "1"
    successor: str = "2"
    timeless: str = "taxi-out"
    collecting: str = "gate-hold"
    unmonitored: str = "fare-estimate"
    weight: str = "weight"  # drifts
    distance: str = "distance"  # heavy-tailed
    stops: str = "stops"  # mostly zero
    temperature: str = "temperature"  # goes missing
    reading: str = "reading"  # blind
    express: str = "express"  # boolean
    currency: str = "currency"  # constant
    promo: str = "promo"  # always null
    carrier: str = "carrier"  # gets new categories
    depot: str = "depot"
    channel: str = "channel"
    carriers: tuple[str, ...] = ("DHL", "DPD", "GLS", "Hermes", "UPS")
    new_carriers: tuple[str, ...] = ("Amazon", "FedEx")
    depots: tuple[str, ...] = ("Hamburg", "Leipzig", "Ulm")
    channels: tuple[str, ...] = ("web", "app", "fax")
    late: str = "late"
    on_time: str = "on time"
    owner: str = "logistics"
    description: str = "arrives after the promised day"
    payloads: tuple[bytes, ...] = ()


def hostile_names() -> Names:
    """Every name a hostile one, each family of the corpus at each kind of place."""
    model, value, dimension = names(), values(), dimensions()
    long = "x" * MAX_NAME
    return Names(
        model=MARKUP[0],
        version=MARKUP[1],
        successor=PATHS[0],
        timeless=LINKS[0],
        collecting=PATHS[3],
        unmonitored=TEMPLATES[1],
        weight=MARKUP[2],
        distance=TEMPLATES[1],
        stops=PATHS[5],
        temperature=MARKUP[1],
        reading=DIRECTIONS[0],
        express=ODD[0],
        currency=FORMULAS[0],
        promo=ODD[1],
        carrier=long,
        depot=dimension[0],
        channel=PATHS[6],
        carriers=value[: len(value) // 2],
        new_carriers=value[len(value) // 2 :],
        depots=(MARKUP[1], PATHS[0], "長" * MAX_NAME),
        channels=(FORMULAS[0], ODD[1], DIRECTIONS[0]),
        late=MARKUP[3],
        on_time=model[-1],
        owner=MARKUP[2],
        description=" ".join(CORPUS)[:20_000],
        payloads=tuple(payloads()),
    )
