"""Apache Kafka with client certificates, SCRAM, PLAIN and OIDC tokens: what works, what is told.

One broker, two listeners: logins over TLS, and TLS that asks for a certificate. Each refusal has
words of its own within 10 s of asking, in every part that reaches a broker; none tells a secret.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import apache_kafka
import pytest
from certificates import Authority
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)
from kafka.errors import KafkaConnectionError
from token_server import AUDIENCE, ISSUER, TokenServer

from driftline import EventLogger
from driftline.delivering import Delivery
from driftline.errors import BrokerUnavailable, StreamError
from driftline.knocking import answer
from driftline.producer import Record, checked_options
from driftline.refusing import refusal

TOPIC, GROUP = "driftline.events", "driftline"
USERS = {"admin": "admin-pw", "reader": "reader-pw-canary", "writer": "writer-pw-canary",
         "stranger": "stranger-pw-canary"}  # fmt: skip
CLIENTS = {"scorer": "oauth-canary"}
# What a program needs besides: several start at a time, beside busy neighbours.
TOLD_S, START_S, WAIT_S = 10.0, 8.0, 120.0
AT_A_TIME = 4
# Where the TLS handshake fails, kafka-python leaves its socket to the garbage collector: of TLS, or
# the plain one below it, as far as it has come.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:Exception ignored in. <(ssl\.SSLS|socket\.s)ocket"
    ":pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True, scope="module")
def _sockets_end_here() -> Iterator[None]:
    """What was left lying is collected where it is expected, not in somebody else's test."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@dataclass
