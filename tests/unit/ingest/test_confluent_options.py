"""What confluent-kafka is told, from the options that kafka-python's clients take."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import pytest
from token_server import TokenServer

from consumers.confluent import ConfluentSource
from consumers.librdkafka import translated
from consumers.settings import IngestSettings
from driftline.errors import ConfigError, MissingExtra
from driftline.tokens import OidcTokens
from monitor.brokers import client_options
from monitor.config import load

confluent_kafka = pytest.importorskip("confluent_kafka")

TLS = {"security_protocol": "SSL", "ssl_cafile": "ca.pem", "ssl_certfile": "me.pem"}
LOGIN = {"security_protocol": "SASL_SSL", "sasl_plain_username": "me", "sasl_plain_password": "pw"}


class Tokens:
    def token(self) -> str:
        return "a-token"


def test_a_certificate_may_hold_its_key_and_names_are_checked_unless_told() -> None:
    made = translated(TLS)
    assert made["ssl.ca.location"] == "ca.pem"
    assert made["ssl.certificate.location"] == made["ssl.key.location"] == "me.pem"
    assert made["ssl.endpoint.identification.algorithm"] == "https"
    changed = translated(TLS | {"ssl_keyfile": "key.pem", "ssl_check_hostname": False})
    assert changed["ssl.key.location"] == "key.pem"
    assert changed["ssl.endpoint.identification.algorithm"] == "none"


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_a_login_is_told_and_librdkafka_knows_every_option(mechanism: str) -> None:
    made = translated(LOGIN | {"sasl_mechanism": mechanism})
    told = (made["security.protocol"], made["sasl.mechanism"], made["sasl.username"])
    assert (*told, made["sasl.password"]) == ("SASL_SSL", mechanism, "me", "pw")
    # It refuses what it does not know.
    confluent_kafka.Consumer(made | {"group.id": "g", "log_level": 0}).close()


def test_tokens_are_asked_of_the_provider_with_a_life_that_is_not_over() -> None:
    options = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}
    made = translated(options | {"sasl_oauth_token_provider": Tokens()})
    token, over_at_s = made["oauth_cb"]("")
    assert token == "a-token"
    assert over_at_s > time.time() + 10


def test_a_token_is_renewed_as_long_as_it_is_good(tmp_path: Path) -> None:
    """Wrong were: to come with one that is over, where tokens are of a minute."""
    with TokenServer(tmp_path, {"me": "pw"}) as server:
        server.life_s = 20.0
        provider = OidcTokens(f"{server.url}/token", "me", "pw")
        made = translated({"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_provider": provider})
        assert provider.left_s() == 0
        token, over_at_s = made["oauth_cb"]("")
    assert token == provider.token()
    assert 5 < over_at_s - time.time() <= 20


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sasl_mechanism": "AWS_MSK_IAM"}, "kafka.sasl_mechanism .*kafka-python has it"),
        ({"sasl_mechanism": "GSSAPI"}, "kafka.sasl_mechanism"),
        ({"ssl_context": object()}, "ssl_context"),
    ],
)
def test_what_has_no_like_there_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        translated(options)


def test_a_login_by_iam_is_refused_before_anything_is_asked_for_it() -> None:
    """Wrong were: to say that an extra is not installed, which would not help."""
    said = {
        "CLIENT": "confluent", "SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "AWS_MSK_IAM",
    }  # fmt: skip
    settings = load({f"DRIFTLINE_KAFKA__{key}": value for key, value in said.items()})
    with pytest.raises(ConfigError, match=r"kafka.client .*expected kafka-python"):
        client_options(settings)


def test_what_a_disk_or_a_wire_has_changed_is_not_taken() -> None:
    assert translated({})["check.crcs"] is True


def test_a_larger_fetch_may_be_answered() -> None:
    assert translated({})["receive.message.max.bytes"] > 500_000_000
    huge = translated({"fetch_max_bytes": 1_000_000_000})
    assert huge["receive.message.max.bytes"] > huge["fetch.max.bytes"]
    confluent_kafka.Consumer(huge | {"group.id": "g", "log_level": 0}).close()


def test_what_counting_once_rests_on_cannot_be_changed() -> None:
    made = translated({"session_timeout_ms": 4_000})
    assert made["session.timeout.ms"] == 4_000
    assert (made["auto.offset.reset"], made["isolation.level"]) == ("error", "read_committed")
    assert made["enable.auto.commit"] is False
    with pytest.raises(ConfigError, match="isolation_level"):
        translated({"isolation_level": "read_uncommitted"})


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(MissingExtra, match=r"driftline\[confluent\]"):
        ConfluentSource("127.0.0.1:1", "topic", "group")


def test_it_does_not_read_from_the_embedded_broker() -> None:
    with pytest.raises(ConfigError, match=r"kafka.client .*`driftline up`"):
        IngestSettings("", "", client="confluent", stream_epoch="one-start")


def test_no_other_client_is_known() -> None:
    with pytest.raises(ConfigError, match="'kafka-python' or 'confluent'"):
        IngestSettings("", "", client="librdkafka")  # type: ignore[arg-type]
