"""A database that is away for long, and consumers that are replaced one by one, on real parts.

`outage` stops PostgreSQL under a consumer and a fast producer, and samples the consumer's memory;
`rolling` replaces four consumers in turn under flow. In both, the whole topic of Apache Kafka is
counted offline at the end and compared with what is stored. The control is a consumer that keeps
what it cannot write.

    make pressure ARGS="--minutes 5"
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import multiprocessing
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))

import apache_kafka
import httpx2
import numpy as np
import offline
import pandas as pd
import postgres
import pressure_member
import psutil
import sqlalchemy as sa
import whole_log
from fake_source import HOUR_MS, START_MS
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic
from pressure_member import Given
from prometheus_client.parser import text_string_to_metric_families

from driftline.stats.gridset import Gridset
from driftline.stats.reference import Reference, build_reference
from monitor.cli.processes import free_port
from monitor.storage import engine as storage
from monitor.storage import registry
from monitor.storage import schema as t
from monitor.storage.engine import transaction

PARTITIONS: Final = 4
# A year of hours in no order, as a log that is sent afterwards: each event opens a pane.
HOURS: Final = 2_401
FEATURES: Final = 10
MAX_BYTES: Final = 8_000_000
WAIT_S: Final = 60.0
CATCH_UP_S: Final = 240.0
MB: Final = 1_000_000
# What an outage and the catching up after it may take: seen were 74 MB (what is held, the chunks
# fetched ahead, records decoded, what the allocator keeps) and 496 MB without a bound.
GROWTH_MB: Final = 150.0


@functools.cache
def wide_reference() -> Reference:
    """A reference whose panes weigh something: ten features of 256 bins."""
    rng = np.random.default_rng(7)
    rows = 2_000
    frame = pd.DataFrame({f"f{i}": rng.random(rows) for i in range(FEATURES)})
    frame["at"] = pd.date_range("2013-01-01", periods=rows, freq="15min", tz="UTC")
    return build_reference(frame, timestamp="at")


def event(i: int) -> bytes:
    """The i-th event: of another hour than those around it."""
    hour = i * 1_009 % HOURS
    said = {
        "type": "prediction", "id": f"e{i}", "model": "m", "version": "1",
        "time": START_MS + hour * HOUR_MS,
        "features": {f"f{k}": round((i * (k + 3) % 97) / 97, 3) for k in range(FEATURES)},
        "prediction": 1,
    }  # fmt: skip
    return json.dumps(said).encode()


class Producing:
    """A process that writes events at a rate until it is stopped.

    Of its own, since kafka-python leaves sockets and threads behind.
    """

    def __init__(self, bootstrap: str, topic: str, per_second: int) -> None:
        process = multiprocessing.get_context("spawn")
        self._stop, self._sent = process.Event(), process.Value("q", 0)
        self._process = process.Process(
            target=_produce, args=(bootstrap, topic, per_second, self._stop, self._sent),
            daemon=True,
        )  # fmt: skip

    def __enter__(self) -> Producing:
        self._process.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._process.join(WAIT_S)
        assert self._process.exitcode == 0, f"the producer ended with {self._process.exitcode}"

    @property
    def sent(self) -> int:
        """Events so far."""
        return int(self._sent.value)


def _produce(bootstrap: str, topic: str, per_second: int, stop: Any, sent: Any) -> None:
    """Run in the producer's process."""
    logging.disable(logging.CRITICAL)
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=20)
    parent = multiprocessing.parent_process()
    assert parent is not None
    began, i = time.monotonic(), 0
    while not stop.is_set() and parent.is_alive():
        while i < (time.monotonic() - began) * per_second:
            producer.send(topic, event(i), partition=i % PARTITIONS)
            i += 1
        sent.value = i
        stop.wait(0.05)
    producer.flush(timeout=WAIT_S)
    producer.close(timeout=5)


