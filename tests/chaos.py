"""Members of a group that are killed, stopped and cut off inside their calls, on real parts.

`run` lets members read a topic of Apache Kafka into a database while producers write, some of it
in transactions that are aborted; it brings back who died, wakes who was stopped after his session
is over, restarts broker and database, and makes members come and go. Then one undisturbed member
reads to the end, the whole topic is counted offline, and the two are compared.

    make chaos ARGS="--faults 500"
    make chaos ARGS="--client confluent --faults 100 --sleepers 40"
"""

from __future__ import annotations

import argparse
import json
import logging
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

import apache_kafka
import chaos_member
import offline
import postgres
import psutil
import simulator
import sqlalchemy as sa
import whole_log
from chaos_member import Given
from chaos_report import Report, put_into_docs
from fake_source import prediction
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import KafkaError
from sqlalchemy.engine import Engine
from stage import CLIENTS

from driftline.errors import StorageUnavailable
from monitor.storage import engine as storage
from monitor.storage import registry
from monitor.storage import schema as t
from monitor.storage.engine import transaction

PARTITIONS: Final = 4
MEMBERS: Final = 3
# Beyond the session: the group has given its partitions to others by then, and they have counted.
ASLEEP_S: Final = 4.0
# When nobody is left who could go on.
LONGEST_SLEEP_S: Final = 15.0
# Who stops here wakes up with records in hand that others have counted.
ZOMBIES: Final = (("stops after",), ("poll", "decode"))
CATCH_UP_S: Final = 120.0
RECORDS_A_SECOND: Final = 400
LEAST: Final = 5


class Producing:
    """A process that writes predictions until it is stopped.

    Of its own, since kafka-python leaves sockets and threads of clients whose broker goes away.
    """

    def __init__(self, bootstrap: str, topic: str, seed: int, *, with_letters: bool) -> None:
        process = multiprocessing.get_context("spawn")
        self._stop = process.Event()
        self._sent = process.Value("q", 0)
        self._process = process.Process(
            target=_produce,
            args=(bootstrap, topic, seed, with_letters, self._stop, self._sent),
            daemon=True,
        )

    def __enter__(self) -> Producing:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._process.join(CATCH_UP_S)
        assert self._process.exitcode == 0, f"the producer ended with {self._process.exitcode}"

    @property
    def sent(self) -> int:
        """Records so far, those of aborted transactions among them."""
        return int(self._sent.value)


def _produce(
    bootstrap: str, topic: str, seed: int, with_letters: bool, stop: Any, sent: Any
) -> None:
    """Run in the producers' process."""
    logging.disable(logging.CRITICAL)
    written = Written(bootstrap, topic, seed, with_letters=with_letters)
    parent = multiprocessing.parent_process()
    assert parent is not None
    while not stop.is_set() and parent.is_alive():
        began = time.monotonic()
        written.some()
        sent.value = written.records
        stop.wait(max(0.0, 0.25 - (time.monotonic() - began)))
    written.close()


