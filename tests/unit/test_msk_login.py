"""Amazon MSK by IAM: what is signed for a broker, from made-up credentials; no cluster is asked."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from types import ModuleType, SimpleNamespace

import pytest
from kafka.net.sasl.msk import SaslMechanismAwsMskIam

from driftline.errors import ConfigError, MissingExtra
from driftline.producer import checked_options
from monitor import brokers
from monitor.config import load

LOGIN = {
    "DRIFTLINE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
    "DRIFTLINE_KAFKA__SASL_MECHANISM": "AWS_MSK_IAM",
}
HOST, REGION, KEY, SECRET = "b-1.example.kafka.eu-west-1.amazonaws.com", "eu-west-1", "AKID", "shh"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials as AWS's tools would find them."""
    found = SimpleNamespace(access_key=KEY, secret_key=SECRET, token=None)

    class Session:
        def get_credentials(self) -> SimpleNamespace:
            return SimpleNamespace(get_frozen_credentials=lambda: found)

        def get_config_variable(self, name: str) -> str:
            assert name == "region"
            return REGION

    module, session = ModuleType("botocore"), ModuleType("botocore.session")
    session.Session = Session  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "botocore", module)
    monkeypatch.setitem(sys.modules, "botocore.session", session)
    monkeypatch.setattr(brokers, "find_spec", lambda name: object())


@pytest.mark.usefixtures("aws")
def test_what_is_sent_bears_a_signature_that_anybody_can_compute_again() -> None:
    options = brokers.client_options(load(LOGIN))
    assert options["sasl_mechanism"] == "AWS_MSK_IAM"
    assert checked_options(options) == options
    mechanism = SaslMechanismAwsMskIam(host=HOST, security_protocol="SASL_SSL")
    sent = json.loads(mechanism.auth_bytes())
    day, stamp = sent["x-amz-date"][:8], sent["x-amz-date"]
    scope = f"{day}/{REGION}/kafka-cluster/aws4_request"
    assert (sent["host"], sent["action"]) == (HOST, "kafka-cluster:Connect")
    assert sent["x-amz-credential"] == f"{KEY}/{scope}"
    # Signature version 4 of a GET with its parameters, sorted, in the address.
    query = "&".join(
        f"{name}={value}"
        for name, value in sorted(
            {
                "Action": "kafka-cluster%3AConnect",
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Credential": f"{KEY}/{scope}".replace("/", "%2F"),
                "X-Amz-Date": stamp,
                "X-Amz-Expires": "900",
                "X-Amz-SignedHeaders": "host",
            }.items()
        )
    )
    empty = hashlib.sha256(b"").hexdigest()
    request = f"GET\n/\n{query}\nhost:{HOST}\n\nhost\n{empty}"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{SECRET}".encode()
    for part in (day, REGION, "kafka-cluster", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    assert sent["x-amz-signature"] == hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    assert SECRET not in json.dumps(sent)


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brokers, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"driftline\[msk\]"):
        brokers.client_options(load(LOGIN))


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("name", "value"),
    [("SECURITY_PROTOCOL", "SASL_PLAINTEXT"), ("SASL_USERNAME", "me"), ("SASL_PASSWORD", "pw-pw"),
     ("SASL_OAUTH_SCOPE", "kafka")],
)  # fmt: skip
def test_what_it_would_not_use_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"kafka.{name.lower()}") as caught:
        brokers.client_options(load({**LOGIN, f"DRIFTLINE_KAFKA__{name}": value}))
    assert "pw-pw" not in str(caught.value)
