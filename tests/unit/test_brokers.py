"""TLS and SASL settings become kafka-python's options; what nothing would use is refused."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from driftline.errors import ConfigError
from driftline.producer import checked_options
from monitor.brokers import client_options, tls_context, unanswered
from monitor.config import Settings, load
from tests.certificates import Authority

LOGIN = {"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "me", "sasl_password": "pw-pw"}


def settings(**kafka: str) -> Settings:
    return load({f"DRIFTLINE_KAFKA__{name.upper()}": value for name, value in kafka.items()})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def test_every_option_is_one_of_every_client(authority: Authority) -> None:
    files = {"ssl_cafile": str(authority.file), "ssl_certfile": str(authority.certificate("me"))}
    options = client_options(settings(security_protocol="SASL_SSL", **LOGIN, **files))
    assert options == {
        "security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me", "sasl_plain_password": "pw-pw",
        "ssl_check_hostname": True, **files,
    }  # fmt: skip
    for client in (KafkaConsumer, KafkaProducer, KafkaAdminClient):
        assert set(options) <= set(client.DEFAULT_CONFIG), client
    assert checked_options(options) == options


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
@pytest.mark.parametrize("absent", LOGIN)
def test_a_login_that_lacks_something_names_it(protocol: str, absent: str) -> None:
    given = {name: value for name, value in LOGIN.items() if name != absent}
    with pytest.raises(ConfigError, match=f"kafka.{absent}") as caught:
        client_options(settings(security_protocol=protocol, **given))
    assert "pw-pw" not in str(caught.value)


def test_the_password_may_stand_in_a_file_but_there_is_one(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("from file\n")
    login = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN",
             "sasl_username": "me", "sasl_password_file": str(file)}  # fmt: skip
    assert client_options(settings(**login))["sasl_plain_password"] == "from file"
    with pytest.raises(ConfigError, match="one password") as caught:
        client_options(settings(**login, sasl_password="pw-pw"))
    assert "pw-pw" not in str(caught.value)


@pytest.mark.parametrize("name", LOGIN)
@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_a_login_that_would_not_be_sent_is_refused(name: str, protocol: str) -> None:
    with pytest.raises(ConfigError, match="SASL_SSL or SASL_PLAINTEXT") as caught:
        client_options(settings(security_protocol=protocol, **{name: LOGIN[name]}))
    assert "pw-pw" not in str(caught.value)


@pytest.mark.parametrize("given", [{"ssl_cafile": "ca.pem"}, {"ssl_check_hostname": "false"}])
@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SASL_PLAINTEXT"])
def test_files_of_tls_without_tls_are_refused(given: dict[str, str], protocol: str) -> None:
    login = LOGIN if protocol.startswith("SASL") else {}
    with pytest.raises(ConfigError, match="encrypts nothing"):
        client_options(settings(security_protocol=protocol, **login, **given))


def test_files_that_hold_no_certificate_are_named(authority: Authority, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no PEM")
    certificate = authority.certificate("me")
    other = authority.certificate("another")
    for key, files in {
        "ssl_cafile": {"ssl_cafile": str(broken)},
        "ssl_certfile": {"ssl_certfile": str(broken)},
        "ssl_keyfile": {"ssl_keyfile": str(certificate)},
    }.items():
        with pytest.raises(ConfigError) as caught:
            client_options(settings(security_protocol="SSL", **files))
        assert caught.value.key == f"kafka.{key}"
    with pytest.raises(ConfigError, match="KEY_VALUES_MISMATCH"):
        files = {"ssl_certfile": str(certificate), "ssl_keyfile": str(other)}
        client_options(settings(security_protocol="SSL", **files))
    with pytest.raises(ConfigError, match="a file that is there"):
        client_options(settings(security_protocol="SSL", ssl_cafile=str(tmp_path / "none")))


def test_names_are_checked_unless_it_is_said() -> None:
    assert tls_context(settings(security_protocol="SSL")).check_hostname
    unchecked = tls_context(settings(security_protocol="SSL", ssl_check_hostname="false"))
    assert not unchecked.check_hostname
    assert unchecked.verify_mode is ssl.CERT_REQUIRED


def test_brokers_that_cannot_be_used_are_said_by_address_and_by_what_was_tried() -> None:
    said = unanswered("127.0.0.1:1", "Unable to bootstrap", {})
    assert said.startswith("no Kafka broker answers at 127.0.0.1:1 (nothing listens there:")
    assert said.endswith("start one, or name yours with --kafka HOST:PORT (kafka.bootstrap)")
    said = unanswered("no-such-host.invalid:9092, 127.0.0.1:1", "Unable to bootstrap", {})
    assert "the host's name no-such-host.invalid is not known here" in said
    assert "127.0.0.1:1 nothing listens there" in said
    assert "Unable to bootstrap" not in said


def test_what_looks_the_same_is_said_where_it_can_be() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        at = f"127.0.0.1:{server.getsockname()[1]}"
        said = unanswered(at, "timeout", {"security_protocol": "SASL_SSL"})
        assert f"{at}, though the port takes connections (timeout): a wrong password" in said
        assert "doctor` tells them apart" in said
        assert "may be no Kafka, or expect TLS" in unanswered(at, "timeout", {})


OAUTH = {
    "security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER",
    "sasl_oauth_token_url": "https://id.example.com/token", "sasl_oauth_client_id": "me",
    "sasl_oauth_client_secret": "pw-pw",
}  # fmt: skip


def test_tokens_are_an_option_of_every_client() -> None:
    options = client_options(settings(**OAUTH))
    assert repr(options.pop("sasl_oauth_token_provider")) == (
        "OidcTokens('https://id.example.com/token', client_id='me')"
    )
    assert options == {
        "security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER",
        "ssl_check_hostname": True,
    }  # fmt: skip


@pytest.mark.parametrize("absent", sorted(OAUTH.keys() - {"security_protocol", "sasl_mechanism"}))
def test_tokens_that_lack_something_name_it(absent: str) -> None:
    given = {name: value for name, value in OAUTH.items() if name != absent}
    with pytest.raises(ConfigError, match=f"kafka.{absent}") as caught:
        client_options(settings(**given))
    assert "pw-pw" not in str(caught.value)


def test_a_login_that_the_mechanism_does_not_send_is_refused() -> None:
    with pytest.raises(ConfigError, match="OAUTHBEARER sends none") as caught:
        client_options(settings(**OAUTH, sasl_password="pw-pw"))
    assert "pw-pw" not in str(caught.value)
    scram = {"security_protocol": "SASL_SSL", **LOGIN}
    with pytest.raises(ConfigError, match="SCRAM-SHA-512 sends none"):
        client_options(settings(**scram, sasl_oauth_client_secret="pw-pw"))
