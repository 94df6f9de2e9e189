"""Beyond loopback nothing is served without a token and a name; the token is in no message."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.errors import ConfigError
from monitor.cli.access import HOW_TO_MAKE_ONE, LOOPBACK_NAMES, access, client_token, token
from monitor.config import Settings, load

TOKEN = "a-token-of-more-than-20-characters"
GIVEN = {"DRIFTLINE_TOKEN": TOKEN}


def settings(**options: str) -> Settings:
    return load({}, options={f"web.{name}": value for name, value in options.items()})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "drift.example", ""])
def test_every_other_address_needs_a_token(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        access(settings(host=host, hosts="drift.example"), {})
    assert HOW_TO_MAKE_ONE in str(caught.value)
    assert access(settings(host=host, hosts="drift.example"), GIVEN).token == TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_loopback_needs_none_and_asks_for_one_that_is_set(host: str) -> None:
    assert access(settings(host=host), {}).token is None
    assert access(settings(host=host), {"DRIFTLINE_TOKEN": " "}).token is None
    assert access(settings(host=host), {**GIVEN, "DRIFTLINE_READ_TOKEN": ""}).read_token is None
    assert access(settings(host=host), GIVEN).token == TOKEN


def test_a_token_comes_from_a_file_too_and_the_environment_goes_first(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    named = settings(token_file=str(file))
    assert token(named, {}) == TOKEN
    assert token(named, {"DRIFTLINE_TOKEN": "x" * 20}) == "x" * 20
    assert client_token(file, {"DRIFTLINE_TOKEN": "other"}) == TOKEN
    assert client_token(None, {"DRIFTLINE_TOKEN": " short\n"}) == "short"
    assert client_token(None, {}) is None
    for absent in (tmp_path / "none", tmp_path):
        with pytest.raises(ConfigError, match="readable file"):
            token(settings(token_file=str(absent)), {})


@pytest.mark.parametrize("bad", ["x" * 19, "x" * 501, "twenty characters and more", "\xe9" * 20])
def test_what_is_no_token_is_refused_without_being_told(bad: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(bad)
    for given, variables in (
        (settings(), {"DRIFTLINE_TOKEN": bad}),
        (settings(token_file=str(file)), {}),
    ):
        with pytest.raises(ConfigError) as caught:
            access(given, variables)
        assert bad not in str(caught.value)
        assert bad not in repr(caught.value)
        assert HOW_TO_MAKE_ONE in str(caught.value)


def test_the_token_is_not_shown_with_what_holds_it() -> None:
    assert TOKEN not in repr(access(settings(), GIVEN))


def test_names_are_those_that_are_configured_and_this_machine_s_own() -> None:
    assert access(settings(host="192.0.2.1"), GIVEN).hosts == LOOPBACK_NAMES | {"192.0.2.1"}
    many = settings(host="0.0.0.0", hosts=" Drift.Example. ,drift-2 , [2001:db8::1],, 192.0.2.1")
    wanted = {"drift.example", "drift-2", "2001:db8::1", "192.0.2.1"}
    assert access(many, GIVEN).hosts == LOOPBACK_NAMES | wanted
    by_url = settings(host="::", url="https://Drift.example/pages")
    assert access(by_url, GIVEN).hosts == LOOPBACK_NAMES | {"drift.example"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_every_address_at_once_needs_a_name(host: str) -> None:
    with pytest.raises(ConfigError, match=r"web\.hosts = \"drift\.example\""):
        access(settings(host=host), GIVEN)


@pytest.mark.parametrize("name", ["*", "*.example", "https://drift.example", "drift.example:8050",
                                  "drift example", "-x", "a..b", "<b>", "x" * 254])  # fmt: skip
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="without scheme and port"):
        access(settings(host="0.0.0.0", hosts=f"drift.example,{name}"), GIVEN)
