"""Child processes and the embedded broker end with their parent, however it ends."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from driftline.errors import BrokerUnavailable, ConfigError
from monitor.cli.broker import EmbeddedBroker, ensure_topic
from monitor.cli.processes import Child, require_free_port

# kafka-python leaves the socket of a refused connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Sockets that a test left behind are its own, and not the next test's."""
    yield
    gc.collect()


PARENT = """
import sys, time
from pathlib import Path
from monitor.cli.broker import EmbeddedBroker
from monitor.cli.processes import Child
broker = EmbeddedBroker(int(sys.argv[1]), log=Path(sys.argv[2]) / "broker.log").start()
code = '''
import threading
from monitor.cli.processes import stop_with_parent, watch_parent
watch_parent()
stop = threading.Event()
stop_with_parent(stop)
print("ready", flush=True)
stop.wait()
'''
child = Child("child", [sys.executable, "-c", code], log=Path(sys.argv[2]) / "child.log")
print("started", flush=True)
time.sleep(600)
"""


def until(is_so: Callable[[], bool], *, within_s: float = 15.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.02)
    return is_so()


def test_a_killed_parent_leaves_no_process_and_no_port(tmp_path: Path) -> None:
    from monitor.cli.processes import free_port

    port = free_port()
    command = [sys.executable, "-c", PARENT, str(port), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        log = tmp_path / "child.log"
        assert until(lambda: log.read_text() == "ready\n")
        children = psutil.Process(parent.pid).children(recursive=True)
        assert {"tansu"} < {child.name() for child in children}
        with pytest.raises(ConfigError):
            require_free_port(port, key="broker.port", option="--broker-port")
        parent.send_signal(signal.SIGKILL)
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert len(gone) == len(children)
    require_free_port(port, key="broker.port", option="--broker-port")


def test_a_broker_whose_parent_is_killed_leaves_no_file(tmp_path: Path) -> None:
    code = (
        "import time\nfrom monitor.cli.broker import EmbeddedBroker\n"
        "broker = EmbeddedBroker(0).start()\nprint('started', flush=True)\ntime.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        assert parent.stdout.readline() == "started\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        parent.send_signal(signal.SIGKILL)
    assert not psutil.wait_procs(children, timeout=10)[1]
    assert list(tmp_path.iterdir()) == []


def test_a_child_s_last_words_are_told_of_a_file_without_a_name() -> None:
    with tempfile.TemporaryFile() as log:
        child = Child("talker", ["/bin/sh", "-c", "echo first; echo last"], log=log)
        assert until(lambda: child.exit_code == 0)
        assert child.last_words() == "last"
        child.stop()


def test_a_child_that_will_not_end_is_killed_with_what_it_started(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "trap '' TERM; sleep 600 & echo ready; wait"
    child = Child("stubborn", ["/bin/sh", "-c", script], log=log)
    assert until(lambda: log.read_text() == "ready\n")
    inner = psutil.Process(child.pid).children()
    started_s = time.monotonic()
    child.stop(0.2)
    assert time.monotonic() - started_s < 3
    assert child.exit_code == -signal.SIGKILL
    assert not psutil.wait_procs(inner, timeout=5)[1]


def test_a_busy_port_is_said_with_the_option_that_chooses_another() -> None:
    with EmbeddedBroker(0) as broker, pytest.raises(ConfigError, match="--broker-port"):
        EmbeddedBroker(broker.port).start()


def test_each_start_of_the_broker_is_an_epoch_of_its_own() -> None:
    assert EmbeddedBroker(0).epoch != EmbeddedBroker(0).epoch


def test_the_broker_listens_on_loopback_only() -> None:
    with EmbeddedBroker(0) as broker:
        processes = psutil.Process(broker.child.pid).children(recursive=True)
        listening = {
            connection.laddr.ip
            for process in processes
            for connection in process.net_connections(kind="tcp")
            if connection.status == psutil.CONN_LISTEN
        }
    assert listening == {"127.0.0.1"}


def test_a_broker_that_is_not_there_is_one_line_that_names_the_option() -> None:
    with pytest.raises(BrokerUnavailable, match="--kafka HOST:PORT"):
        ensure_topic("127.0.0.1:9", "events")


def test_the_brokers_end_offset_may_lag_but_its_high_watermark_does_not() -> None:
    # What the consumers rely on; when this fails the broker has been mended.
    with EmbeddedBroker(0) as broker:
        ensure_topic(broker.bootstrap, "events", partitions=1)
        producer = KafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=50)
        for _ in range(10):
            producer.send("events", b"x", partition=0)
        producer.flush(10)
        producer.close()
        partition = TopicPartition("events", 0)
        consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        assert until(lambda: bool(consumer.poll(200)))
        assert consumer.highwater(partition) == 10
        assert consumer.end_offsets([partition])[partition] < 10
        consumer.close()
