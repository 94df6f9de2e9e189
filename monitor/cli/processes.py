"""Child processes that end with their parent, however it ends.

Every child holds the read end of a pipe whose write end only the parent has. When
the parent closes it, exits or is killed, the child reads end-of-file and stops: no
signal has to arrive, and no process or port is left behind. A program that knows
nothing of this (the embedded broker) runs under a shell that waits for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Final

from driftline.errors import ConfigError

# A child has this long to end in order; the whole tree must be gone within 5 s of Ctrl-C.
STOP_S: Final = 3.5
PARENT_PIPE: Final = "DRIFTLINE_PARENT_PIPE"
# glibc gives each thread a heap of its own, up to eight a core, and returns little of them: two
# for all take tens of megabytes less of a process with a few threads. Others do not read it.
ARENAS: Final = {"MALLOC_ARENA_MAX": "2"}

# Ends the program when standard input does (the parent is gone), and ends with the program.
_GUARD: Final = (
    # A background command reads from /dev/null, so the pipe is kept as 3.
    "exec 3<&0\n"
    '"$@" 3<&- & child=$!\n'
    "{ read -r _; kill -9 $child 2>/dev/null; } <&3 & reader=$!\n"
    "wait $child; status=$?\n"
    "kill $reader 2>/dev/null; exit $status"
)


class Child:
    """One running child process.

    Parameters
    ----------
    name
        What messages call it.
    command
        Program and arguments.
    log
        File that takes its output, by its path or open; None leaves it on standard error.
    environment
        Its environment; the parent's when None.
    is_ours
        Whether the program watches the pipe itself (`stop_with_parent`); any other runs
        under a shell that does.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path | IO[bytes] | None,
        environment: Mapping[str, str] | None = None,
        is_ours: bool = True,
    ) -> None:
        self.name, self.log, self.is_ours = name, log, is_ours
        guarded = list(command) if is_ours else ["/bin/sh", "-c", _GUARD, "sh", *command]
        with (
            log.open("ab")
            if isinstance(log, Path)
            else contextlib.nullcontext(sys.stderr if log is None else log)
        ) as output:
            self._process = subprocess.Popen(
                guarded,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={
                    **ARENAS,
                    **(os.environ if environment is None else environment),
                    PARENT_PIPE: "1",
                },
                # A group of its own: Ctrl-C reaches the parent alone, which ends the rest
                # in order, and what does not end is killed with all that it started.
                start_new_session=True,
            )
        self.pid: int = self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Close the pipe: the child begins to end."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            self._process.stdin.close()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """End the child in order, by force when `timeout_s` is over."""
        self.ask_to_stop()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def last_words(self, lines: int = 1) -> str:
        """The end of its log, for a message about its death."""
        if self.log is None:
            return "see above"
        try:
            if isinstance(self.log, Path):
                raw = self.log.read_bytes()
            else:  # by its place, which the child's writes share, nothing may be read
                raw = os.pread(self.log.fileno(), os.fstat(self.log.fileno()).st_size, 0)
        except OSError:
            return ""
        text = raw.decode(errors="replace").strip()
        return "\n".join(text.splitlines()[-lines:])


def stop_all(children: Sequence[Child]) -> None:
    """End all of them within `STOP_S`; foreign programs last, as ours still speak to them."""
    deadline = time.monotonic() + STOP_S
    ours = [child for child in children if child.is_ours]
    for child in ours:
        child.ask_to_stop()
    for child in [*ours, *(child for child in children if not child.is_ours)]:
        child.stop(max(0.1, deadline - time.monotonic()))


def own_command(*arguments: str) -> list[str]:
    """The command line that runs a verb of this program in this environment."""
    return [sys.executable, "-m", "monitor.cli", *arguments]


class _Parent:
    """What happens in a child when its parent is gone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop: threading.Event | None = None
        self._is_gone = False

    def watch(self) -> None:
        """Wait for the end of the pipe, then stop in order, or at once while still starting."""
        # The descriptor itself: a buffered reader would be locked when the interpreter exits.
        while os.read(0, 64):
            pass
        with self._lock:
            self._is_gone = True
            if self._stop is None:
                os._exit(1)
            self._stop.set()

    def stop_in_order(self, stop: threading.Event) -> None:
        """From now on there is something to stop."""
        with self._lock:
            self._stop = stop
            if self._is_gone:
                stop.set()


_parent: Final = _Parent()


def is_child() -> bool:
    """Whether this process is a `Child` of a tree, which speaks for it."""
    return bool(os.environ.get(PARENT_PIPE))


def watch_parent() -> None:
    """In a `Child`: end when the parent is gone, even amid imports that take seconds."""
    if is_child():
        threading.Thread(target=_parent.watch, name="parent", daemon=True).start()


def stop_with_parent(stop: threading.Event) -> None:
    """Set `stop` at SIGTERM or SIGINT, and when the parent of a `Child` is gone."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    _parent.stop_in_order(stop)


def interrupt_on_hangup() -> None:
    """Let SIGTERM and a closed terminal end the parent as Ctrl-C does, in order."""

    def on_signal(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGHUP, on_signal)


def require_free_port(port: int, *, key: str, option: str, host: str = "127.0.0.1") -> None:
    """Return when nothing listens on the port, at any address of the host.

    Raises
    ------
    ConfigError
        Names the option that chooses another one.
    """
    try:
        for family, kind, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise ConfigError(
                key, option, port, f"a free port ({error.strerror}); choose another with {option}"
            ) from error
        raise ConfigError(
            key, option, host, f"an address of this machine ({error.strerror})"
        ) from error


def url_of(host: str, port: int) -> str:
    """The address at which this machine reaches a web server that listens on `host`.

    Examples
    --------
    >>> url_of("127.0.0.1", 8050), url_of("::1", 8050), url_of("0.0.0.0", 8050)
    ('http://127.0.0.1:8050', 'http://[::1]:8050', 'http://127.0.0.1:8050')
    """
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, child: Child, timeout_s: float, host: str = "127.0.0.1") -> bool:
    """Whether `child` accepts connections on the port before the deadline."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and child.exit_code is None:
        try:
            socket.create_connection((host, port), timeout=0.5).close()
            return True
        except OSError:
            time.sleep(0.02)
    return False
