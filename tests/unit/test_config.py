"""Settings come from one table, and a mistake in them is said with its mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from driftline.errors import ConfigError
from monitor.config import KEYS, MASK, Key, load, secret_from


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[web]\nport = 1001\nhost = '::1'\n[kafka]\ntopic = 'a'\n")
    environment = {"DRIFTLINE_WEB__PORT": "1002", "DRIFTLINE_KAFKA__TOPIC": "b", "HOME": "/"}
    settings = load(environment, file=file, options={"web.port": 1003, "web.host": None})
    assert settings.integer("web.port") == 1003
    assert settings.text("kafka.topic") == "b"
    assert settings.text("web.host") == "::1"
    assert settings.text("kafka.group") == "driftline"
    assert settings.source("kafka.topic") == "DRIFTLINE_KAFKA__TOPIC"
    assert settings.source("web.host") == str(file)
    assert settings.source("kafka.group") == "default"


def test_an_unknown_key_names_the_nearest_one(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[ingest]\ncheckpoint_intervall_s = 1\n")
    with pytest.raises(ConfigError, match=r"the nearest is ingest\.checkpoint_interval_s"):
        load({}, file=file)
    with pytest.raises(ConfigError, match=r"the nearest is kafka\.bootstrap"):
        load({"DRIFTLINE_KAFKA__BOOTSTRAPS": "x"})


def test_the_value_of_an_unknown_key_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text('[kafka]\nsasl_pasword = "hush-hush"\n')
    with pytest.raises(ConfigError) as of_file:
        load({}, file=file)
    with pytest.raises(ConfigError) as of_variable:
        load({"DRIFTLINE_SECRET": "hush-hush"})
    for raised in (of_file, of_variable):
        assert "hush-hush" not in f"{raised.value} {raised.value.got}"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DRIFTLINE_WEB__PORT", "70000"),
        ("DRIFTLINE_WEB__PORT", "eighty"),
        ("DRIFTLINE_EVALUATE__INTERVAL_S", "nan"),
        ("DRIFTLINE_INGEST__KEEP_PAYLOAD", "maybe"),
        ("DRIFTLINE_KAFKA__START", "middle"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(variable: str, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({variable: value})
    assert caught.value.source == variable


def test_a_file_is_held_to_the_types_of_toml(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("[web]\nport = '8050'\n")
    with pytest.raises(ConfigError, match="an integer"):
        load({}, file=file)
    file.write_text("[evaluate]\ninterval_s = 2\n")
    assert load({}, file=file).number("evaluate.interval_s") == 2.0


def test_an_absent_or_broken_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a readable TOML file"):
        load({}, file=tmp_path / "none.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("port = = 1")
    with pytest.raises(ConfigError, match="valid TOML"):
        load({"DRIFTLINE_CONFIG": str(broken)})


def test_every_default_would_be_accepted_if_it_were_given() -> None:
    for key in KEYS.values():
        if not key.is_secret:
            assert load({}, options={key.name: key.default})[key.name] == key.default


SECRETS = [key for key in KEYS.values() if key.is_secret]


@pytest.mark.parametrize("key", SECRETS, ids=lambda key: key.name)
def test_a_secret_comes_from_the_environment_and_is_never_shown(key: Key, tmp_path: Path) -> None:
    settings = load({key.variable: "open sesame"})
    assert settings.text(key.name) == "open sesame"
    assert settings.shown(key.name) == MASK
    table, _, name = key.name.partition(".")
    file = tmp_path / "driftline.toml"
    file.write_text(f"[{table}]\n{name} = 'open sesame'\n")
    with pytest.raises(ConfigError, match=key.variable) as in_file:
        load({}, file=file)
    with pytest.raises(ConfigError, match=f"{key.name}_file") as on_command_line:
        load({}, options={key.name: "open sesame"})
    for caught in (in_file, on_command_line):
        assert "sesame" not in str(caught.value)


def test_the_file_of_a_secret_is_read_whole_but_for_its_last_line_end(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(" pass word \n")
    assert secret_from(str(file), "key", "default") == " pass word "
    for content in (b"", b"\n", b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(ConfigError, match="key"):
            secret_from(str(file), "key", "default")
    with pytest.raises(ConfigError, match="readable file"):
        secret_from(str(tmp_path / "none"), "key", "default")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@host/name",
        "postgresql://me:hunter2@x:y@host:5432/name?sslmode=require",
        "postgresql:///name?host=/tmp&user=me&password=hunter2",
    ],
)
def test_a_password_in_the_database_s_address_is_not_shown(url: str) -> None:
    settings = load({"DRIFTLINE_DATABASE__URL": url})
    assert "hunter2" not in str(settings.shown("database.url"))
    assert settings.text("database.url") == url
    plain = load({"DRIFTLINE_DATABASE__URL": "sqlite:///a@b:c.db"})
    assert plain.shown("database.url") == "sqlite:///a@b:c.db"


def test_the_embedded_broker_is_looked_for_at_its_port() -> None:
    moved = load({"DRIFTLINE_BROKER__PORT": "9093"})
    assert moved.text("kafka.bootstrap") == "127.0.0.1:9093"
    # `driftline up` brings a broker where nobody named one.
    assert moved.source("kafka.bootstrap") == "default"
    assert "DRIFTLINE_KAFKA__BOOTSTRAP" not in moved.as_environment()
    named = load({"DRIFTLINE_BROKER__PORT": "9093", "DRIFTLINE_KAFKA__BOOTSTRAP": "kafka:9092"})
    assert named.text("kafka.bootstrap") == "kafka:9092"
    assert load({"DRIFTLINE_BROKER__PORT": "0"}).text("kafka.bootstrap") == "127.0.0.1:9092"
