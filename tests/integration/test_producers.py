"""Producers in Java, Go and Node: what their examples log to Apache Kafka is counted."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_kafka
import pytest
from kafka import KafkaConsumer, TopicPartition

from driftline import wire
from monitor.cli.broker import ensure_topic

EXAMPLES = Path(__file__).parents[2] / "examples" / "producers"
# Each downloads its client and builds itself: on a busy machine that takes a minute.
RUN_S = 300.0
TOPIC = "driftline.events"


@pytest.fixture(scope="module")
def bootstrap() -> Iterator[str]:
    broker = apache_kafka.start()
    address = broker if isinstance(broker, str) else broker.bootstrap
    ensure_topic(address, TOPIC)
    yield address
    if not isinstance(broker, str):
        broker.remove()


def commands(language: str) -> list[str]:
    """The example's commands, as its README prints them."""
    text = (EXAMPLES / "README.md").read_text()
    blocks = [part.split("```")[0] for part in text.split("```console\n")[1:]]
    block = next(block for block in blocks if block.startswith(f"$ cd {language} "))
    return [line.removeprefix("$ ") for line in block.splitlines()]


@pytest.mark.parametrize(("language", "tool"), [("java", "mvn"), ("go", "go"), ("node", "npm")])
def test_what_an_example_logs_is_an_event(
    bootstrap: str, language: str, tool: str, tmp_path: Path
) -> None:
    if shutil.which(tool) is None:
        said = f"{tool} is missing, which the example in {language} is built with"
        # Debian's own Go is too old for the client: where there is none, there is none.
        pytest.fail(said) if os.environ.get("CI") and tool != "go" else pytest.skip(said)
    shutil.copytree(EXAMPLES / language, tmp_path / language)
    before = ends(bootstrap)
    script = "\n".join(commands(language)).replace("127.0.0.1:9092", bootstrap)
    done = subprocess.run(
        ["/bin/sh", "-ec", script], cwd=tmp_path, capture_output=True, text=True,
        timeout=RUN_S, check=False,
        # The machine's own toolchain, not another one that it would fetch.
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "logged 2 events" in done.stdout + done.stderr
    prediction, label = sorted(
        logged(bootstrap, before), key=lambda event: event.type != "prediction"
    )
    assert prediction.features == {"age": 41, "plan": "pro", "tenure": None}
    assert prediction.prediction == {"class": "stays", "score": 0.73}
    assert (prediction.model, prediction.version, prediction.id) == ("churn", "3", label.id)
    assert label.label == 0
    assert label.time > prediction.time


def reader(bootstrap: str) -> tuple[Any, list[Any]]:
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    partitions = [TopicPartition(TOPIC, n) for n in consumer.partitions_for_topic(TOPIC)]
    consumer.assign(partitions)
    return consumer, partitions


def ends(bootstrap: str) -> dict[Any, int]:
    consumer, partitions = reader(bootstrap)
    found: dict[Any, int] = consumer.end_offsets(partitions)
    consumer.close()
    return found


def logged(bootstrap: str, before: dict[Any, int]) -> list[wire.Event]:
    """The events since `before`, which are there already."""
    consumer, partitions = reader(bootstrap)
    for partition in partitions:
        consumer.seek(partition, before[partition])
    wanted = sum(consumer.end_offsets(partitions).values()) - sum(before.values())
    found: list[wire.Event] = []
    while len(found) < wanted:
        for records in consumer.poll(timeout_ms=10_000).values():
            found += [wire.decode(record.value) for record in records]
    consumer.close()
    return found
