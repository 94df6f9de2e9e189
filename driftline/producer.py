"""Kafka's producer as the SDK uses it: its settings, one record, and how it ends.

The only module of the SDK that knows kafka-python's producer, which is imported when the first
one is made. What it must not do: set a record's timestamp (the broker's is what tells event time
from arrival), or let a producer that failed once be used again. After an error that cannot be
retried, kafka-python's idempotent producer fails every record that it is given, good ones too.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from driftline.ending import ENDING, is_ending
from driftline.errors import BrokerUnavailable, ConfigError, StreamError
from driftline.refusing import overheard, refusal

ARROW: Final = "application/vnd.apache.arrow.stream"
# The largest record that consumers take, see `driftline.wire`; brokers take 1,048,588 by default.
MAX_RECORD_BYTES: Final = 1_000_000
# More rows make a record no faster to read, and one that is refused costs more.
MAX_RECORD_ROWS: Final = 1_000
# A broker that is there answers at once; waiting longer only hides that it is not.
BOOTSTRAP_MS: Final = 5_000

_TLS: Final = (
    "ssl_context", "ssl_check_hostname", "ssl_cafile", "ssl_certfile", "ssl_keyfile",
    "ssl_crlfile", "ssl_password", "ssl_ciphers",
)  # fmt: skip
_SASL: Final = (
    "sasl_mechanism", "sasl_plain_username", "sasl_plain_password", "sasl_kerberos_name",
    "sasl_kerberos_service_name", "sasl_kerberos_domain_name", "sasl_oauth_token_provider",
)  # fmt: skip
# Of OAUTHBEARER: what becomes a token provider, see `driftline.tokens`.
_OAUTH: Final = (
    "sasl_oauth_token_url", "sasl_oauth_client_id", "sasl_oauth_client_secret",
    "sasl_oauth_scope", "sasl_oauth_cafile",
)  # fmt: skip
# How records are acknowledged and numbered is not to choose: all of them, by every replica.
_TUNING: Final = (
    "client_id", "compression_type", "enable_idempotence", "request_timeout_ms",
    "delivery_timeout_ms", "retry_backoff_ms", "reconnect_backoff_ms", "reconnect_backoff_max_ms",
    "bootstrap_timeout_ms", "connections_max_idle_ms", "metadata_max_age_ms", "client_dns_lookup",
    "api_version", "max_block_ms", "max_request_size", "send_buffer_bytes",
    "receive_buffer_bytes", "socket_options", "proxy_url",
)  # fmt: skip
OPTIONS: Final = ("security_protocol", *_TLS, *_SASL, *_OAUTH, *_TUNING)
PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")

_ADDRESS: Final = re.compile(r"([^\s:,/]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})\Z")
_TOPIC: Final = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record of one event or of many.

    Attributes
    ----------
    value : bytes
        A JSON object, one a line, or an Arrow stream.
    rows : int
        How many events it holds.
    is_arrow : bool
    origin : tuple of (str, bytes)
        Further headers: where it came from, if it is another one's copy.
    """

    value: bytes
    rows: int
    is_arrow: bool = False
    origin: tuple[tuple[str, bytes], ...] = ()

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Kafka headers: an Arrow stream says so."""
        form = [("content-type", ARROW.encode())] if self.is_arrow else []
        return [*form, *self.origin]


def addresses(bootstrap: Any) -> list[str]:
    """Return the brokers' addresses.

    Raises
    ------
    ConfigError
        One is not HOST:PORT.

    Examples
    --------
    >>> addresses("kafka-1:9092, kafka-2:9092")
    ['kafka-1:9092', 'kafka-2:9092']
    """
    parts = bootstrap.split(",") if isinstance(bootstrap, str) else list(bootstrap or ())
    found = [str(part).strip() for part in parts]
    if not found or not all(
        (match := _ADDRESS.match(part)) and 0 < int(match[2]) < 65_536 for part in found
    ):
        raise ConfigError(
            "bootstrap", "argument", bootstrap, "HOST:PORT, several with commas between"
        )
    return found


def checked_topic(topic: object) -> str:
    """Return the topic.

    Raises
    ------
    ConfigError
        Kafka allows no such name.

    Examples
    --------
    >>> checked_topic("driftline.events")
    'driftline.events'
    """
    if not isinstance(topic, str) or not _TOPIC.match(topic) or topic in (".", ".."):
        raise ConfigError("topic", "argument", topic, "1 to 249 letters, digits, '.', '_', '-'")
    return topic


def checked_options(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return TLS, SASL and other settings of kafka-python's producer.

    Raises
    ------
    ConfigError
        A setting that there is not (names the nearest), a file that is not there, or credentials
        that the security protocol would not send.

    Examples
    --------
    >>> checked_options({"sasl_username": "me"})
    Traceback (most recent call last):
    driftline.errors.ConfigError: kafka.sasl_username (argument): got 'me', expected a setting \
of kafka-python's producer; the nearest is sasl_plain_username
    """
    options = dict(given or {})
    for name, value in options.items():
        if name not in OPTIONS:
            likely = get_close_matches(str(name).replace(".", "_").lower(), OPTIONS, 1, 0)[0]
            is_secret = any(word in str(name).lower() for word in ("password", "secret", "token"))
            hidden = "***" if is_secret else value
            raise ConfigError(
                f"kafka.{name}", "argument", hidden,
                f"a setting of kafka-python's producer; the nearest is {likely}",
            )  # fmt: skip
    protocol = options.get("security_protocol", "PLAINTEXT")
    if protocol not in PROTOCOLS:
        raise ConfigError(
            "kafka.security_protocol", "argument", protocol, "one of " + ", ".join(PROTOCOLS)
        )
    for family, word in (((*_SASL, *_OAUTH), "SASL"), (_TLS, "SSL")):
        unused = [name for name in family if name in options]
        if unused and word not in protocol:
            raise ConfigError(
                "kafka.security_protocol", "argument", protocol,
                f"one with {word}, since {unused[0]} is given: without it the setting is not used",
            )  # fmt: skip
    if "SASL" in protocol and not options.get("sasl_mechanism"):
        raise ConfigError(
            "kafka.sasl_mechanism", "argument", None, f"a mechanism, which {protocol} needs"
        )
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile", "ssl_crlfile"):
        file = options.get(name)
        if file is not None and not Path(file).is_file():
            raise ConfigError(f"kafka.{name}", "argument", str(file), "a file that is there")
    if "SSL" in protocol and "ssl_context" not in options:
        _require_certificates(options)
    return _with_tokens(options)


