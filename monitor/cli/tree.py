"""The process tree of one machine: broker, web, ingest, evaluate, deliver, each a child.

It starts them in order, notices when one dies, and ends them all. Which settings a
child runs with travels in its environment, so that a child is the same command a
person would type.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from driftline.errors import BrokerUnavailable, ConfigError, DriftlineError, StorageError
from monitor.brokers import client_options
from monitor.cli import STOPPED, access, options
from monitor.cli.broker import EmbeddedBroker, ensure_topic
from monitor.cli.links import public_url
from monitor.cli.lock import DatabaseLock
from monitor.cli.processes import (
    Child,
    free_port,
    own_command,
    require_free_port,
    stop_all,
    url_of,
    wait_for_port,
)
from monitor.cli.running import say
from monitor.config import PREFIX, Settings
from monitor.storage import breakers
from monitor.storage import engine as storage

# A page with its libraries takes two seconds to import on an idle machine.
_WEB_START_S: Final = 60.0
# Between two looks at whether somebody let a stopped consumer go on.
_ACCEPTED_S: Final = 2.0


class ChildDied(DriftlineError):
    """A process of the tree ended by itself."""

    def __init__(self, child: Child) -> None:
        self.name, self.exit_code = child.name, child.exit_code
        words = child.last_words() or "no last words"
        super().__init__(f"{child.name} ended (exit code {child.exit_code}): {words}")


class Tree:
    """Broker (unless `kafka.bootstrap` was given), web, ingest, evaluate, deliver, as children.

    Parameters
    ----------
    settings
        Of the whole tree.
    with_broker
        Whether to run the embedded broker.
    folder
        Takes the children's output; None leaves it on standard error.
    overrides
        Settings that the children run with, by key.
    verb
        Which command runs it, for the message to whoever wants the same database.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        with_broker: bool,
        folder: Path | None,
        overrides: Mapping[str, object] | None = None,
        verb: str = "up",
    ) -> None:
        self.children: list[Child] = []
        self.web_port = settings.integer("web.port") or free_port()
        self.web_host = settings.text("web.host")
        self.web_url = url_of(self.web_host, self.web_port)
        self.public_url = public_url(settings, port=self.web_port)
        self.bootstrap = settings.text("kafka.bootstrap")
        self.database_url = settings.text("database.url")
        self._settings, self._folder = settings, folder
        # When to look next whether a stopped consumer may go on; None while it runs.
        self._accepted_at_s: float | None = None
        self._broker: EmbeddedBroker | None = None
        self._lock: DatabaseLock | None = None
        if with_broker:
            file = options.sqlite_file(self.database_url)
            if file is not None:
                self._lock = DatabaseLock(file, f"driftline {verb}")
            log = folder / "broker.log" if folder is not None else None
            self._broker = EmbeddedBroker(settings.integer("broker.port"), log=log)
            self.bootstrap = self._broker.bootstrap
        self.topic = settings.text("kafka.topic")
        self._overrides = dict(overrides or {})

    def require_free_ports(self) -> None:
        """Refuse to start where a port is busy."""
        access.access(self._settings)
        self._kafka_options()
        require_free_port(self.web_port, key="web.port", option="--port", host=self.web_host)
        if self._broker is not None:
            self._broker.require_free_port()

    def claim(self) -> None:
        """Refuse a database that another tree uses and busy ports, before anything is touched.

        With a broker of its own the database is this tree's until it stops.
        """
        storage.create(self.database_url).dispose()
        if self._lock is not None:
            self._lock.take()
        self.require_free_ports()

    def start(self) -> None:
        """Bring the database up to date and start every process; the page may still load."""
        self.claim()
        engine = storage.create(self.database_url)
        storage.upgrade(engine)
        engine.dispose()
        if self._broker is not None:
            self.children.append(self._broker.start().child)
        ensure_topic(self.bootstrap, self.topic, options=self._kafka_options())
        for name in ("web", "ingest", "evaluate", "deliver"):
            self.begin(name)

    def _kafka_options(self) -> dict[str, Any]:
        found = client_options(self._settings)
        if found and self._broker is not None:
            key = "kafka.security_protocol"
            raise ConfigError(
                key, self._settings.source(key), found["security_protocol"],
                "PLAINTEXT, which the embedded broker speaks, or your own broker with --kafka "
                "HOST:PORT",
            )  # fmt: skip
        return found

    def begin(self, name: str) -> None:
        """Start one role as a child."""
        arguments = [name]
        if name == "ingest" and self._broker is not None:
            arguments += ["--stream-epoch", self._broker.epoch]
        log = self._folder / f"{name}.log" if self._folder is not None else None
        command = own_command(*arguments)
        # The consumer frees megabytes many times a second: it says itself what it keeps of them.
        environment = self._environment(has_own_heap=name == "ingest")
        self.children.append(Child(name, command, log=log, environment=environment))

    def begin_module(self, name: str, module: str, *arguments: str) -> Child:
        """Start a module that ends with its parent (`stop_with_parent`) as one more child."""
        log = self._folder / f"{name}.log" if self._folder is not None else None
        command = [sys.executable, "-m", module, *arguments]
        child = Child(name, command, log=log, environment=self._environment())
        self.children.append(child)
        return child

    def end(self, name: str) -> None:
        """End one role in order."""
        child = self._child(name)
        self.children.remove(child)
        child.stop()

    def _child(self, name: str) -> Child:
        return next(child for child in self.children if child.name == name)

    def _environment(self, *, has_own_heap: bool = False) -> dict[str, str]:
        values = {
            "web.port": self.web_port,
            "kafka.bootstrap": self.bootstrap,
            "database.url": self.database_url,
            **self._overrides,
        }
        names = {PREFIX + key.upper().replace(".", "__"): str(v) for key, v in values.items()}
        # glibc gives each thread a heap that never shrinks, and soon puts large arrays on it:
        # the whole tree then takes 1.7 GB at its peak. With 1 MB as the line it takes 1.3 GB
        # and a tenth more time for the pages that come and go; with these, 1.4 GB and none.
        heaps = {"MALLOC_ARENA_MAX": "2"}
        if not has_own_heap:
            heaps |= {"MALLOC_MMAP_THRESHOLD_": "4000000", "MALLOC_TRIM_THRESHOLD_": "8000000"}
        return {**heaps, **os.environ, **self._settings.as_environment(), **names}

    @property
    def web_token(self) -> str | None:
        """What the web server asks for; None where it asks for nothing."""
        return access.access(self._settings).token

    def wait_for_web(self) -> None:
        """Return when the page accepts connections.

        Raises
        ------
        ChildDied
            A process ended instead.
        """
        is_up = wait_for_port(self.web_port, self._child("web"), _WEB_START_S, self.web_host)
        self.check()
        if not is_up:
            raise BrokerUnavailable(f"the web server did not answer within {_WEB_START_S:.0f} s")

    def check(self) -> None:
        """Raise `ChildDied` when a process of the tree has ended."""
        for child in list(self.children):
            if child.name == "ingest" and child.exit_code == STOPPED:
                self._wait_for_acceptance(child)
            elif child.exit_code is not None:
                raise ChildDied(child)
        self._go_on()

    def _wait_for_acceptance(self, child: Child) -> None:
        """The consumer stopped: pages and evaluation go on, and tell of it."""
        self.children.remove(child)
        self._accepted_at_s = time.monotonic() + _ACCEPTED_S
        if self._folder is not None:  # elsewhere it has said so on standard error
            say(child.last_words())
        say("counting has stopped, the rest goes on; it starts again when that is accepted")

    def _go_on(self) -> None:
        """Start the consumer again when somebody accepted why it stopped."""
        if self._accepted_at_s is None or time.monotonic() < self._accepted_at_s:
            return
        self._accepted_at_s = time.monotonic() + _ACCEPTED_S
        engine = storage.create(self.database_url)
        try:
            with storage.reading(engine) as conn:
                stands = bool(breakers.standing(conn, topic=self.topic))
        except StorageError:
            return
        finally:
            engine.dispose()
        if not stands:
            self._accepted_at_s = None
            say("counting goes on")
            self.begin("ingest")

    def watch(self) -> None:
        """Wait until a process ends (`ChildDied`) or the caller is interrupted."""
        while True:
            self.check()
            time.sleep(0.5)

    def stop(self) -> None:
        """End every process; the broker last, as the others still speak to it."""
        stop_all(self.children)
        self.children.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # A second Ctrl-C must not leave half of the tree running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        self.stop()
        if self._lock is not None:
            self._lock.release()