class Secured:
    """The broker, who may what, and settings by kind of login."""

    broker: apache_kafka.Broker
    tokens: TokenServer
    ca: Path
    stranger_ca: Path
    certificate: Path
    stranger: Path
    mtls: str
    logged: int = 0  # kinds of login by which events were logged

    def settings(self, kind: str, **changed: str) -> dict[str, str]:
        """Settings of the program, by key below `kafka`."""
        tls = {"bootstrap": self.broker.bootstrap, "ssl_cafile": str(self.ca)}
        login = {"security_protocol": "SASL_SSL", **tls}
        found = {
            "mtls": {
                **tls, "bootstrap": self.mtls, "security_protocol": "SSL",
                "ssl_certfile": str(self.certificate),
            },
            "oauth": {
                **login, "sasl_mechanism": "OAUTHBEARER", "sasl_oauth_client_id": "scorer",
                "sasl_oauth_token_url": f"{self.tokens.url}/token",
                "sasl_oauth_client_secret": CLIENTS["scorer"], "sasl_oauth_scope": "kafka",
            },
            "plain": {
                **login, "sasl_mechanism": "PLAIN", "sasl_username": "reader",
                "sasl_password": USERS["reader"],
            },
            "scram": {
                **login, "sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "reader",
                "sasl_password": USERS["reader"],
            },
        }[kind]  # fmt: skip
        return {**found, **changed}

    def options(self, kind: str, **changed: str) -> tuple[str, dict[str, Any]]:
        """Bootstrap, and the settings of `EventLogger` that say the same."""
        found = self.settings(kind, **changed)
        renamed = {"sasl_username": "sasl_plain_username", "sasl_password": "sasl_plain_password"}
        bootstrap = found.pop("bootstrap")
        return bootstrap, {renamed.get(k, k): v for k, v in found.items() if v}

    def environment(self, settings: dict[str, str]) -> dict[str, str]:
        named = {f"DRIFTLINE_KAFKA__{name.upper()}": value for name, value in settings.items()}
        return {**os.environ, **named, "DRIFTLINE_INGEST__CHECKPOINT_INTERVAL_S": "0.5"}

    def run(self, *words: str, settings: dict[str, str], cwd: Path) -> Any:
        return subprocess.run(
            [sys.executable, "-m", "monitor.cli", *words], cwd=cwd,
            env=self.environment(settings), capture_output=True, text=True, timeout=WAIT_S,
            check=False,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What kafka-python leaves behind ends with the test that made it."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    apache_kafka.require()
    apache_kafka.fetch()
    folder, other = tmp_path_factory.mktemp("ca"), tmp_path_factory.mktemp("other-ca")
    authority, foreign = Authority(folder), Authority(other)
    store = folder / "store.pem"
    store.write_bytes(
        authority.certificate("broker", "DNS:localhost,IP:127.0.0.1").read_bytes()
        + authority.file.read_bytes()
    )
    login, mutual, controller = apache_kafka._free_ports(3)
    kafka = "org.apache.kafka.common.security"
    with TokenServer(folder, CLIENTS) as tokens, pytest.MonkeyPatch.context() as patched:
        # Which addresses a broker may ask for keys is said to its Java.
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={tokens.url}/jwks"
        patched.setenv("JAVA_TOOL_OPTIONS", allowed)
        listener = "listener.name.sasl_ssl"
        settings = {
            "listeners": f"SASL_SSL://127.0.0.1:{login},SSL://127.0.0.1:{mutual},"
            f"CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"SASL_SSL://127.0.0.1:{login},SSL://127.0.0.1:{mutual}",
            "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(store),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(authority.file),
            "listener.name.ssl.ssl.client.auth": "required",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            f"{listener}.scram-sha-512.sasl.jaas.config": (
                f'{kafka}.scram.ScramLoginModule required username="admin" '
                f'password="{USERS["admin"]}";'
            ),
            f"{listener}.plain.sasl.jaas.config": (
                f"{kafka}.plain.PlainLoginModule required "
                + " ".join(f'user_{name}="{word}"' for name, word in USERS.items())
                + ";"
            ),
            f"{listener}.oauthbearer.sasl.jaas.config": (
                f"{kafka}.oauthbearer.OAuthBearerLoginModule required;"
            ),
            f"{listener}.oauthbearer.sasl.server.callback.handler.class": (
                f"{kafka}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            ),
            f"{listener}.oauthbearer.sasl.oauthbearer.jwks.endpoint.url": f"{tokens.url}/jwks",
            f"{listener}.oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
            f"{listener}.oauthbearer.sasl.oauthbearer.expected.issuer": ISSUER,
            # A connection ends with the token by which it was made.
            f"{listener}.oauthbearer.connections.max.reauth.ms": "600000",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:admin;User:ANONYMOUS",
        }
        made = Secured(
            None, tokens, authority.file, foreign.file, authority.certificate("scorer-mtls"),  # type: ignore[arg-type]
            foreign.certificate("scorer-mtls"), f"127.0.0.1:{mutual}",
        )  # fmt: skip
        admin_options: dict[str, Any] = {
            "security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512",
            "ssl_cafile": str(authority.file), "sasl_plain_username": "admin",
            "sasl_plain_password": USERS["admin"],
        }  # fmt: skip
        broker = apache_kafka.Broker(
            settings, protocol="SASL_SSL", users=USERS, options=admin_options
        )
        broker.port, broker.bootstrap = login, f"127.0.0.1:{login}"
        made.broker = broker
        try:
            broker.start()
            done = made.run(
                "topic", "create", cwd=folder,
                settings=made.settings(
                    "scram", sasl_username="admin", sasl_password=USERS["admin"]
                ),
            )  # fmt: skip
            assert done.returncode == 0, done.stdout + done.stderr
            admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap, **admin_options)
            admin.create_acls(
                [
                    _may(user, operation, kind, name)
                    for user in ("reader", "scorer", "CN=scorer-mtls")
                    for operation, kind, name in (
                        (ACLOperation.READ, ResourceType.TOPIC, TOPIC),
                        (ACLOperation.READ, ResourceType.GROUP, GROUP),
                    )
                ]
                # That it may use the group tells a right to the topic from one to the group.
                + [_may("writer", ACLOperation.READ, ResourceType.GROUP, GROUP)]
                + [
                    _may(user, ACLOperation.WRITE, ResourceType.TOPIC, TOPIC)
                    for user in ("writer", "scorer", "CN=scorer-mtls")
                ]
            )
            admin.close()
            yield made
        finally:
            broker.remove()


def _may(user: str, what: ACLOperation, kind: ResourceType, name: str) -> ACL:
    pattern = ResourcePattern(kind, name)
    return ACL(f"User:{user}", "*", what, ACLPermissionType.ALLOW, pattern)


def canaries() -> list[str]:
    return [*USERS.values(), *CLIENTS.values(), "wrong-canary"]


def told_no_secret(*texts: str) -> None:
    for text in texts:
        for secret in canaries():
            assert secret not in text


@pytest.mark.parametrize("kind", ["mtls", "oauth"])
def test_what_is_logged_with_it_is_counted_with_it(
    secured: Secured, tmp_path: Path, kind: str
) -> None:
    bootstrap, kafka = secured.options(kind)
    at = datetime.now(UTC) - timedelta(hours=1)
    with EventLogger(bootstrap, model=kind, version="1", kafka=kafka) as logger:
        for n in range(60):
            assert logger.log({"age": n}, 0.5, id=n, time=at)
        assert logger.flush(60)
        assert logger.counts().sent == 60
    label = {"type": "label", "model": kind, "time": f"{at:%Y-%m-%dT%H:%M:%SZ}", "label": 1}
    lines = "".join(json.dumps({**label, "id": n}) + "\n" for n in range(40))
    (tmp_path / "labels.ndjson").write_text(lines)
    settings = secured.settings(kind)
    done = secured.run("log", "labels.ndjson", settings=settings, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    done = secured.run("doctor", settings=settings, cwd=tmp_path)
    assert "FAIL broker" not in done.stdout, done.stdout
    told_no_secret(done.stdout, done.stderr)
    assert secured.run("db", "upgrade", settings=settings, cwd=tmp_path).returncode == 0
    with ingest(secured, settings, tmp_path) as said:
        secured.logged += 1
        whole = {"unmonitored": 100 * secured.logged}

        def is_counted() -> bool:
            found = secured.run("status", "--json", settings=settings, cwd=tmp_path)
            return bool(json.loads(found.stdout)["counters"] == whole)

        wait_until(is_counted, said)
    told_no_secret(said())


@pytest.mark.parametrize("kind", ["mtls", "oauth", "scram", "plain"])
def test_what_others_logged_is_counted_with_librdkafka(
    secured: Secured, tmp_path: Path, kind: str
) -> None:
    bootstrap, kafka = secured.options("mtls")
    at = datetime.now(UTC) - timedelta(hours=1)
    with EventLogger(bootstrap, model="others", version="1", kafka=kafka) as logger:
        for n in range(100):
            assert logger.log({"age": n}, 0.5, id=n, time=at)
        assert logger.flush(60)
    secured.logged += 1
    settings = secured.settings(kind, client="confluent")
    assert secured.run("db", "upgrade", settings=settings, cwd=tmp_path).returncode == 0
    with ingest(secured, settings, tmp_path) as said:

        def is_counted() -> bool:
            found = secured.run("status", "--json", settings=settings, cwd=tmp_path)
            return bool(
                json.loads(found.stdout)["counters"] == {"unmonitored": 100 * secured.logged}
            )

        wait_until(is_counted, said)
    told_no_secret(said())


class ingest:
    """`driftline ingest` while the block runs; yields its log."""

    def __init__(self, secured: Secured, settings: dict[str, str], cwd: Path) -> None:
        self._log = cwd / "ingest.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "monitor.cli", "ingest"], cwd=cwd,
                env=secured.environment(settings), stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip

    def __enter__(self) -> Callable[[], str]:
        return self._log.read_text

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)


def wait_until(is_so: Callable[[], bool], said: Callable[[], str]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, said()
        time.sleep(0.3)


# Kind of login, what is changed, and the words that tell it apart.
REFUSED: dict[str, tuple[str, dict[str, str], str]] = {
    "credentials": ("scram", {"sasl_password": "wrong-canary"}, "it refuses user reader"),
    "plain credentials": ("plain", {"sasl_password": "wrong-canary"}, "it refuses user reader"),
    "mechanism": (
        "scram", {"sasl_mechanism": "SCRAM-SHA-256"}, "it does not take SCRAM-SHA-256: it takes",
    ),
    "authority": ("scram", {"ssl_cafile": "{stranger_ca}"}, "certificate is not trusted"),
    "no certificate": ("mtls", {"ssl_certfile": ""}, "TLS handshake"),
    "foreign certificate": ("mtls", {"ssl_certfile": "{stranger}"}, "TLS handshake"),
    "token secret": (
        "oauth", {"sasl_oauth_client_secret": "wrong-canary"}, "refuses client scorer: 401",
    ),
    "token server away": (
        "oauth", {"sasl_oauth_token_url": "http://127.0.0.1:1/token"}, "does not answer",
    ),
    # A writer sees the topic and may not read it; a reader of it sees no other.
    "topic to read": (
        "scram", {"sasl_username": "writer", "sasl_password": USERS["writer"]},
        "may not read the topic",
    ),
    "unseen topic": ("scram", {"topic": "driftline.hidden"}, "driftline.hidden"),
    "group": ("scram", {"group": "another"}, "may not use the group"),
    "topic to write": ("scram", {}, f"may not write to the topic {TOPIC}"),
    "no right to any": (
        "scram", {"sasl_username": "stranger", "sasl_password": USERS["stranger"]},
        f"may not write to the topic {TOPIC}",
    ),
    "topic to make": ("scram", {"topic": "driftline.new"}, "may not make the topic driftline.new"),
}  # fmt: skip
LOGINS = list(REFUSED)[:8]
READING = [*LOGINS, "topic to read", "unseen topic", "group"]
# librdkafka itself meets the last two; at the others it must not be in the way.
OF_BOTH = [
    "credentials",
    "authority",
    "foreign certificate",
    "token secret",
    "topic to read",
    "group",
]
WITH_CONFLUENT = " with confluent"
TOLD: list[tuple[str, str]] = [
    *(("ingest", case) for case in READING),
    *(("ingest", case + WITH_CONFLUENT) for case in OF_BOTH),
    *(("topic create", case) for case in ("credentials", "authority", "topic to make")),
    *(("log e.ndjson", case) for case in ("mechanism", "topic to write", "no right to any")),
    *(("doctor", case) for case in ("credentials", "mechanism", "no certificate", "token secret")),
    *(("doctor", case) for case in ("topic to read", "group")),
]


def changed(secured: Secured, case: str) -> tuple[str, dict[str, str], str]:
    kind, changes, words = REFUSED[case.removesuffix(WITH_CONFLUENT)]
    if case.endswith(WITH_CONFLUENT):
        changes = {**changes, "client": "confluent"}
    return kind, {k: v.format(**vars(secured)) for k, v in changes.items()}, words


@pytest.fixture(scope="module")
def answers(
    secured: Secured, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, str], Future[tuple[Any, float]]]]:
    """What each verb answers in each case, and after how many seconds; several run at a time."""
    folder = tmp_path_factory.mktemp("refused")
    assert secured.run("db", "upgrade", settings={}, cwd=folder).returncode == 0
    (folder / "e.ndjson").write_text(
        '{"type":"label","id":1,"model":"m","time":"2025-01-01T00:00:00Z","label":1}\n'
    )

    def run(verb: str, case: str) -> tuple[Any, float]:
        own = folder / f"{verb} {case}".replace(" ", "-")
        shutil.copytree(folder, own, ignore=lambda *_: [p.name for p in folder.glob("*-*")])
        kind, changes, _ = changed(secured, case)
        began_s = time.monotonic()
        done = secured.run(*verb.split(), settings=secured.settings(kind, **changes), cwd=own)
        return done, time.monotonic() - began_s

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        yield {told: pool.submit(run, *told) for told in TOLD}


