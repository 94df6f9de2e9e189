"""The program `driftline`: one module per noun, and the process tree that `up` and `demo` run.

Exit codes: 0 done (a role that Ctrl-C ended, too), 1 the request was refused or the work failed,
2 something that the command needs is wrong or absent (a setting, the database, the broker, the
server), 130 any other command that Ctrl-C ended.
"""

from __future__ import annotations

import sys

from driftline.errors import (
    ConfigError,
    Conflict,
    DriftlineError,
    MissingExtra,
    SchemaVersionError,
    ServerUnavailable,
    StorageUnavailable,
    StreamError,
)

_ABSENT = (
    ConfigError,
    MissingExtra,
    SchemaVersionError,
    ServerUnavailable,
    StorageUnavailable,
    StreamError,
)


def main() -> None:
    """Run the command line; a known error is one line on standard error, no traceback."""
    from monitor.cli.processes import watch_parent

    watch_parent()
    try:
        from monitor.cli.app import app

        app()
    except KeyboardInterrupt:  # before the program could say what to do at Ctrl-C
        sys.exit(130)
    except Conflict as error:
        _fail(error, 1)
    except _ABSENT as error:
        _fail(error, 2)
    except DriftlineError as error:
        _fail(error, 1)


def _fail(error: DriftlineError, code: int) -> None:
    line = " ".join(str(error).split())
    sys.stderr.write(f"driftline: {line}\n")
    sys.exit(code)