def _with_tokens(options: dict[str, Any]) -> dict[str, Any]:
    """The settings of OAUTHBEARER as the token provider that kafka-python takes."""
    given = {name: options.pop(name) for name in _OAUTH if name in options}
    if not given:
        return options
    if options.get("sasl_mechanism") != "OAUTHBEARER":
        raise ConfigError(
            "kafka.sasl_mechanism", "argument", options.get("sasl_mechanism"),
            f"OAUTHBEARER, since {next(iter(given))} is given",
        )  # fmt: skip
    needed = [name for name in _OAUTH[:3] if not given.get(name)]
    if needed or "sasl_oauth_token_provider" in options:
        raise ConfigError(
            f"kafka.{needed[0] if needed else 'sasl_oauth_token_provider'}", "argument", "nothing",
            f"{', '.join(_OAUTH[:3])} together, or a token provider of your own",
        )  # fmt: skip
    with IMPORTING.lock:
        from driftline.tokens import OidcTokens
    values: list[Any] = [given.get(name) for name in _OAUTH]
    options["sasl_oauth_token_provider"] = OidcTokens(*values)
    return options


def _require_certificates(options: Mapping[str, Any]) -> None:
    """Read them now: when connecting, kafka-python says no more than that nobody answers."""
    import ssl

    name = "ssl_cafile"
    try:
        context = ssl.create_default_context(cafile=options.get(name))
        if options.get("ssl_certfile") is not None:
            name = "ssl_certfile"
            context.load_cert_chain(
                options[name], options.get("ssl_keyfile"), options.get("ssl_password")
            )
    except (OSError, TypeError, ValueError) as error:
        raise ConfigError(
            f"kafka.{name}", "argument", str(options.get(name)),
            f"certificates in PEM ({first_line(error)})",
        ) from None  # fmt: skip


class InterpreterEnds(StreamError):
    """Python has ended too far to start the thread that a producer needs."""