@pytest.mark.parametrize(("verb", "case"), TOLD)
def test_each_refusal_is_told_in_its_own_words(
    answers: dict[tuple[str, str], Future[tuple[Any, float]]], case: str, verb: str
) -> None:
    done, took_s = answers[verb, case].result()
    said = done.stdout + done.stderr
    assert done.returncode == (1 if verb == "doctor" else 2), said
    assert REFUSED[case.removesuffix(WITH_CONFLUENT)][2] in said
    assert "Traceback" not in said
    told_no_secret(said)
    # The doctor asks more than whether it is let in.
    assert took_s < START_S + (2 * TOLD_S if verb == "doctor" else TOLD_S), said


@pytest.mark.parametrize("case", ["credentials", "mechanism", "no certificate", "topic to write"])
def test_the_sdk_tells_each_refusal_within_ten_seconds(secured: Secured, case: str) -> None:
    kind, changes, words = changed(secured, case)
    bootstrap, kafka = secured.options(kind, **changes)
    began_s = time.monotonic()
    with Delivery(bootstrap, TOPIC, kafka=kafka) as delivery, pytest.raises(StreamError) as caught:
        delivery.deliver([Record(b"{}", 1)])
    assert time.monotonic() - began_s < TOLD_S
    assert words in str(caught.value)
    assert isinstance(caught.value, BrokerUnavailable) == (case != "topic to write")
    told_no_secret(str(caught.value), repr(caught.value))


