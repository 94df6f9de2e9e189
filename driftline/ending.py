"""How the end of Python looks to a thread that wants to send: it says so late, or not at all."""

from __future__ import annotations

import sys
from typing import Final

ENDING: Final = (
    "this Python starts no thread while it ends: log, and call flush() or close(), before it does"
)


def is_ending(error: BaseException) -> bool:
    """Return whether Python starts no thread any more because it ends.

    Python 3.12.0 and 3.12.1 refuse that to exit handlers, later ones only after them.

    Examples
    --------
    >>> is_ending(RuntimeError("can't create new thread at interpreter shutdown"))
    True
    >>> is_ending(RuntimeError("can't start new thread"))
    False
    """
    return isinstance(error, RuntimeError) and (
        sys.is_finalizing() or "interpreter shutdown" in str(error)
    )


def is_late(module: str) -> bool:
    """Return whether an exit handler is the first to import a module, and threads with it.

    Python runs no handler that is registered by another, and a main thread that `threading` never
    knew does not seem to have ended. What tells: in the main thread there is no program below.

    Parameters
    ----------
    module
        Its name in `sys.modules`; it asks while it is imported.
    """
    imported = list(sys.modules)
    if imported.index("threading") < imported.index(module):
        return False
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
    code = frame.f_code
    is_program = code.co_name in ("<module>", "_run_module_as_main")
    # A program in C that imports this has no other frame of Python's.
    return not is_program and not code.co_filename.startswith("<frozen importlib")
