"""How this installation's program is typed in a shell, for everything that prints a command.

`make demo` and `pip` in an environment of its own leave `driftline` beside its Python, not on
the PATH. A command that is printed should run as it stands, so its first word is decided here.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

NAME = "driftline"


def spelled(scripts: Path, found: str | None, here: Path | None) -> str:
    """Return the first word of a command: the name, or the path where a shell would miss it.

    Parameters
    ----------
    scripts
        The folder of this Python's programs.
    found
        Where a shell finds `driftline`; None = nowhere.
    here
        The working directory: commands are typed where the program was started, since its
        files (`driftline.toml`, `driftline.db`) are looked for there. None = unknown.

    Examples
    --------
    >>> spelled(Path("/opt/none/bin"), None, Path("/opt"))
    'driftline'
    """
    own = scripts / NAME
    if not own.is_file():
        # Run as a module, or not installed: there is nothing better to say.
        return NAME
    if found is not None and Path(found).resolve() == own.resolve():
        return NAME
    # Below the folder of its files a short path does; what has no slash would not be found.
    is_below = here is not None and scripts != here and own.is_relative_to(here)
    return shlex.quote(str(own.relative_to(here) if here is not None and is_below else own))


def program() -> str:
    """Return how this installation's program is typed."""
    try:
        here: Path | None = Path.cwd()
    except OSError:  # the folder is gone
        here = None
    return spelled(Path(sys.executable).parent, shutil.which(NAME), here)


def command(words: str) -> str:
    """Return a command of the program as this installation takes it."""
    return f"{program()} {words}"
