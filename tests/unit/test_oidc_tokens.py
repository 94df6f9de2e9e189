"""Tokens of OIDC client credentials: fetched once, renewed in time, refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from token_server import TokenServer

from driftline.errors import ConfigError
from driftline.producer import checked_options
from driftline.refusing import refusal
from driftline.tokens import OidcTokens, TokenRefused, checked_url

SECRET = "s3cret/+ of the client"


class Time:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    with TokenServer(tmp_path_factory.mktemp("tokens"), {"me:too": SECRET}) as made:
        yield made


@pytest.fixture
def at() -> Time:
    return Time()


@pytest.fixture
def tokens(server: TokenServer, at: Time) -> OidcTokens:
    server.asked.clear()
    server.life_s = 300.0
    return OidcTokens(f"{server.url}/token", "me:too", SECRET, "kafka", monotonic=at)


def test_a_token_is_fetched_once_and_renewed_before_it_is_over(
    server: TokenServer, tokens: OidcTokens, at: Time
) -> None:
    first = tokens.token()
    assert first.count(".") == 2
    at.now += 230
    assert tokens.token() == first
    assert server.asked == [{"grant_type": "client_credentials", "scope": "kafka"}]
    at.now += 11  # within a minute of its end
    server.life_s = 200.0
    assert tokens.token() != first
    assert len(server.asked) == 2


def test_while_the_server_is_away_a_token_that_still_holds_is_used(
    server: TokenServer, tokens: OidcTokens, at: Time
) -> None:
    first = tokens.token()
    at.now += 250
    tokens.url = "http://127.0.0.1:1/token"
    assert tokens.token() == first
    assert tokens.fault is not None
    # It is asked again in a second at the earliest, and not at all for what is over.
    at.now += 51
    with pytest.raises(TokenRefused, match="does not answer"):
        tokens.token()
    tokens.url = f"{server.url}/token"
    at.now += 2
    assert tokens.token()
    assert tokens.fault is None


def test_a_refusal_is_told_without_the_secret(server: TokenServer, at: Time) -> None:
    wrong = "another-secret"
    tokens = OidcTokens(f"{server.url}/token", "me:too", wrong, monotonic=at)
    with pytest.raises(TokenRefused, match="refuses client me:too: 401 invalid_client") as caught:
        tokens.token()
    found = refusal([], {"sasl_oauth_token_provider": tokens})
    assert found is not None
    for words in (str(caught.value), repr(caught.value), repr(tokens), *found):
        assert wrong not in words


@pytest.mark.parametrize(
    "url", ["", "id.example.com", "http://id.example.com/token", "https://me:pw-pw@id/t", "ftp://a"]
)
def test_an_address_that_would_tell_the_secret_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="sasl_oauth_token_url") as caught:
        checked_url(url)
    assert "pw-pw" not in str(caught.value)


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    with pytest.raises(ConfigError, match="sasl_oauth_cafile"):
        OidcTokens("https://id.example.com/token", "me", SECRET, cafile=str(file))


def test_the_logger_takes_the_same_settings() -> None:
    login = {
        "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauth_token_url": "https://id.example.com/token", "sasl_oauth_client_id": "me",
        "sasl_oauth_client_secret": SECRET,
    }  # fmt: skip
    options = checked_options(login)
    assert isinstance(options.pop("sasl_oauth_token_provider"), OidcTokens)
    assert options == {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER"}
    for name in ("sasl_oauth_client_id", "sasl_oauth_client_secret", "sasl_oauth_token_url"):
        with pytest.raises(ConfigError, match=name) as caught:
            checked_options({k: v for k, v in login.items() if k != name})
        assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError, match="OAUTHBEARER, since") as caught:
        checked_options({**login, "sasl_mechanism": "PLAIN"})
    assert SECRET not in str(caught.value)
    with pytest.raises(ConfigError, match="the nearest is") as caught:
        checked_options({**login, "sasl_oauth_secret": SECRET})
    assert SECRET not in str(caught.value)
