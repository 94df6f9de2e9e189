"""Write the parts of the docs that come from the code: `python scripts/docs.py`.

`docs/configuration.md` is made of the table of settings. A test fails while it differs.
"""

from __future__ import annotations

from pathlib import Path

from monitor.config import KEYS, PREFIX, Key

CONFIGURATION = Path(__file__).parents[1] / "docs" / "configuration.md"
HEAD = """\
# Configuration

A setting comes from the command line, else from the environment, else from `driftline.toml` in
the working directory (or the file that `DRIFTLINE_CONFIG` or `--config` names), else it has its
default. `driftline config show` prints every setting with its value and where that came from. A
key that does not exist is an error that names the nearest one.

```toml
[kafka]
bootstrap = "kafka-1:9092,kafka-2:9092"

[database]
url = "postgresql+psycopg://driftline@db/driftline"
```

In the environment a dot is two underscores: `DRIFTLINE_KAFKA__BOOTSTRAP`. The token that
everything off loopback needs is `DRIFTLINE_TOKEN`, or a file that `web.token_file` names; it has
no option, as command lines can be read by others. `DRIFTLINE_READ_TOKEN`, or a file that
`web.read_token_file` names, is a second one for those who only look
([operations](operations.md#who-may-do-what)). `DRIFTLINE_URL` says where the server is that verbs
such as `driftline retrain` speak to; `--url` goes before it.

| setting | default | what it is |
|---|---|---|
"""


def row(key: Key) -> str:
    """Return a setting's row."""
    default = str(key.default).lower() if isinstance(key.default, bool) else str(key.default)
    if isinstance(key.default, float):
        default = f"{key.default:g}"
    shown = f"`{default}`" if default else ""
    unit = f" {key.unit}" if key.unit and shown else ""
    choices = f" ({', '.join(filter(None, key.choices))})" if key.choices else ""
    return f"| `{key.name}` | {shown}{unit} | {key.help}{choices} |\n"


def configuration() -> str:
    """Return the page of settings."""
    example = f"{PREFIX}{'kafka.bootstrap'.upper().replace('.', '__')}"
    assert example in HEAD
    return HEAD + "".join(row(key) for key in KEYS.values())


if __name__ == "__main__":
    CONFIGURATION.write_text(configuration())
