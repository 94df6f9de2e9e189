"""The broker as this installation's settings reach it: from the port to the last records.

Nothing is changed and no group is joined: records are read by manual assignment, and what a group
has committed is asked of the broker.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.protocol.consumer import OffsetSpec
from kafka.protocol.consumer.group import HeartbeatRequest

from driftline.program import command
from driftline.refusing import overheard, refusal, said
from monitor.brokers import addresses
from monitor.doctor.check import ASK_S, Check, fail, ok, skipped, warn
from monitor.doctor.wire import Met, meet, reaches
from monitor.words import counted

LAST_RECORDS: Final = 100
FETCH_WAIT_MS: Final = 100
BOOTSTRAP_MS: Final = 4_000
# Record timestamps beyond this machine's clock by more than a network explains.
SKEW_MS: Final = 5_000
DAY_MS: Final = 86_400_000
# What a broker answers where there is no topic, and where a right is absent.
_UNKNOWN_TOPIC, _TOPIC_FORBIDDEN, _GROUP_FORBIDDEN = 3, 29, 30
# Unknown member, illegal generation, no such group: whoever is told so has the right.
_NO_SUCH_MEMBER: Final = frozenset({0, 22, 25, 69})


@dataclass(frozen=True)
class Place:
    """What is asked about: brokers, topic, group, and how they are spoken to."""

    bootstrap: str
    topic: str
    group: str
    options: Mapping[str, Any] = field(repr=False)  # with passwords
    tls: ssl.SSLContext | None


_MENDS: Final = {
    "untrusted": "name the authority that signed it in kafka.ssl_cafile",
    "wrong_name": "reach the broker by a name that its certificate bears, or have one made with "
    "this name; kafka.ssl_check_hostname = false trusts any name",
    "expired": "renew the broker's certificate, or set this machine's clock",
    "plain_here": "kafka.security_protocol PLAINTEXT or SASL_PLAINTEXT, or the port of its TLS "
    "listener",
    "tls_here": "kafka.security_protocol SSL or SASL_SSL, or the port of its plain listener",
    "refused_us": "give a certificate that it trusts: kafka.ssl_certfile, kafka.ssl_keyfile",
    "not_kafka": "name a Kafka broker's HOST:PORT in kafka.bootstrap",
}
_WORDS: Final = {
    "untrusted": "its certificate is not trusted",
    "wrong_name": "its certificate bears another host name",
    "expired": "its certificate is not valid today",
    "plain_here": "it speaks plain text there, not TLS",
    "tls_here": "the port expects TLS, or something that is no Kafka listens there",
    "refused_us": "it refuses us in the TLS handshake: it asks for a client certificate",
    "not_kafka": "what listens there does not speak Kafka",
}


def port(place: Place) -> Iterator[Check]:
    """Yield whether a broker answers, and whether it is spoken to as it expects."""
    name = "broker reachable"
    named = addresses(place.bootstrap)
    if not named:
        yield fail(name, f"{place.bootstrap} is no address", 'kafka.bootstrap = "HOST:PORT"')
        return
    each_s = ASK_S / 2 / len(named)
    met = {f"{host}:{number}": meet(host, number, place.tls, each_s) for host, number in named}
    silent = [f"{at}: {m.detail}" for at, m in met.items() if m.fault == "unreachable"]
    if len(silent) == len(met):
        yield fail(
            name, "; ".join(silent), "start the broker, or name it in kafka.bootstrap (--kafka)"
        )
        yield skipped("broker protocol", "no broker is reachable")
        return
    if silent:
        yield warn(name, f"not all: {'; '.join(silent)}", "start it, or take it out of the list")
    else:
        yield ok(name, ", ".join(met))
    wrong = {at: m for at, m in met.items() if m.fault not in ("", "unreachable")}
    how = "TLS" if place.tls is not None else "plain text"
    if not wrong:
        yield ok("broker protocol", f"it speaks Kafka by {how}")
    for at, m in wrong.items():
        yield _misunderstood(at, m)


def _misunderstood(at: str, met: Met) -> Check:
    return fail("broker protocol", f"{at}: {_WORDS[met.fault]} ({met.detail})", _MENDS[met.fault])


def login(place: Place, keep: Callable[[Any], None]) -> Iterator[Check]:
    """Yield whether the broker takes our credentials; `keep` gets a client that is connected."""
    name = "broker credentials"
    with overheard(is_quiet=True) as heard:
        try:
            admin = KafkaAdminClient(
                bootstrap_servers=[f"{h}:{p}" if ":" not in h else f"[{h}]:{p}"
                                   for h, p in addresses(place.bootstrap)],
                bootstrap_timeout_ms=BOOTSTRAP_MS,
                request_timeout_ms=BOOTSTRAP_MS,
                client_id="driftline-doctor",
                **place.options,
            )  # fmt: skip
        except (kafka_errors.KafkaError, ValueError, OSError) as error:
            yield _refused(name, [*heard, error], place)
            return
    keep(admin)
    user, mechanism = (place.options.get(f"sasl_{n}") for n in ("plain_username", "mechanism"))
    taken = f"it takes user {user}" if user else f"it takes our {mechanism} login"
    yield ok(name, taken if mechanism else "it asks for none")
    brokers = admin.describe_cluster().get("brokers") or ()
    told = sorted({(str(b.get("host")), int(b.get("port") or 0)) for b in brokers})
    silent = reaches(told, ASK_S / 4 / max(1, len(told)))
    where = ", ".join(f"{host}:{number}" for host, number in told)
    if silent:
        yield fail(
            "advertised addresses", f"the broker sends clients to {where}; {'; '.join(silent)}",
            "set its advertised.listeners to addresses that this machine reaches",
        )  # fmt: skip
    else:
        yield ok("advertised addresses", where)


def _refused(name: str, heard: Sequence[BaseException], place: Place) -> Check:
    """The line for the first error that says why."""
    found = refusal(heard, place.options, place.bootstrap.split(","))
    if found is not None:
        return fail(name, *found)
    # What came first is the cause; that nothing came of it is said last.
    words = said(heard[0]) if heard else ""
    mend = (
        "see the lines above; the broker's log says the rest"
        if place.options.get("sasl_mechanism")
        else "if this listener wants a login: kafka.security_protocol SASL_SSL or SASL_PLAINTEXT, "
        "kafka.sasl_mechanism, and its credentials"
    )
    return fail(name, f"the connection is not taken: {words}", mend)


@dataclass(frozen=True)
class Topic:
    """What the broker says of the topic."""

    partitions: tuple[int, ...]
    ends: Mapping[int, tuple[int, int]]  # partition -> begin, end


def topic(admin: Any, place: Place, keep: Callable[[Topic], None]) -> Iterator[Check]:
    """Yield what there is of the topic and how long it keeps what it has."""
    name = "topic"
    (found,) = admin.describe_topics([place.topic])
    code = int(found["error_code"])
    if code == _TOPIC_FORBIDDEN:
        yield _no_right("read the topic", f"READ on topic {place.topic}", place)
        return
    if code == _UNKNOWN_TOPIC or (not code and not found["partitions"]):
        # A broker tells a stranger to the topic the same as if it were not there.
        yield fail(
            name, f"there is no {place.topic}, or this user may not see it",
            f"`{command('topic create')}`, or grant READ and DESCRIBE on it",
        )  # fmt: skip
        return
    if code:
        yield fail(name, f"the broker does not describe it: error {code}", "see the broker's log")
        return
    numbers = tuple(sorted(int(p["partition_index"]) for p in found["partitions"]))
    headless = [p["partition_index"] for p in found["partitions"] if int(p["leader_id"]) < 0]
    parts = [TopicPartition(place.topic, number) for number in numbers]
    timeout_ms = BOOTSTRAP_MS // 2
    lows, ends = (
        admin.list_partition_offsets(dict.fromkeys(parts, spec), timeout_ms=timeout_ms)
        for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
    )
    bounds = {tp.partition: (lows[tp].offset, ends[tp].offset) for tp in parts}
    keep(Topic(numbers, bounds))
    held = sum(end - low for low, end in bounds.values())
    said = f"{place.topic}: {counted(len(numbers), 'partition')}, {counted(held, 'record')}"
    if headless:
        yield fail(name, f"{said}; no leader for {headless}", "start the brokers that hold them")
    else:
        yield ok(name, said)
    yield from _configured(admin, place)


def _configured(admin: Any, place: Place) -> Iterator[Check]:
    name = "topic settings"
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, place.topic)
        told = _configs(admin.describe_configs([resource], config_filter="all"), place.topic)
    except (kafka_errors.KafkaError, KeyError, TypeError, ValueError) as error:
        yield skipped(name, f"the broker does not tell them ({type(error).__name__})")
        return
    if not told:
        yield skipped(
            name, f"the broker does not tell them without DESCRIBE_CONFIGS on {place.topic}"
        )
        return
    stamp = told.get("message.timestamp.type") or "CreateTime"
    retention_ms = int(told.get("retention.ms") or -1)
    kept = "for ever" if retention_ms < 0 else f"for {retention_ms / DAY_MS:.3g} days"
    said = f"timestamps {stamp}, kept {kept}"
    if stamp != "LogAppendTime":
        yield warn(
            name, f"{said}: a producer's clock decides which events are of the future",
            "message.timestamp.type=LogAppendTime on the topic",
        )  # fmt: skip
    elif 0 <= retention_ms < DAY_MS:
        yield warn(
            name, f"{said}: a consumer that stops for longer loses records",
            "retention.ms of some days on the topic",
        )  # fmt: skip
    else:
        yield ok(name, said)


def _configs(told: Any, wanted: str) -> dict[str, str]:
    """The settings by name, in whatever form this release of kafka-python gives them."""
    if isinstance(told, Mapping):
        found = told
        for key in ("topic", wanted):
            inner = found.get(key)
            if isinstance(inner, Mapping):
                found = inner
        return {
            str(name): str(value.get("value") if isinstance(value, Mapping) else value)
            for name, value in found.items()
        }
    return {}


def rights(
    admin: Any, place: Place, beat: Callable[[Any, str], int] | None = None
) -> Iterator[Check]:
    """Yield whether the group may be joined, without joining it; one that may not stays silent."""
    name = "rights"
    try:
        code = _patiently(lambda: (beat or _heartbeat)(admin, place.group))
    except kafka_errors.GroupAuthorizationFailedError:
        code = _GROUP_FORBIDDEN
    except (kafka_errors.KafkaError, ValueError, AttributeError) as error:
        yield skipped(name, f"the broker does not tell them of the group ({type(error).__name__})")
        return
    if code == _GROUP_FORBIDDEN:
        yield _no_right("use the group", f"READ on group {place.group}", place)
    elif code in _NO_SUCH_MEMBER:
        yield ok(name, f"the group {place.group} may be joined")
    else:
        said = kafka_errors.for_code(code).__name__
        yield skipped(name, f"the broker does not tell them of the group ({said})")


def _heartbeat(admin: Any, group: str) -> int:
    """What a broker answers to a sign of life of a member that there is not.

    It looks at the right to join first, as it does for members, and changes nothing. Describing
    the group needs less than READ, so it proves less.
    """

    async def ask() -> int:
        found = await admin._find_coordinator_ids([group])
        sign = HeartbeatRequest(
            group_id=group, generation_id=-1, member_id="driftline-doctor", group_instance_id=None
        )
        answer = await admin._manager.send(sign, node_id=found[group])
        return int(answer.error_code)

    return int(admin._manager.run(ask))


def _patiently(ask: Callable[[], Any]) -> Any:
    """Ask again for a while where a broker that has just started has no coordinator yet."""
    deadline_s = time.monotonic() + ASK_S / 2
    while True:
        try:
            return ask()
        except (
            kafka_errors.CoordinatorNotAvailableError,
            kafka_errors.CoordinatorLoadInProgressError,
        ):
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.2)


def lag(admin: Any, place: Place, seen: Topic) -> Iterator[Check]:
    """Yield how far the group's committed offsets are behind: a hint, the database decides."""
    name = "lag of the group"
    try:
        told = _patiently(lambda: admin.list_group_offsets({place.group: None}))
    except kafka_errors.GroupAuthorizationFailedError:
        yield skipped(name, "the group may not be used")
        return
    except kafka_errors.KafkaError as error:
        yield skipped(name, f"the broker does not tell it ({type(error).__name__})")
        return
    offsets = told.get(place.group, told)
    committed = {
        tp.partition: int(getattr(at, "offset", at))
        for tp, at in offsets.items()
        if getattr(tp, "topic", "") == place.topic
    }
    committed = {partition: at for partition, at in committed.items() if at >= 0}
    if not committed:
        yield warn(
            name, f"the group {place.group} has committed nothing yet",
            f"`{command('ingest')}` reads the topic",
        )  # fmt: skip
        return
    behind = sum(max(0, end - committed.get(p, low)) for p, (low, end) in seen.ends.items())
    unread = [p for p in seen.partitions if p not in committed]
    also = f"; nothing committed of partitions {unread}" if unread else ""
    yield ok(name, f"{counted(behind, 'record')}{also}")