class _Importing:
    """Held while a thread of ours imports what is large.

    A process that forks meanwhile would leave its child with a module that nobody goes on to
    import and that every import waits for: so a fork waits, and the child has a lock of its own.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._is_held = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._hold, after_in_parent=self._let_go, after_in_child=self._renew
            )

    def _hold(self) -> None:
        self._is_held = self.lock.acquire(timeout=10.0)

    def _let_go(self) -> None:
        if self._is_held:
            self.lock.release()

    def _renew(self) -> None:
        self.lock = threading.Lock()


IMPORTING: Final = _Importing()


class Producer:
    """A connected producer: every record is acknowledged by all replicas.

    Raises
    ------
    BrokerUnavailable
        No broker answers, or it refuses the credentials.
    ConfigError
        A setting has a value that kafka-python does not take.
    StreamError
        There is no thread for it; `InterpreterEnds` where there will be none.
    """

    def __init__(self, brokers: list[str], options: Mapping[str, Any]) -> None:
        with IMPORTING.lock:
            from kafka import KafkaProducer
            from kafka.errors import KafkaConfigurationError, KafkaError

        settings = {
            "bootstrap_timeout_ms": BOOTSTRAP_MS,
            "reconnect_backoff_max_ms": 2_000,
            "max_block_ms": BOOTSTRAP_MS,
            "metrics_enabled": False,
        } | dict(options)
        if "proxy_url" not in settings:
            _require_listener(brokers, settings["bootstrap_timeout_ms"] / 1_000, settings)
        clients: list[Any] = []

        def client(**config: Any) -> Any:
            clients.append(KafkaProducer.DEFAULT_CONFIG["kafka_client"](**config))
            return clients[-1]

        try:
            with overheard() as heard:
                self._kafka = KafkaProducer(
                    bootstrap_servers=brokers, acks="all", kafka_client=client, **settings
                )
        except Exception as error:  # noqa: BLE001 - it raises by what is wrong with which setting
            # A producer that could not be made leaves its sockets to the garbage collector.
            for made in clients:
                with suppress(Exception):
                    made.close()
            if isinstance(error, KafkaError | OSError) and not isinstance(
                error, KafkaConfigurationError
            ):
                words = unavailable(brokers, first_line(error), settings, heard)
                raise BrokerUnavailable(words) from None
            if is_ending(error):
                raise InterpreterEnds(ENDING) from None
            if isinstance(error, RuntimeError) and "new thread" in str(error):
                raise StreamError(f"no thread for kafka-python ({first_line(error)})") from None
            raise ConfigError(
                "kafka", "argument", first_line(error), "settings that kafka-python can use"
            ) from None

    def send(self, topic: str, record: Record) -> Any:
        """Return the future of a record; may wait for the topic, and raise what Kafka says."""
        return self._kafka.send(topic, record.value, headers=record.headers)

    def close(self, timeout_s: float) -> None:
        """Let go of the connection; what is not delivered by then never is."""
        try:
            self._kafka.close(timeout=max(0.0, timeout_s))
        except Exception:  # noqa: BLE001 - whatever it says: it must not go on behind our back
            # Its own close gives up before it stops the thread that sends.
            self._kafka._sender.force_close()
            self._kafka._closed = True

    def forget(self) -> None:
        """In a child process: what was forked belongs to the parent, so touch nothing of it.

        Closing it here would wait for a thread that the child does not have.
        """
        self._kafka._closed = True
        _FORGOTTEN.append(self._kafka)


def _require_listener(brokers: list[str], timeout_s: float, options: Mapping[str, Any]) -> None:
    """Raise when nobody listens: told at once, by one connection.

    kafka-python would try for all its time, log each try, and leave the sockets behind.
    """
    cause = ""
    for broker in brokers:
        host, _, port = broker.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout_s).close()
        except OSError as error:
            cause = error.strerror or first_line(error)
        else:
            return
    raise BrokerUnavailable(unavailable(brokers, cause, options))


# Their sockets are the parent's: kept, so that nobody closes them.
_FORGOTTEN: Final[list[Any]] = []


def unavailable(
    brokers: list[str],
    cause: str,
    options: Mapping[str, Any],
    heard: Sequence[BaseException] = (),
) -> str:
    """Return the sentence that says what to look at when no broker could be used.

    Examples
    --------
    >>> unavailable(["127.0.0.1:9092"], "Unable to bootstrap", {})
    'no Kafka broker answers at 127.0.0.1:9092 (Unable to bootstrap): start one, or name yours'
    """
    refused = refusal(heard, options, brokers)
    if refused is not None:
        what, mend = refused
        return f"the Kafka broker at {','.join(brokers)} does not let us in: {what}; {mend}"
    mend = "start one, or name yours"
    if options.get("security_protocol", "PLAINTEXT") != "PLAINTEXT":
        mend += "; a wrong password, user, mechanism or certificate authority looks the same"
    return f"no Kafka broker answers at {','.join(brokers)} ({cause}): {mend}"


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line."""
    with suppress(Exception):
        return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    return type(error).__name__


Connect = Callable[[], Producer]