class Topic:
    """A topic of a broker and a database that it is counted into."""

    def __init__(self, bootstrap: str, url: str) -> None:
        self.bootstrap, self.url = bootstrap, url
        self.name = f"pressure.{time.time_ns()}"
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics([NewTopic(self.name, PARTITIONS, 1)])
        admin.close()
        self.engine = storage.create(url)
        with transaction(self.engine) as conn:
            registry.register_reference(conn, wide_reference(), model="m", version="1", now_ms=1)
        known = registry.load(self.engine)
        self._registries = {known.revision: known}

    def positions(self) -> Mapping[int, Any]:
        """The position rows by partition."""
        with self.engine.connect() as conn:
            rows = conn.execute(sa.select(t.stream_position)).all()
        return {row.partition: row for row in rows}

    def counted(self) -> int:
        """How many offsets are counted; -1 while the database is away."""
        try:
            return sum(row.next_offset - row.start_offset for row in self.positions().values())
        except sa.exc.DBAPIError:
            return -1

    def is_read(self) -> bool:
        """Whether every partition is counted to its end."""
        read = {p: row.next_offset for p, row in self.positions().items()}
        return read == self.ends()

    def ends(self) -> dict[int, int]:
        """Where each partition ends now."""
        return whole_log.ends(self.bootstrap, self.name, PARTITIONS)

    def compare(self) -> tuple[int, int, int, list[str]]:
        """Records, lost, doubled, and what differs between database and offline count."""
        log = whole_log.whole_log(self.bootstrap, self.name, PARTITIONS)
        must = offline.truth(self.engine, lambda _, partition: log[partition], self._registries)
        gridset: Gridset = wide_reference().gridset
        have = offline.stored(self.engine, gridset)
        lost, doubled = offline.misses(must, have)
        return sum(map(len, log.values())), lost, doubled, offline.differences(must, have)

    def members(self) -> set[str]:
        """The ids of the group's members; one that leaves and comes back has another."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            (found,) = admin.describe_groups([self.name]).values()
            return {m["member_id"] for m in found["members"]}
        finally:
            admin.close()


def wait_for(is_so: Callable[[], bool], what: str, wait_s: float = WAIT_S) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + wait_s
    while not is_so():
        assert time.monotonic() < deadline, f"not within {wait_s:.0f} s: {what}"
        time.sleep(0.1)


def ask(port: int, path: str) -> httpx2.Response | None:
    """What a process says of itself; None where it does not answer."""
    try:
        return httpx2.get(f"http://127.0.0.1:{port}{path}", timeout=5)
    except httpx2.HTTPError:
        return None


def is_ready(port: int) -> bool:
    """Whether a process says that it is ready."""
    answer = ask(port, "/readyz")
    return answer is not None and answer.status_code == 200


def samples(port: int) -> dict[str, float]:
    """A process's series, those of one name added up over their labels."""
    answer = ask(port, "/metrics")
    assert answer is not None
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        for one in family.samples:
            found[one.name] = found.get(one.name, 0.0) + one.value
    return found


# -- the database is away ----------------------------------------------------------------------