def last_records(place: Place, seen: Topic) -> tuple[list[Check], list[Any]]:
    """Return whether the topic may be read, and its newest records.

    An empty partition is asked for what follows its end: a broker looks at the right first.
    """
    name = "rights to read"
    parts = [TopicPartition(place.topic, number) for number in seen.partitions]
    if not parts:
        return [], []
    consumer = KafkaConsumer(
        bootstrap_servers=place.bootstrap.split(","),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        allow_auto_create_topics=False,
        bootstrap_timeout_ms=BOOTSTRAP_MS,
        # So long a broker keeps an answer back that has no record.
        fetch_max_wait_ms=FETCH_WAIT_MS,
        client_id="driftline-doctor",
        metrics_enabled=False,
        **place.options,
    )
    found: list[Any] = []
    try:
        consumer.assign(parts)
        for tp in parts:
            low, end = seen.ends[tp.partition]
            consumer.seek(tp, max(low, end - LAST_RECORDS))
        deadline_s = time.monotonic() + ASK_S - 1
        is_read = False
        while time.monotonic() < deadline_s and not is_read:
            polled = consumer.poll(timeout_ms=300)
            for records in polled.values():
                found.extend(records)
            # A partition has a high watermark once a fetch of it was answered.
            is_read = not polled and all(
                consumer.highwater(tp) is not None
                and (consumer.position(tp, timeout_ms=200) or 0) >= seen.ends[tp.partition][1]
                for tp in parts
            )
        # The right is one to the topic: what one partition says holds for all.
        is_answered = any(consumer.highwater(tp) is not None for tp in parts)
    except kafka_errors.TopicAuthorizationFailedError:
        return [_no_right("read the topic", f"READ on topic {place.topic}", place)], []
    finally:
        with suppress(kafka_errors.KafkaError):
            consumer.close(autocommit=False, timeout_ms=500)
    found.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
    if not is_answered:
        return [skipped(name, f"no partition of {place.topic} answers")], []
    return [ok(name, f"records of {place.topic} can be read")], found[-LAST_RECORDS:]


def clock(records: Sequence[Any], now_ms: int) -> Check:
    """Return whether this machine's clock agrees with the newest record's timestamp."""
    name = "clock and records"
    newest_ms = max((int(record.timestamp) for record in records), default=-1)
    if newest_ms < 0:
        return skipped(name, "no record has a timestamp")
    ahead_ms = newest_ms - now_ms
    if ahead_ms > SKEW_MS:
        return warn(
            name, f"the newest record was written {ahead_ms / 1_000:,.0f} s from now",
            "let NTP set the clocks of this machine and of the broker",
        )  # fmt: skip
    return ok(name, f"the newest record is {max(0, -ahead_ms) / 1_000:,.0f} s old")


def _no_right(what: str, right: str, place: Place) -> Check:
    user = place.options.get("sasl_plain_username") or "this client"
    return fail("rights", f"{user} may not {what}", f"grant {right} to User:{user}")
