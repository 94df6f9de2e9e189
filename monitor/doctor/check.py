"""One line of the doctor's report, and how long any of them may take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from driftline.errors import DriftlineError

# What is there answers at once; a doctor that hangs says nothing of the rest.
ASK_S: Final = 5.0
# What only this machine works on: a hundred records, for which pyarrow and pandas are imported
# first, took more than 5 s where the machine was busy.
WORK_S: Final = 60.0


class State(Enum):
    """What became of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIPPED = "not checked"


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, what was seen, and what mends it where it is wrong."""

    name: str
    state: State
    said: str
    mend: str = ""


def ok(name: str, said: str) -> Check:
    """Return a check that found what should be."""
    return Check(name, State.OK, said)


def warn(name: str, said: str, mend: str) -> Check:
    """Return a check that found what works and yet should be looked at."""
    return Check(name, State.WARN, said, mend)


def fail(name: str, said: str, mend: str) -> Check:
    """Return a check that found what does not work."""
    return Check(name, State.FAIL, said, mend)


def skipped(name: str, why: str) -> Check:
    """Return a check that could not be made, which another line says why."""
    return Check(name, State.SKIPPED, why)


# What never came back: Python must not be taken apart around it, see `hangs`.
_LEFT: Final[list[threading.Thread]] = []


def within(
    name: str,
    checks: Callable[[], Iterator[Check]],
    timeout_s: float,
    *,
    mend: str = "look at the network between",
) -> list[Check]:
    """Return what `checks` yields within the time; what hangs is a line of its own, not a hang.

    What it does not expect is a line, too: the other checks go on.

    Examples
    --------
    >>> within("disk", lambda: iter([ok("disk", "spins")]), 1.0)[0].said
    'spins'
    """
    found: list[Check] = []

    def collect() -> None:
        try:
            # One at a time: what came before a hang is told.
            for check in checks():
                found.append(check)  # noqa: PERF402
        except DriftlineError as error:
            found.append(fail(name, " ".join(str(error).split()), "see what it says"))
        except Exception as error:  # noqa: BLE001 - one check's fault must not end the others
            what = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            found.append(fail(name, f"the check itself failed: {what}", "report it"))

    thread = threading.Thread(target=collect, name=f"doctor: {name}", daemon=True)
    thread.start()
    thread.join(timeout_s)
    told = list(found)
    if thread.is_alive():
        _LEFT.append(thread)
        told.append(fail(name, f"no answer within {timeout_s:g} s", mend))
    return told


def hangs() -> bool:
    """Return whether a check that was given up still works in its thread.

    A thread inside of a library in C, when Python ends around it, ends the process by a signal:
    whoever ends then should do so with `os._exit`.
    """
    return any(thread.is_alive() for thread in _LEFT)
