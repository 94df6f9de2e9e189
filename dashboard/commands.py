"""What the pages give to type: commands and a snippet, as this very installation takes them.

Every command begins with the program as a shell finds it (`driftline.program`), names the
server that the browser reached and what the settings say of Kafka. A test runs each of them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import has_request_context, request

from driftline.errors import ConfigError
from driftline.program import command
from monitor import config
from monitor.views.awaited import Awaited

# The commands' own default; said only where the page is served elsewhere.
DEFAULT_URLS = ("http://127.0.0.1:8050", "http://localhost:8050")
ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9a-fA-F:]+\](:\d{1,5})?")
MODEL, VERSION = "my-model", "1"
# An example while nothing is registered.
EXAMPLE = Awaited(
    model=MODEL,
    version=VERSION,
    digest="",
    rows=0,
    features=(("age", 41), ("plan", "pro"), ("tenure", None)),
    prediction={"class": "stays", "score": 0.73},
)
COLUMNS = "Columns are named as in your file; leave out those that it does not have."
# Lines of features that a snippet shows; the rest is counted.
SHOWN = 40


@dataclass(frozen=True)
class Installation:
    """Where this server is reached, and where it reads events from."""

    url: str | None
    bootstrap: str
    topic: str


def installation(topics: Sequence[str] = ()) -> Installation:
    """Return where this installation is, as the browser and the settings say.

    `topics` are those that are read: what is read wins over what is set.
    """
    try:
        settings = config.load(os.environ)
        bootstrap, topic = settings.text("kafka.bootstrap"), settings.text("kafka.topic")
    except ConfigError:  # the server runs: it was started with other ones
        bootstrap = str(config.KEYS["kafka.bootstrap"].default)
        topic = str(config.KEYS["kafka.topic"].default)
    url = request.host_url.rstrip("/") if has_request_context() else None
    return Installation(
        url=url if url is not None and ORIGIN.fullmatch(url) else None,
        bootstrap=bootstrap,
        topic=topics[0] if len(topics) == 1 else topic,
    )


def register(model: str, version: str, here: Installation) -> str:
    r"""Return the command that registers a reference for a version, whatever it is called.

    The columns are named as an event names them; the server where it is not the usual one.

    >>> here = Installation("http://127.0.0.1:8050", "", "")
    >>> print(register("-x", "it's", here).split(" ", 1)[1])
    reference register trained-on.parquet \
        --model=-x --version 'it'"'"'s' \
        --prediction prediction --score score --label label \
        --timestamp time --timezone UTC
    """
    lines = [
        command("reference register trained-on.parquet"),
        f"{_option('model', model)} {_option('version', version)}",
        "--prediction prediction --score score --label label",
        "--timestamp time --timezone UTC",
    ]
    if here.url is not None and here.url not in DEFAULT_URLS:
        lines.append(f"--url {here.url}")
    return " \\\n    ".join(lines)


def send_again(letter_id: str, here: Installation, *, in_doubt: bool = False) -> str:
    """Return the command that writes a dead letter to its topic again.

    >>> send_again("1-0-40-0", Installation(None, "", "")).split(" ", 1)[1]
    'dead-letter replay 1-0-40-0'
    """
    words = f"dead-letter replay {letter_id}" + (" --in-doubt" if in_doubt else "")
    if here.url is not None and here.url not in DEFAULT_URLS:
        words += f" --url {here.url}"
    return command(words)


def history(words: str, here: Installation) -> str:
    """Return the command that uploads history, or takes it out again."""
    said = command(f"history {words}")
    if here.url is not None and here.url not in DEFAULT_URLS:
        said += f" --url {here.url}"
    return said


def _option(name: str, value: str) -> str:
    quoted = shlex.quote(value)
    # What begins with a dash would be read as the next option.
    return f"--{name}={quoted}" if value.startswith("-") else f"--{name} {quoted}"


def snippet(here: Installation, awaited: Awaited = EXAMPLE) -> str:
    """Return Python that logs one prediction of a version with kafka-python."""
    features = [f"        {_python(name)}: {_python(value)}," for name, value in awaited.features]
    left = len(features) - SHOWN
    if left > 1:
        features[SHOWN:] = [f"        # and {left:,} more, each by its name"]
    lines = [
        "import json",
        "from datetime import datetime, timezone",
        "from kafka import KafkaProducer",
        "",
        f'producer = KafkaProducer(bootstrap_servers={_python(here.bootstrap)}.split(","))',
        "event = {",
        '    "type": "prediction",',
        f'    "model": {_python(awaited.model)},',
        f'    "version": {_python(awaited.version)},',
        '    "id": "a-1",',
        '    "time": datetime.now(timezone.utc).isoformat(),',
        '    "features": {',
        *features,
        "    },",
        *([f'    "prediction": {_python(awaited.prediction)},'] if awaited.prediction is not None
          else []),
        "}",
        f"sent = producer.send({_python(here.topic)}, json.dumps(event).encode())",
        "sent.get(timeout=10)",
    ]  # fmt: skip
    return "\n".join(lines)


def _python(value: Any) -> str:
    """Return a value as Python writes it; any text stays the same text."""
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_python(k)}: {_python(v)}" for k, v in value.items()) + "}"
    return repr(value)
