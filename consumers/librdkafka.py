"""What librdkafka is told, from the options that kafka-python's clients take.

One block of settings says how the brokers are reached, whichever client reads: what librdkafka
has no like of is refused here, so that nothing of it is silently left out.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from typing import Any, Final

from consumers.kafka import BOOTSTRAP_MS, FETCH_BYTES
from driftline.errors import ConfigError

# What was fetched and not yet taken: as much as four partitions hold with kafka-python.
QUEUED_KB: Final = 16_000
# A full queue is emptied in some 50 ms, after which a fetch that was put off is missed.
PUT_OFF_MS: Final = 10
# What it was not told to take it refuses, and then reads no more of a topic with such a record.
ANSWER_BYTES: Final = 512 << 20
# Of a provider that does not say how long its token is good; librdkafka asks again after four
# fifths of that.
TOKEN_S: Final = 60.0

# kafka-python's name of an option, and librdkafka's.
_TRANSLATED: Final = {
    "security_protocol": "security.protocol",
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_keyfile": "ssl.key.location",
    "sasl_mechanism": "sasl.mechanism",
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
    "session_timeout_ms": "session.timeout.ms",
    "heartbeat_interval_ms": "heartbeat.interval.ms",
    "max_partition_fetch_bytes": "max.partition.fetch.bytes",
    "fetch_max_bytes": "fetch.max.bytes",
    "fetch_max_wait_ms": "fetch.wait.max.ms",
    "fetch_min_bytes": "fetch.min.bytes",
    "metadata_max_age_ms": "topic.metadata.refresh.interval.ms",
    "max_poll_interval_ms": "max.poll.interval.ms",
}
# Translated by hand, or the source's own.
_OTHERS: Final = {"ssl_check_hostname", "sasl_oauth_token_provider", "max_poll_records"}
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")


def translated(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return librdkafka's options for kafka-python's, with what counting once rests on.

    Raises
    ------
    ConfigError
        One has no like there.

    Examples
    --------
    >>> translated({"security_protocol": "SSL", "ssl_check_hostname": False})["security.protocol"]
    'SSL'
    >>> translated({"sasl_mechanism": "AWS_MSK_IAM"})
    Traceback (most recent call last):
    driftline.errors.ConfigError: kafka.sasl_mechanism (settings): got 'AWS_MSK_IAM', expected \
PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER with kafka.client confluent; kafka-python has it
    """
    unknown = sorted(set(options) - set(_TRANSLATED) - _OTHERS)
    if unknown:
        raise ConfigError(
            "kafka", "options", unknown, "options that librdkafka has too: kafka.client confluent"
        )
    mechanism = options.get("sasl_mechanism")
    if mechanism is not None and mechanism not in _MECHANISMS:
        raise ConfigError(
            "kafka.sasl_mechanism", "settings", mechanism,
            f"{', '.join(_MECHANISMS[:-1])} or {_MECHANISMS[-1]} with kafka.client confluent; "
            "kafka-python has it",
        )  # fmt: skip
    made: dict[str, Any] = {
        "max.partition.fetch.bytes": FETCH_BYTES,
        "fetch.max.bytes": 4 * FETCH_BYTES,
        # Partitions that are added are found within half a minute.
        "topic.metadata.refresh.interval.ms": 30_000,
    }
    made |= {_TRANSLATED[key]: options[key] for key in options if key in _TRANSLATED}
    made["receive.message.max.bytes"] = max(ANSWER_BYTES, made["fetch.max.bytes"] + 1_000_000)
    if str(options.get("security_protocol", "")).endswith("SSL"):
        made.setdefault("ssl.ca.location", _authorities())
        is_checked = options.get("ssl_check_hostname", True)
        made["ssl.endpoint.identification.algorithm"] = "https" if is_checked else "none"
        if "ssl.certificate.location" in made:
            made.setdefault("ssl.key.location", made["ssl.certificate.location"])
    provider = options.get("sasl_oauth_token_provider")
    if provider is not None:
        made["oauth_cb"] = lambda _: _token(provider)
    return made | {
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "allow.auto.create.topics": False,
        "isolation.level": "read_committed",
        "enable.partition.eof": True,
        # As kafka-python does; by itself it takes what a disk or a wire has changed.
        "check.crcs": True,
        "queued.max.messages.kbytes": QUEUED_KB,
        "fetch.queue.backoff.ms": PUT_OFF_MS,
        # Both clients may be members of one group while it moves from one to the other.
        "partition.assignment.strategy": "range,roundrobin",
        "socket.connection.setup.timeout.ms": BOOTSTRAP_MS,
        "reconnect.backoff.max.ms": 2_000,
    }


def _token(provider: Any) -> tuple[str, float]:
    """A token, and until when it is good."""
    token = provider.token()
    left_s = provider.left_s() if hasattr(provider, "left_s") else TOKEN_S
    return token, time.time() + left_s


def _authorities() -> str:
    """The system's authorities, where Python looks for them."""
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or "probe"
