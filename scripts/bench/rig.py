"""What the bench talks to: Apache Kafka, databases, and processes with cores of their own.

The consumer that is measured has the last core for itself; the broker, PostgreSQL and this
process share the others. With one core they share it, and the report says so.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

import apache_kafka
import postgres
import psutil
import sqlalchemy as sa
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from bench.material import Shape, model
from monitor.storage import engine as storage
from monitor.storage import registry
from monitor.storage import schema as t

ROOT: Final = Path(__file__).parents[2]
PARTITIONS: Final = 4
DATABASES: Final = ("sqlite", "postgresql")
# As a database is run that must not lose what it committed; tests turn all of it off.
DURABLE: Final = {
    "fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "autovacuum": "on",
    "shared_buffers": "256MB", "max_wal_size": "4GB",
}  # fmt: skip
# Nobody tells producers to make batches of one size: that of a busy one with a short wait.
BATCH_BYTES: Final = 65_536
LINGER_MS: Final = 20
WORKER_S: Final = 1_200.0


@dataclass(frozen=True)
class Topic:
    """A topic that was written: where each partition ends, and how many bytes its values have."""

    name: str
    ends: Mapping[int, int]
    n_bytes: int

    @property
    def records(self) -> int:
        """Of all partitions."""
        return sum(self.ends.values())


def usable_cores() -> tuple[int, ...]:
    """The cores that this process may run on, ascending; none where the system does not say."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


@dataclass
class Rig:
    """The broker, the databases and the cores; a context manager that takes all of it away.

    Parameters
    ----------
    options
        Settings of Kafka's broker on top of the usual ones.
    cores
        Those that may be used; by default the ones that this process may run on. A rig beside
        another must be told: the first one has bound this process to the shared ones.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    cores: tuple[int, ...] = field(default_factory=usable_cores)

    def __post_init__(self) -> None:
        self._held = ExitStack()
        # What is measured, and everything else.
        self.own, self.shared = self.cores[-1:], self.cores[:-1] or self.cores
        self._broker: apache_kafka.Broker | str | None = None
        self._databases: postgres.Databases | None = None
        self._templates: dict[tuple[str, Shape], Any] = {}

    def __enter__(self) -> Rig:
        self.folder = Path(self._held.enter_context(tempfile.TemporaryDirectory("", "bench-")))
        if self.cores:
            self._held.callback(os.sched_setaffinity, 0, usable_cores())
            os.sched_setaffinity(0, self.shared)
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def bootstrap(self) -> str:
        """Apache Kafka's address; it is started when it is first needed."""
        if self._broker is None:
            self._broker = os.environ.get(apache_kafka.VARIABLE) or self._started()
        return self._broker if isinstance(self._broker, str) else self._broker.bootstrap

    def _started(self) -> apache_kafka.Broker:
        apache_kafka.require()
        apache_kafka.fetch()
        broker = apache_kafka.Broker(self.options)
        self._held.callback(broker.remove)
        broker.start()
        return broker

    @property
    def databases(self) -> postgres.Databases:
        """PostgreSQL, which keeps what it commits; started when it is first needed."""
        if self._databases is None:
            postgres.SETTINGS.update(DURABLE)
            self._databases = postgres.start()
            self._held.callback(self._databases.close)
        return self._databases

    def share_all_cores(self) -> None:
        """Let broker and database run on every core, for more than one consumer."""
        server = self.databases.server
        roots = [os.getpid()]
        if isinstance(self._broker, apache_kafka.Broker):
            roots.append(self._broker.pid)
        if server is not None and server._process is not None:
            roots.append(server._process.pid)
        for root in roots if self.cores else ():
            process = psutil.Process(root)
            for one in (process, *process.children(recursive=True)):
                # PostgreSQL's helpers come and go; who comes later has its parent's cores.
                with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                    for thread in one.threads():
                        os.sched_setaffinity(thread.id, self.cores)

    # -- topics --------------------------------------------------------------------------

    def topic(
        self,
        records: Iterable[bytes],
        *,
        headers: Sequence[tuple[str, bytes]] = (),
        partitions: int = PARTITIONS,
    ) -> Topic:
        """Make a topic of these records, one partition after the other."""
        name = self.empty_topic(partitions)
        ends = dict.fromkeys(range(partitions), 0)
        n_bytes = 0
        with Sender(self.bootstrap) as sender:
            for i, value in enumerate(records):
                sender.send(name, value, i % partitions, headers)
                ends[i % partitions] += 1
                n_bytes += len(value)
        return Topic(name, ends, n_bytes)

    def empty_topic(self, partitions: int = PARTITIONS) -> str:
        """Make a topic and return its name."""
        name = f"bench.{uuid.uuid4().hex[:12]}"
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.create_topics([NewTopic(name, partitions, 1)])
        finally:
            admin.close()
        return name

    def remove_topic(self, name: str) -> None:
        """Take a topic and its files away."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.delete_topics([name])
        finally:
            admin.close()

    # -- databases -----------------------------------------------------------------------

    def database(self, kind: str, shape: Shape) -> str:
        """The address of a new database in which the models of this shape are registered."""
        if kind == "postgresql":
            what = f"{shape}"
            return self.databases.copy_of(what, lambda engine: register(engine, shape))
        template = self._templates.get((kind, shape))
        if template is None:
            template = self.folder / f"template-{len(self._templates)}.db"
            engine = storage.create(f"sqlite:///{template}")
            storage.upgrade(engine)
            register(engine, shape)
            engine.dispose()
            self._templates[kind, shape] = template
        path = self.folder / f"{uuid.uuid4().hex}.db"
        shutil.copyfile(template, path)
        return f"sqlite:///{path}"

    def drop(self, url: str) -> None:
        """Take a database away."""
        if url.startswith("sqlite:///"):
            for path in self.folder.glob(f"{Path(url.removeprefix('sqlite:///')).name}*"):
                path.unlink()
        else:
            self.databases.drop(url)

    # -- processes -----------------------------------------------------------------------

    def start(self, kind: str, cores: Sequence[int], **asked: Any) -> subprocess.Popen[str]:
        """Start a process that measures; `finish` reads what it found."""
        said = json.dumps({"kind": kind, "cores": list(cores), **asked})
        paths = [str(ROOT / "scripts"), *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        return subprocess.Popen(
            [sys.executable, "-m", "bench.worker", said],
            cwd=ROOT,
            env=os.environ | threads | {"PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, kind: str, **asked: Any) -> dict[str, Any]:
        """Run a process on the core of its own and return what it measured."""
        return finish(self.start(kind, self.own, **asked))


class Sender:
    """Writes records: with confluent-kafka, where it is installed, because it takes no time."""

    def __init__(self, bootstrap: str) -> None:
        self._fast: Any = None
        self._slow: Any = None
        if importlib.util.find_spec("confluent_kafka") is None:
            self._slow = KafkaProducer(
                bootstrap_servers=bootstrap, linger_ms=LINGER_MS, batch_size=BATCH_BYTES
            )
            return
        from confluent_kafka import Producer

        self._fast = Producer(
            {
                "bootstrap.servers": bootstrap, "linger.ms": LINGER_MS, "batch.size": BATCH_BYTES,
                "message.max.bytes": 1_000_000, "queue.buffering.max.kbytes": 200_000,
            }
        )  # fmt: skip

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._fast is not None:
            left = self._fast.flush(WORKER_S if kind is None else 1.0)
            assert kind is not None or left == 0, f"{left} records were not taken"
        else:
            self._slow.flush(timeout=WORKER_S)
            self._slow.close(timeout=5)

    def send(
        self, topic: str, value: bytes, partition: int, headers: Sequence[tuple[str, bytes]] = ()
    ) -> None:
        """Queue a record; waits while the queue is full."""
        if self._slow is not None:
            self._slow.send(topic, value, partition=partition, headers=list(headers))
            return
        while True:
            try:
                self._fast.produce(topic, value, partition=partition, headers=list(headers))
            except BufferError:
                self._fast.poll(0.05)
            else:
                return


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a process measured; it is ended where it does not end."""
    try:
        said, _ = process.communicate(timeout=WORKER_S)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        raise RuntimeError(f"a process of the bench ended with {process.returncode}")
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def register(engine: sa.Engine, shape: Shape) -> None:
    """Bind every model of the shape to its reference."""
    reference = shape.reference()
    for number in range(shape.models):
        with storage.transaction(engine) as conn:
            registry.register_reference(conn, reference, model=model(number), version="1", now_ms=0)