class Written:
    """Predictions in a topic; a part of them in transactions, some aborted."""

    def __init__(self, bootstrap: str, topic: str, seed: int, *, with_letters: bool) -> None:
        self._bootstrap, self._topic, self._with_letters = bootstrap, topic, with_letters
        self._random = random.Random(seed)
        # Made when it is first needed: the broker may be away when this process begins.
        self._plain: Any = None
        self.records = 0

    def some(self) -> None:
        """Write a few more, or fail to."""
        with suppress(KafkaError):
            if self._plain is None:
                self._plain = KafkaProducer(bootstrap_servers=self._bootstrap, linger_ms=20)
            if self._random.random() < 0.3:
                self._transaction()
            else:
                for _ in range(RECORDS_A_SECOND // 4):
                    self._send(self._plain)
                self._plain.flush(timeout=30)

    def close(self) -> None:
        """Write what waits."""
        with suppress(KafkaError):
            if self._plain is not None:
                self._plain.close(timeout=5)

    def _transaction(self) -> None:
        """Commit, abort, or be fenced and left open until the broker ends it."""
        name = f"chaos-{self._random.randrange(3)}"
        producer = KafkaProducer(
            bootstrap_servers=self._bootstrap,
            transactional_id=name,
            transaction_timeout_ms=3_000,
            linger_ms=20,
        )
        try:
            producer.init_transactions()
            producer.begin_transaction()
            for _ in range(RECORDS_A_SECOND // 8):
                self._send(producer)
            producer.flush(timeout=10)
            end = self._random.random()
            if end < 0.5:
                producer.commit_transaction()
            elif end < 0.9:
                producer.abort_transaction()
        finally:
            with suppress(KafkaError):
                producer.close(timeout=2)

    def _send(self, producer: Any) -> None:
        i = self.records
        version = simulator.VERSIONS[i % 2] if i % 7 == 0 else "1"
        value = prediction(i % 2_000, id=f"e{i}", version=version)
        if self._with_letters and i % 501 == 0:
            value = b"{"
        producer.send(self._topic, value, partition=self._random.randrange(PARTITIONS))
        self.records += 1


class Member:
    """One process of the group."""

    def __init__(self, given: Given, errors: Path) -> None:
        self._errors = errors
        with errors.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, chaos_member.__file__, json.dumps(asdict(given))],
                stderr=file, stdout=file,
            )  # fmt: skip
        self._asleep: tuple[float, int] | None = None

    def look_after(self, progress: Callable[[], int]) -> bool:
        """Wake it when it has slept until others went on without it; return whether it lives.

        `progress` says how far all have come together.
        """
        if self._process.poll() is not None:
            return False
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._process.pid)
            if not self.is_asleep:
                return True
            if self._asleep is None:
                self._asleep = time.monotonic(), progress()
            since, before = self._asleep
            slept_s = time.monotonic() - since
            is_left_behind = slept_s > ASLEEP_S and progress() > before + PARTITIONS
            if is_left_behind or slept_s > LONGEST_SLEEP_S:
                self._asleep = None
                process.resume()
        return True

    @property
    def is_asleep(self) -> bool:
        """Whether it has stopped itself."""
        try:
            return bool(psutil.Process(self._process.pid).status() == psutil.STATUS_STOPPED)
        except psutil.NoSuchProcess:
            return False

    @property
    def fault(self) -> str:
        """What it ended with that nobody had done to it; empty where there is no such thing."""
        code = self._process.returncode
        # Told to stop, perhaps while it was starting; a broker away at its start; killed.
        if code in (0, -15, 3, -9):
            return ""
        return f"ended with {code}: {self._errors.read_text(errors='replace')[-1_500:]}"

    def end(self) -> None:
        """Wake it and tell it to stop; kill it when it does not."""
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(self._process.pid)
            process.resume()
            process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(15)