def test_who_is_let_in_is_refused_nothing(secured: Secured) -> None:
    for kind in ("scram", "plain", "oauth"):
        bootstrap, kafka = secured.options(kind)
        assert answer([bootstrap], checked_options(kafka)) is None
        # So a connection that ended for another reason is not told as a refusal.
        heard = [KafkaConnectionError("socket disconnected")]
        assert refusal(heard, checked_options(kafka), [bootstrap]) is None


def test_a_token_for_somebody_else_is_refused_by_the_broker(secured: Secured) -> None:
    bootstrap, kafka = secured.options("oauth")
    secured.tokens.audience = "another"
    try:
        with (
            Delivery(bootstrap, TOPIC, kafka=kafka) as delivery,
            pytest.raises(BrokerUnavailable, match="it refuses the token"),
        ):
            delivery.deliver([Record(b"{}", 1)])
    finally:
        secured.tokens.audience = AUDIENCE


def test_tokens_are_renewed_while_it_goes_on(secured: Secured, tmp_path: Path) -> None:
    bootstrap, kafka = secured.options("oauth")
    secured.tokens.life_s = 3.0
    at = datetime.now(UTC) - timedelta(hours=1)
    before = len(secured.tokens.asked)
    try:
        with EventLogger(bootstrap, model="renewed", version="1", kafka=kafka) as logger:
            deadline = time.monotonic() + 8
            while time.monotonic() < deadline:
                assert logger.log({"age": 1}, 0.5, time=at)
                time.sleep(0.3)
            assert logger.flush(60)
            counts = logger.counts()
            assert counts.sent == counts.logged
        assert len(secured.tokens.asked) - before >= 2
    finally:
        secured.tokens.life_s = 300.0
