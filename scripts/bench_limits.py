"""What nobody should send, sent on purpose: `make bench-limits`.

One model logs as usual. Beside it, on the same partitions, comes one kind of bad input after the
other, and the same consumer reads both. Every run says how long both took, what the process had in
memory at most, and what is stored; the usual events must all be counted, whatever came between.
Then the same is asked of HTTP: an upload, and how long others wait for an answer meanwhile.
ARGS="--only hours,gzip" picks, ARGS=--list lists; ten minutes of an idle machine for all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa
from bench.material import ARROW_HEADERS, Shape, json_records
from bench.rig import PARTITIONS, Rig, Sender, Topic, machine
from kafka import KafkaProducer

from driftline.arrow import encode_frame
from driftline.stats import document
from driftline.stats.reference import Reference, build_reference
from monitor.cli.processes import free_port
from monitor.storage import engine as storage
from monitor.storage import registry
from monitor.storage import schema as t

ROOT: Final = Path(__file__).parents[1]
USUAL: Final = 40_000
MB: Final = 1_000_000
# A broker that lets large records in.
LARGE: Final = {"message.max.bytes": "120000000", "replica.fetch.max.bytes": "120000000"}
START_MS: Final = 1_700_000_000_000
HOUR_MS: Final = 3_600_000

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class Case:
    """One kind of bad input.

    Attributes
    ----------
    records
        What is sent beside the usual events, spread among them.
    send
        Where it takes a producer of its own: given the broker and the topic, after half of the
        usual events; returns how many offsets it took of each partition.
    models
        What is registered beside the usual model, and its reference.
    """

    name: str
    records: Callable[[], Iterable[bytes]] = tuple
    headers: Headers = ()
    send: Callable[[str, str], dict[int, int]] | None = None
    models: Callable[[], dict[str, Reference]] = dict
    settings: dict[str, Any] = field(default_factory=dict)


def prediction(model: str, features: str, time_ms: int = START_MS) -> bytes:
    """An event of few bytes."""
    return (
        f'{{"type":"prediction","model":"{model}","version":"1","time":{time_ms},'
        f'"features":{features}}}'
    ).encode()


def ndjson(events: Iterable[bytes], together: int = 1_000) -> Iterator[bytes]:
    """Events as records of so many lines."""
    held: list[bytes] = []
    for event in events:
        held.append(event)
        if len(held) == together:
            yield b"\n".join(held)
            held = []
    if held:
        yield b"\n".join(held)


def spread(n: int, value: bytes) -> Callable[[], Iterable[bytes]]:
    """The same record so many times."""
    return lambda: repeat(value, n)


def wide() -> dict[str, Reference]:
    """A model of as many features as there may be."""
    columns = {f"x{i}": np.arange(300.0) * (i % 7 + 1) for i in range(5_000)}
    return {"wide": build_reference(pd.DataFrame(columns))}


def of_words() -> dict[str, Reference]:
    """A model with a category, by which it is cut into segments too."""
    frame = pd.DataFrame({"word": [f"w{i % 50}" for i in range(5_000)]})
    return {"words": build_reference(frame), "sites": build_reference(frame, segments=["word"])}


def hours_of_arrow() -> Iterator[bytes]:
    """Records of thousands of rows of the usual model, each of another hour or quarter of one."""
    frame = Shape().frame(50_000)
    frame["at"] = 1_000_000_000_000 + np.arange(50_000, dtype=np.int64) * (HOUR_MS // 4)
    for _ in range(4):
        made = encode_frame(
            frame, model="m0", version="1", prediction="class", score="score", timestamp="at",
            max_bytes=MB, max_rows=50_000,
        )  # fmt: skip
        yield from (value for value, _ in made)


def arrow_bombs() -> Iterator[bytes]:
    """Streams of a few kilobytes whose buffers become a gigabyte."""
    table = pa.table({"text": pa.array([bytes(1_000 * MB)], pa.large_binary())})
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return repeat(bytes(sink.getvalue().to_pybytes()), 100)


def bombs(codec: str) -> Callable[[str, str], dict[int, int]]:
    """Five batches of 300 records of a megabyte, which compress to nothing."""

    def send(bootstrap: str, topic: str) -> dict[int, int]:
        producer = KafkaProducer(
            bootstrap_servers=bootstrap, compression_type=codec, batch_size=400 * MB,
            linger_ms=5_000, max_request_size=1_000 * MB,
        )  # fmt: skip
        for _ in range(5):
            for _ in range(300):
                producer.send(topic, bytes(MB), partition=0)
            producer.flush(timeout=300)
        producer.close(timeout=5)
        return {0: 1_500}

    return send


def huge(bootstrap: str, topic: str) -> dict[int, int]:
    """Three records of 100 MB."""
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, batch_size=200 * MB, max_request_size=200 * MB
    )
    for partition in range(3):
        producer.send(topic, b"x" * 100 * MB, partition=partition)
        producer.flush(timeout=300)
    producer.close(timeout=5)
    return dict.fromkeys(range(3), 1)


def numbers() -> Iterator[bytes]:
    """Integers of 900,000 digits, numbers beyond every float, and the smallest there are."""
    long = prediction("m0", '{"x0":%s,"x1":-0.0,"x2":1e999}' % ("9" * 900_000))
    fraction = prediction("m0", '{"x0":0.%s,"x1":5e-324}' % ("3" * 900_000))
    return chain.from_iterable(repeat((long, fraction), 25))


def _features(n: int, value: str = "1.5") -> str:
    return "{" + ",".join(f'"x{i}":{value}' for i in range(n)) + "}"


def cases() -> dict[str, Case]:
    """All of them, by name."""
    off = {"breaker": False}
    found = [
        Case("nothing"),
        Case("50,000 features an event", spread(100, prediction("m0", _features(50_000)))),
        Case(
            "a model of 5,000 features",
            lambda: chain(
                repeat(prediction("wide", _features(5_000)), 200),
                repeat(prediction("wide", "{}"), 1_000),
            ),
            models=wide,
        ),
        Case(
            "a million values of a category",
            lambda: ndjson(prediction("words", f'{{"word":"n{i}"}}') for i in range(MB)),
            models=of_words,
        ),
        Case(
            "a million values of a segment",
            lambda: ndjson(prediction("sites", f'{{"word":"n{i}"}}') for i in range(MB)),
            models=of_words,
        ),
        Case("a million strangers", lambda: ndjson(prediction(f"n{i}", "{}") for i in range(MB))),
        Case("a million dead letters", lambda: ndjson(repeat(b'{"a":1}', MB)), settings=off),
        Case("200,000 dead records", spread(200_000, b"{"), settings=off),
        Case("50 x 1 MB of blank events", spread(50, b"{}\n" * 330_000), settings=off),
        Case("3 x 100 MB", send=huge),
        *(Case(f"a bomb of {codec}", send=bombs(codec), settings=off) for codec in
          ("gzip", "zstd", "lz4", "snappy")),
        Case("a bomb of Arrow", arrow_bombs, ARROW_HEADERS),
        Case("200,000 rows of 12,500 hours", hours_of_arrow, ARROW_HEADERS),
        Case("a million levels", spread(100, b"[" * 990_000)),
        Case("numbers of 900,000 digits", numbers),
        Case(
            "120,000 times the same key",
            spread(50, prediction("m0", "{" + ",".join(['"x0":1'] * 120_000) + "}")),
        ),
        Case(
            "names of a megabyte",
            lambda: chain.from_iterable(
                repeat(
                    (
                        prediction("n" * 900_000, "{}"),
                        prediction("m0", f'{{"{"n" * 900_000}":1}}'),
                        prediction("m0", f'{{"word0":"{"n" * 900_000}"}}'),
                    ),
                    20,
                )
            ),
        ),
    ]  # fmt: skip
    return {case.name: case for case in found}


# -- Kafka -----------------------------------------------------------------------------------


def topic_of(rig: Rig, case: Case) -> Topic:
    """The usual events, and the others among them."""
    name = rig.empty_topic(PARTITIONS)
    ends = dict.fromkeys(range(PARTITIONS), 0)
    bad = list(case.records())
    n_bytes, sent = 0, 0
    with Sender(rig.bootstrap) as sender:
        for i, value in enumerate(json_records(Shape(), USUAL)):
            if case.send is not None and i == USUAL // 2:
                if sender._fast is not None:
                    sender._fast.flush(60)
                for partition, n in case.send(rig.bootstrap, name).items():
                    ends[partition] += n
            sender.send(name, value, i % PARTITIONS)
            ends[i % PARTITIONS] += 1
            while sent < len(bad) * (i + 1) // USUAL:
                sender.send(name, bad[sent], sent % PARTITIONS, case.headers)
                ends[sent % PARTITIONS] += 1
                n_bytes += len(bad[sent])
                sent += 1
    assert sent == len(bad), (sent, len(bad))
    return Topic(name, ends, n_bytes)


def database(rig: Rig, case: Case) -> str:
    """A database in which the usual model is registered, and this one's."""
    url = rig.database("sqlite", Shape())
    engine = storage.create(url)
    for name, reference in case.models().items():
        with storage.transaction(engine) as conn:
            registry.register_reference(conn, reference, model=name, version="1", now_ms=0)
    engine.dispose()
    return url