@dataclass
class Outage:
    """What an outage did to a consumer.

    Attributes
    ----------
    before_mb, peak_mb
        Resident memory before the outage, and the most of it while it lasted and after.
    rss
        (seconds since the consumer was ready, MB), as sampled.
    rebalances
        How often the group gave it partitions or took some, from before the outage to its end.
    behind
        Records that waited when the database was back.
    catch_up_s
        From the database's return until everything was counted, the producer stopped.
    """

    is_unbounded: bool
    outage_s: float
    per_second: int
    records: int = 0
    lost: int = 0
    doubled: int = 0
    before_mb: float = 0.0
    peak_mb: float = 0.0
    was_unready: bool = False
    is_same_member: bool = False
    rebalances: int = 0
    behind: int = 0
    catch_up_s: float = 0.0
    rss: list[tuple[float, float]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def growth_mb(self) -> float:
        """How much memory the outage took."""
        return self.peak_mb - self.before_mb

    def line(self) -> str:
        """Return it in one line."""
        control = " without a bound (control)" if self.is_unbounded else ""
        member = "kept its membership" if self.is_same_member else "LOST its membership"
        return (
            f"Apache Kafka + PostgreSQL{control}: database away for {self.outage_s:.0f} s at "
            f"{self.per_second:,} events/s; {self.before_mb:.0f} MB before, "
            f"{self.peak_mb:.0f} MB at most ({self.growth_mb:+.0f}); {member}, "
            f"{self.rebalances} rebalances; {self.behind:,} behind, caught up in "
            f"{self.catch_up_s:.0f} s; {self.records:,} records, {self.lost} lost, "
            f"{self.doubled} doubled"
        )


def outage(
    broker: apache_kafka.Broker | str,
    databases: postgres.Databases,
    *,
    outage_s: float,
    per_second: int,
    is_unbounded: bool = False,
    warm_s: float = 8.0,
) -> Outage:
    """Take the database away from under a consumer, give it back, and count."""
    assert databases.server is not None, "somebody else's server is not ours to stop"
    bootstrap = broker if isinstance(broker, str) else broker.bootstrap
    topic = Topic(bootstrap, databases.copy_of("empty"))
    report = Outage(is_unbounded, outage_s, per_second)
    port = free_port()
    given = Given(topic.url, bootstrap, topic.name, port, MAX_BYTES, is_unbounded)
    member = subprocess.Popen([sys.executable, pressure_member.__file__, json.dumps(asdict(given))])
    try:
        wait_for(lambda: is_ready(port), "the member is ready")
        process, began = psutil.Process(member.pid), time.monotonic()

        def sample() -> float:
            rss_mb = process.memory_info().rss / MB
            report.rss.append((round(time.monotonic() - began, 1), round(rss_mb, 1)))
            return rss_mb

        with Producing(bootstrap, topic.name, per_second):
            while time.monotonic() - began < warm_s or topic.counted() <= 0:
                report.before_mb = max(report.before_mb, sample())
                time.sleep(0.2)
            before, rebalances = topic.members(), samples(port)["driftline_rebalances_total"]
            databases.server.stop()
            gone_at = time.monotonic()
            while time.monotonic() - gone_at < outage_s:
                report.peak_mb = max(report.peak_mb, sample())
                report.was_unready |= not is_ready(port)
                time.sleep(0.2)
            report.is_same_member = topic.members() == before
            databases.server.start()
        back_at = time.monotonic()
        while (counted := topic.counted()) < 0 and time.monotonic() - back_at < WAIT_S:
            time.sleep(0.1)
        report.behind = sum(topic.ends().values()) - counted
        while not topic.is_read():
            report.peak_mb = max(report.peak_mb, sample())
            assert time.monotonic() - back_at < CATCH_UP_S, "it does not catch up"
            assert member.poll() is None, "the member ended"
            time.sleep(0.2)
        report.catch_up_s = time.monotonic() - back_at
        report.is_same_member &= topic.members() == before
        report.rebalances = int(samples(port)["driftline_rebalances_total"] - rebalances)
        assert is_ready(port)
    finally:
        member.terminate()
        with suppress(subprocess.TimeoutExpired):
            member.wait(15)
        member.kill()
        member.wait()
    report.records, report.lost, report.doubled, report.wrong = topic.compare()
    topic.engine.dispose()
    return report


# -- consumers are replaced one by one ---------------------------------------------------------


@dataclass
class Rolling:
    """What replacing every consumer in turn did.

    Attributes
    ----------
    seconds
        For all of them, from the first SIGTERM until the last replacement was ready.
    still_s
        The longest time in which no partition moved, and in which some one partition did not,
        by looks 50 ms apart; before anything was replaced it is the time between checkpoints.
    codes
        What the replaced ones ended with.
    """

    members: int
    per_second: int
    records: int = 0
    lost: int = 0
    doubled: int = 0
    fenced: int = 0
    seconds: float = 0.0
    still_s: float = 0.0
    one_still_s: float = 0.0
    codes: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return it in one line."""
        return (
            f"Apache Kafka + PostgreSQL: {len(self.codes)} of {self.members} consumers replaced "
            f"in turn at {self.per_second:,} events/s in {self.seconds:.0f} s; nothing moved for "
            f"{self.still_s:.1f} s at most, one partition for {self.one_still_s:.1f} s; "
            f"{self.fenced} fenced; {self.records:,} records, {self.lost} lost, "
            f"{self.doubled} doubled"
        )


class Watching:
    """Looks at the positions until it is stopped: for how long none of them moved."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.still_s = self.one_still_s = 0.0

    def __enter__(self) -> Watching:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(WAIT_S)

    def _look(self) -> None:
        began = time.monotonic()
        moved_at = dict.fromkeys(range(PARTITIONS), began)
        last: dict[int, int] = {}
        while not self._stop.is_set():
            now, found = time.monotonic(), self._topic.positions()
            for partition, row in found.items():
                if row.next_offset != last.get(partition):
                    last[partition] = row.next_offset
                    moved_at[partition] = now
            self.still_s = max(self.still_s, now - max(moved_at.values()))
            self.one_still_s = max(self.one_still_s, now - min(moved_at.values()))
            self._stop.wait(0.05)


class Role:
    """A `driftline ingest` of its own, as a user starts it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "monitor.cli", "ingest", "--metrics-port", str(self.port)]
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=folder, stderr=log)

    def is_ready(self) -> bool:
        """Whether it says that it is ready."""
        assert self._process.poll() is None, f"it ended with {self._process.returncode}"
        return is_ready(self.port)

    def end(self) -> int:
        """Send SIGTERM and return what it ended with."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(WAIT_S)
        finally:
            self._process.kill()
            self._process.wait()


def rolling(
    broker: apache_kafka.Broker | str,
    databases: postgres.Databases,
    *,
    members: int = 4,
    rounds: int = 1,
    per_second: int = 400,
) -> Rolling:
    """Replace every consumer in turn under flow, then count."""
    bootstrap = broker if isinstance(broker, str) else broker.bootstrap
    topic = Topic(bootstrap, databases.copy_of("empty"))
    report = Rolling(members, per_second)
    with tempfile.TemporaryDirectory(prefix="driftline-rolling-") as made:
        folder = Path(made)
        (folder / "driftline.toml").write_text(
            f'[database]\nurl = "{topic.url}"\n'
            f'[kafka]\nbootstrap = "{bootstrap}"\ntopic = "{topic.name}"\n'
            f'group = "{topic.name}"\n[ingest]\ncheckpoint_interval_s = 0.5\n'
        )
        running = [Role(folder) for _ in range(members)]
        try:
            with Producing(bootstrap, topic.name, per_second):
                wait_for(lambda: all(r.is_ready() for r in running), "all are ready")
                wait_for(lambda: len(topic.members()) == members, "all are in the group")
                wait_for(lambda: min(_counted(topic)) > 0, "every partition moves")
                began = time.monotonic()
                with Watching(topic) as watching:
                    for i in list(range(members)) * rounds:
                        report.codes.append(running[i].end())
                        running[i] = Role(folder)
                        wait_for(running[i].is_ready, "the replacement is ready")
                    # What the last one left must be seen to go on.
                    time.sleep(2.0)
                report.seconds = time.monotonic() - began
                report.still_s, report.one_still_s = watching.still_s, watching.one_still_s
            wait_for(topic.is_read, "everything is counted", CATCH_UP_S)
        finally:
            for role in running:
                with suppress(subprocess.TimeoutExpired):
                    role.end()
    report.fenced = sum(row.fenced for row in topic.positions().values())
    report.records, report.lost, report.doubled, report.wrong = topic.compare()
    topic.engine.dispose()
    return report


def _counted(topic: Topic) -> list[int]:
    return [row.next_offset - row.start_offset for row in topic.positions().values()] or [0]


def main() -> None:
    """Run outages, with and without a bound, and a rolling restart; print and keep the reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="without a database")
    parser.add_argument("--rate", type=int, default=1_000, help="events a second")
    parser.add_argument("--json", type=Path, help="also write the reports here")
    asked = parser.parse_args()
    broker, databases = apache_kafka.start(), postgres.start()
    outages: list[Outage] = []
    try:
        for is_unbounded in (False, True):
            # The control need not last: it is out of bounds within half a minute.
            outage_s = 30.0 if is_unbounded else asked.minutes * 60
            report = outage(
                broker,
                databases,
                outage_s=outage_s,
                per_second=asked.rate,
                is_unbounded=is_unbounded,
            )
            outages.append(report)
            print(report.line(), flush=True)
            step = max(1, len(report.rss) // 20)
            print("  s MB: " + "  ".join(f"{s:.0f} {mb:.0f}" for s, mb in report.rss[::step]))
            for wrong in report.wrong:
                print(f"  WRONG {wrong}")
        rolled = rolling(broker, databases, rounds=3)
        print(rolled.line(), flush=True)
        for wrong in rolled.wrong:
            print(f"  WRONG {wrong}")
    finally:
        databases.close()
        if not isinstance(broker, str):
            broker.remove()
    if asked.json:
        found = [asdict(report) for report in (*outages, rolled)]
        asked.json.write_text(json.dumps(found, indent=1))
    bounded, control = outages
    is_right = not bounded.wrong and bounded.is_same_member and not rolled.wrong
    is_proof = control.growth_mb > GROWTH_MB > bounded.growth_mb
    sys.exit(0 if is_right and is_proof and set(rolled.codes) == {0} else 1)


if __name__ == "__main__":
    main()