class Chaos:
    """One run on one broker and one database.

    Parameters
    ----------
    broker
        A running one of our own, or the address of another that is not restarted.
    url
        Of an empty database at this release's schema.
    server
        Its server, to be restarted; None where it is a file or somebody else's.
    control
        A loop that lacks a guard: see `simulator.CONTROLS`.
    zombies
        Whether members only sleep beyond their session with records in hand.
    client
        What its members read with; who reads to the end in the end does so, too.
    """

    def __init__(
        self,
        broker: apache_kafka.Broker | str,
        url: str,
        *,
        seed: int,
        server: postgres.Server | None = None,
        control: str = "",
        zombies: bool = False,
        client: str = "kafka-python",
    ) -> None:
        self._client = client
        self._broker, self._server, self._url = broker, server, url
        self._bootstrap = broker if isinstance(broker, str) else broker.bootstrap
        self._topic = f"chaos.{time.time_ns()}"
        self._random = random.Random(seed)
        self._engine: Engine = storage.create(url)
        self._control = control
        self._hows, self._places = chaos_member.HOWS, ()
        if zombies:
            self._hows, self._places = ZOMBIES
        elif self._engine.dialect.name == "postgresql":
            self._hows = (*self._hows, chaos_member.CUT)
        self._kept = tempfile.TemporaryDirectory(prefix="driftline-chaos-")
        self._folder = Path(self._kept.name)
        self._faults = self._folder / "faults"
        self._started = 0
        self._registries: dict[int, registry.Registry] = {}
        parts = "Apache Kafka" if client == "kafka-python" else f"Apache Kafka by {client}"
        self.report = Report(parts, self._engine.dialect.name, seed, control)

    def run(self, faults: int, limit_s: float) -> Report:
        """Let so many faults happen, at most so long; then read to the end and compare."""
        try:
            return self._run(faults, limit_s)
        finally:
            self._engine.dispose()
            self._kept.cleanup()

    def _run(self, faults: int, limit_s: float) -> Report:
        began = time.monotonic()
        self._make_topic()
        self._register("1")
        # A dead letter that is written twice ends a loop without a guard before it has miscounted.
        letters = not self._control
        seed = self.report.seed
        with Producing(self._bootstrap, self._topic, seed, with_letters=letters) as producing:
            members = [self._member() for _ in range(MEMBERS)]
            try:
                self._disturb(members, faults, began + limit_s)
            finally:
                for member in members:
                    member.end()
        self.report.crashed += [m.fault for m in members if m.fault]
        assert producing.sent, "nothing was produced"
        self._read_to_the_end()
        self._compare()
        self.report.seconds = time.monotonic() - began
        return self.report

    def _make_topic(self) -> None:
        admin = KafkaAdminClient(bootstrap_servers=self._bootstrap)
        admin.create_topics([NewTopic(self._topic, PARTITIONS, 1)])
        admin.close()

    def _register(self, version: str) -> None:
        with transaction(self._engine) as conn:
            registry.register_reference(
                conn, simulator.small_reference(), model="m", version=version, now_ms=1
            )
        known = registry.load(self._engine)
        self._registries[known.revision] = known

    def _member(self, *, is_calm: bool = False) -> Member:
        self._started += 1
        given = Given(
            self._url,
            self._bootstrap,
            self._topic,
            seed=self._random.randrange(1 << 30),
            faults="" if is_calm else str(self._faults),
            hows=self._hows,
            places=self._places,
            control="" if is_calm else self._control,
            client=self._client,
        )
        return Member(given, self._folder / f"member-{self._started}")

    def _happened(self) -> Counter[str]:
        lines = self._faults.read_text().splitlines() if self._faults.exists() else []
        return Counter(lines)

    def _disturb(self, members: list[Member], faults: int, until: float) -> None:
        ours: Counter[str] = Counter()
        acts = self._acts()
        next_act = time.monotonic() + 5.0
        while time.monotonic() < until:
            self.report.faults = self._happened() + ours
            if self.report.faults.total() >= faults:
                return
            for i, member in enumerate(members):
                if not member.look_after(self._progress):
                    self.report.crashed += [member.fault] if member.fault else []
                    members[i] = self._member()
            if time.monotonic() > next_act and not self._places:
                act = next(acts)
                ours[act] += self._do(act, members)
                next_act = time.monotonic() + self._random.uniform(3.0, 8.0)
            time.sleep(0.05)

    def _acts(self) -> Iterator[str]:
        """What is done to all of them, each kind once before any comes again."""
        known = ["a member comes", "a member goes", "version registered"]
        if not isinstance(self._broker, str):
            known.append("broker restarted")
        if self._server is not None:
            known.append("database restarted")
        while True:
            self._random.shuffle(known)
            yield from known

    def _do(self, act: str, members: list[Member]) -> bool:
        """Do it where it can be done; return whether it was."""
        if act == "a member comes":
            members.append(self._member())
        elif act == "a member goes" and len(members) > 1:
            member = members.pop(self._random.randrange(len(members)))
            member.end()
            self.report.crashed += [member.fault] if member.fault else []
        elif act == "version registered" and len(self._registries) < 2:
            # Whoever sleeps inside a transaction keeps us out, and we are who wakes it.
            if any(member.is_asleep for member in members):
                return False
            try:
                self._register("2")
            except StorageUnavailable:
                return False
        elif act == "broker restarted":
            assert not isinstance(self._broker, str)
            self._broker.stop()
            self._broker.start()
        elif act == "database restarted":
            assert self._server is not None
            self._server.restart()
        else:
            return False
        return True

    def _read_to_the_end(self) -> None:
        """An undisturbed member reads until every partition is read to its end."""
        last = self._member(is_calm=True)
        deadline = time.monotonic() + CATCH_UP_S
        try:
            while not self._is_read():
                assert time.monotonic() < deadline, (
                    f"the last member does not come to the end\n{self._positions()}\n{last.fault}"
                )
                if not last.look_after(self._progress):
                    last = self._member(is_calm=True)
                time.sleep(0.2)
        finally:
            last.end()

    def _positions(self) -> Mapping[int, Any]:
        with self._engine.connect() as conn:
            rows = conn.execute(sa.select(t.stream_position)).all()
        return {row.partition: row for row in rows}

    def _progress(self) -> int:
        """Claims and checkpoints of all partitions; 0 while the database is away."""
        try:
            return sum(row.claim_epoch + row.checkpoints for row in self._positions().values())
        except sa.exc.DBAPIError:
            return 0

    def _is_read(self) -> bool:
        read = {partition: row.next_offset for partition, row in self._positions().items()}
        return read == whole_log.ends(self._bootstrap, self._topic, PARTITIONS)

    def _compare(self) -> None:
        log = whole_log.whole_log(self._bootstrap, self._topic, PARTITIONS)
        must = offline.truth(self._engine, lambda _, partition: log[partition], self._registries)
        have = offline.stored(self._engine, simulator.small_reference().gridset)
        report = self.report
        report.wrong = offline.differences(must, have)
        report.lost, report.doubled = offline.misses(must, have)
        report.records = sum(map(len, log.values()))
        positions = self._positions().values()
        report.fenced = sum(row.fenced for row in positions)
        report.checkpoints = sum(row.checkpoints for row in positions)


