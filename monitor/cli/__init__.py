"""The program `driftline`: one module per noun, and the process tree that `up` and `demo` run.

Exit codes: 0 done (a role that Ctrl-C ended, too), 1 the request was refused or the work failed,
2 something that the command needs is wrong or absent (an option, a file, a setting, the database,
the broker, the server), 3 the consumer stopped since most of what comes cannot be read, 130 any
other command that Ctrl-C ended.
"""

from __future__ import annotations

import sys
from typing import Final

# Of `ingest`, when its breaker tripped or stands.
STOPPED: Final = 3


def main() -> None:
    """Run the command line; a known error is one line on standard error, no traceback."""
    try:
        _run()
    except KeyboardInterrupt:
        # Most of the first second is imports, so even those are made in here.
        _fail("interrupted", 130)


def _run() -> None:
    from driftline.errors import (
        ConfigError,
        Conflict,
        DeadLetterLimit,
        DriftlineError,
        MissingExtra,
        MissingFile,
        NotAllowed,
        SchemaVersionError,
        ServerUnavailable,
        StorageUnavailable,
        StreamError,
    )
    from monitor.cli.processes import watch_parent

    watch_parent()
    absent = (
        ConfigError,
        MissingExtra,
        MissingFile,
        NotAllowed,
        SchemaVersionError,
        ServerUnavailable,
        StorageUnavailable,
        StreamError,
    )
    try:
        from monitor.cli.app import app

        app()
    except Conflict as error:
        _fail(str(error), 1)
    except DeadLetterLimit as error:
        _fail(str(error), STOPPED)
    except absent as error:
        _fail(str(error), 2)
    except DriftlineError as error:
        _fail(str(error), 1)


def _fail(words: str, code: int) -> None:
    sys.stderr.write(f"driftline: {' '.join(words.split())}\n")
    sys.exit(code)