def counted(url: str) -> int:
    """Predictions that a database has counted."""
    engine = storage.create(url)
    try:
        with engine.connect() as conn:
            said = sa.select(sa.func.sum(t.counter.c.count)).where(
                t.counter.c.outcome == "prediction"
            )
            return int(conn.execute(said).scalar() or 0)
    finally:
        engine.dispose()


# -- what it runs on -------------------------------------------------------------------------


def machine(rig: Rig) -> dict[str, str]:
    """What kind of machine this is, without its name."""
    said = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", said.read_text()) if said.exists() else None
    cores = len(rig.cores) or os.cpu_count() or 1
    shares = "one for the consumer, the rest for broker and database"
    return {
        "processor": (found[1] if found else platform.processor()) or platform.machine(),
        "cores": f"{cores} ({shares if cores > 1 else 'shared by everything'})",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }


def versions() -> dict[str, str]:
    """What took part."""
    found = {"Python": platform.python_version(), "Apache Kafka": apache_kafka.VERSION}
    if shutil.which("java") is not None:
        java = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
        if match := re.search(r'version "([^"]+)"', java.stderr):
            found["Java"] = match[1]
    programs = postgres.programs()
    if programs is not None:
        found["PostgreSQL"] = _first(programs / "postgres", "--version").split()[2]
    for name in (
        "kafka-python", "confluent-kafka", "crc32c", "numpy", "msgspec", "pyarrow", "sqlalchemy",
        "psycopg",
    ):  # fmt: skip
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Which commit of the project was measured, "" outside of a checkout."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.stdout.strip()


def _first(*command: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout.splitlines() or ["? ? ?"])[0]