@dataclass(frozen=True)
class Run:
    """One line of the report: what is asked of one `Chaos`."""

    faults: int
    zombies: bool = False
    control: str = ""
    backend: str = "postgresql"


def planned(faults: int, sleepers: int) -> Sequence[Run]:
    """Return the runs of a client: all faults, sleepers only, SQLite, and without the guard."""
    return (
        Run(faults),
        Run(sleepers, zombies=True),
        # So few are over before anything is written.
        Run(max(LEAST, faults // 5), backend="sqlite"),
        Run(max(LEAST, sleepers // 2), zombies=True, control="unguarded"),
    )


def tried(broker: apache_kafka.Broker | str, run: Run, client: str, seed: int) -> Report:
    """Do what a line asks, on a database of its own that is gone afterwards."""
    with ExitStack() as kept:
        server = None
        if run.backend == "sqlite":
            url = f"sqlite:///{kept.enter_context(tempfile.TemporaryDirectory())}/chaos.db"
            storage.upgrade(storage.create(url))
        else:
            databases = postgres.start()
            kept.callback(databases.close)
            url, server = databases.copy_of("empty"), databases.server
        chaos = Chaos(
            broker, url, seed=seed, server=server, control=run.control, zombies=run.zombies,
            client=client,
        )  # fmt: skip
        return chaos.run(run.faults, limit_s=max(60.0, run.faults * 10.0))


def main() -> None:
    """Run each client on PostgreSQL, with sleepers only, on SQLite, and without the guard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=500, help="in the run of all faults")
    parser.add_argument(
        "--sleepers", type=int, help="in the run of sleepers only; two fifths of the faults"
    )
    parser.add_argument(
        "--client", choices=CLIENTS, action="append", help="what reads; each when it is left out"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--json", type=Path, help="also write the reports here")
    parser.add_argument("--write", action="store_true", help="put them into docs/guarantees.md")
    asked = parser.parse_args()
    sleepers = max(1, 2 * asked.faults // 5) if asked.sleepers is None else asked.sleepers
    broker, everything = apache_kafka.start(), []
    try:
        for client in asked.client or CLIENTS:
            reports = []
            for run in planned(asked.faults, sleepers):
                reports.append(tried(broker, run, client, asked.seed))
                _tell(reports[-1])
            if asked.write:
                put_into_docs(reports, client)
            everything += reports
    finally:
        if not isinstance(broker, str):
            broker.remove()
    if asked.json:
        asked.json.write_text(json.dumps([report.to_dict() for report in everything], indent=1))
    is_right = all(not r.wrong and not r.crashed for r in everything if not r.control)
    is_proof = all(r.lost or r.doubled for r in everything if r.control)
    sys.exit(0 if is_right and is_proof else 1)


def _tell(report: Report) -> None:
    print(report.line(), flush=True)
    for how, n in report.faults.most_common():
        print(f"  {n:5} {how}")
    for wrong in [] if report.control else report.wrong + report.crashed:
        print(f"  WRONG {wrong}", flush=True)


if __name__ == "__main__":
    main()