def stored(url: str) -> tuple[dict[str, int], int]:
    """What became of the events, and how many rows stand for what was wrong; the usual first."""
    engine = storage.create(url)
    try:
        with engine.connect() as conn:
            c = t.counter.c
            said = sa.select(c.outcome, sa.func.sum(c.count), sa.func.sum(
                sa.case((c.model == "m0", c.count), else_=0))).group_by(c.outcome)  # fmt: skip
            found = {}
            for outcome, n, usual in conn.execute(said):
                found[outcome] = int(n)
                if outcome == "prediction":
                    found["of the usual model"] = int(usual)
            rows = sum(
                int(conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
                for table in (t.counter, t.deficit, t.dead_letter, t.unseen_value, t.pane)
            )
            return found, rows
    finally:
        engine.dispose()


def ingest(rig: Rig, case: Case, client: str, n_runs: int) -> dict[str, Any]:
    """Read the usual events and what comes with them."""
    topic = topic_of(rig, case)
    runs = []
    for _ in range(n_runs):
        url = database(rig, case)
        run = rig.run(
            "consume", client=client, database_url=url, bootstrap=rig.bootstrap, topic=topic.name,
            group=f"g-{uuid.uuid4().hex[:12]}", ends=dict(topic.ends), settings=case.settings,
        )  # fmt: skip
        found, rows = stored(url)
        of_usual = found.pop("of the usual model", 0)
        assert of_usual >= USUAL, f"{case.name}: {of_usual} of {USUAL} usual events"
        size_mb = Path(url.removeprefix("sqlite:///")).stat().st_size / MB
        runs.append(run | {"found": found, "rows": rows, "database_mb": size_mb})
        rig.drop(url)
    rig.remove_topic(topic.name)
    middle = sorted(runs, key=lambda run: float(run["seconds"]))[n_runs // 2]
    return middle | {"bad_mb": topic.n_bytes / MB, "name": case.name}


# -- HTTP ------------------------------------------------------------------------------------


def uploads() -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Path and body, by name."""
    frame = pd.DataFrame({"x": np.arange(300) % 7})
    made = build_reference(frame)

    def reference(said: bytes) -> bytes:
        return b'{"model":"big","version":"1","reference":' + said + b"}"

    def copies(n: int) -> bytes:
        said = json.loads(made.to_document())
        said["features"] = [said["features"][0] | {"name": f"x{i}"} for i in range(n)]
        return reference(json.dumps(said).encode())

    most = document.MAX_BYTES - 200
    path = "/api/v1/references"
    return {
        "a reference of 50,000 features": (path, lambda: copies(50_000)),
        "a reference of 5,000 features": (
            path,
            lambda: reference(wide()["wide"].to_document()),
        ),
        "64 MB of empty lists": (path, lambda: reference(b"[" + b"[]," * (most // 3) + b"0]")),
        "64 MB of brackets": (path, lambda: reference(b"[" * most)),
        "64 MB of one integer": (path, lambda: reference(b"9" * most)),
        "5 MB of zeros as events": ("/api/v1/events", lambda: b"[" + b"0," * 2_600_000 + b"0]"),
        "330,000 empty events": ("/api/v1/events", lambda: b"[" + b"{}," * 330_000 + b"{}]"),
    }


SERVE: Final = """
import sys, uvicorn
from monitor.api.app import create_app
from monitor.storage import engine
app = create_app(engine.create(sys.argv[1]), with_dashboard=False)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""


def asked(url: str, body: bytes | None = None) -> tuple[int, str, float]:
    """Status, what was said, and seconds."""
    request = urllib.request.Request(url, data=body, headers={"content-type": "application/json"})
    began = time.perf_counter()
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            status, said = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, said = error.code, error.read()
    return status, said.decode(errors="replace"), time.perf_counter() - began


def http(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Each upload to a server of its own, while others ask how it is."""
    for name in names:
        path, body = uploads()[name]
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{folder}/driftline.db"
            engine = storage.create(url)
            storage.upgrade(engine)
            engine.dispose()
            port = free_port()
            server = subprocess.Popen([sys.executable, "-c", SERVE, url, str(port)], cwd=ROOT)
            try:
                yield _upload(server.pid, f"http://127.0.0.1:{port}", name, path, body())
            finally:
                server.terminate()
                server.wait()


def _upload(pid: int, base: str, name: str, path: str, body: bytes) -> dict[str, Any]:
    while True:
        try:
            if asked(f"{base}/healthz")[0] == 200:
                break
        except OSError:
            time.sleep(0.05)
    before = statistics.median(asked(f"{base}/api/v1/status")[2] for _ in range(20))
    waits: list[float] = []
    is_over = threading.Event()

    def neighbour() -> None:
        while not is_over.is_set():
            waits.append(asked(f"{base}/api/v1/status")[2])

    beside = threading.Thread(target=neighbour)
    beside.start()
    status, said, seconds = asked(base + path, body)
    is_over.set()
    beside.join()
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next(int(x.split()[1]) for x in lines if x.startswith("VmHWM")) * 1024 / MB
    detail = json.loads(said).get("detail", "registered")
    return {
        "name": name, "bad_mb": len(body) / MB, "seconds": seconds, "peak_mb": peak,
        "status": status, "said": str(detail)[:160],
        "before_ms": before * 1_000, "during_ms": max(waits) * 1_000,
    }  # fmt: skip


# -- what is printed -------------------------------------------------------------------------


def main() -> None:
    """Send what is asked for and print a line of a table for each."""
    known = {**cases(), **uploads()}
    parser = argparse.ArgumentParser(description=__doc__, prog="make bench-limits")
    parser.add_argument("--only", help="names or parts of names, with commas between")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--client", default="kafka-python", choices=["kafka-python", "confluent"])
    parser.add_argument("--runs", type=int, default=3, help="of each; the middle one is told")
    given = parser.parse_args()
    if given.list:
        print("\n".join(known))
        return
    wanted = [
        name for name in known if not given.only or any(p in name for p in given.only.split(","))
    ]
    sent = [case for name, case in cases().items() if name in wanted]
    if sent and sent[0].name != "nothing":
        sent.insert(0, cases()["nothing"])
    if sent:
        with Rig(LARGE) as rig:
            print(", ".join(f"{k}: {v}" for k, v in machine(rig).items()))
            print(
                f"\n{USUAL:,} usual events and, among them, ...\n\n"
                "| sent beside | MB | seconds | usual events/s | peak MB | database MB | rows "
                "| counted |\n|---|---:|---:|---:|---:|---:|---:|---|"
            )
            for case in sent:
                run = ingest(rig, case, given.client, given.runs)
                outcomes = ", ".join(f"{k} {v:,}" for k, v in sorted(run["found"].items()))
                print(
                    f"| {run['name']} | {run['bad_mb']:.0f} | {run['seconds']:.2f} | "
                    f"{USUAL / run['seconds']:,.0f} | {run['peak_mb']:.0f} | "
                    f"{run['database_mb']:.1f} | {run['rows']:,} | {outcomes} |",
                    flush=True,
                )
    posted = [name for name in uploads() if name in wanted]
    if posted:
        print(
            "\n| uploaded | MB | seconds | peak MB | others waited, ms before | at most, during | "
            "answer |\n|---|---:|---:|---:|---:|---:|---|"
        )
        for run in http(posted):
            print(
                f"| {run['name']} | {run['bad_mb']:.1f} | {run['seconds']:.2f} | "
                f"{run['peak_mb']:.0f} | {run['before_ms']:.0f} | {run['during_ms']:.0f} | "
                f"{run['status']}: {run['said']} |",
                flush=True,
            )


if __name__ == "__main__":
    os.chdir(ROOT)
    main()
