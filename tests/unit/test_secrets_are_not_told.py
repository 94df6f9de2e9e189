"""Every secret is set to a canary, everything is made to talk, and no canary is heard."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine
from token_server import TokenServer

from consumers.settings import IngestSettings
from driftline import EventLogger
from driftline.delivering import Delivery
from driftline.errors import DriftlineError
from driftline.producer import Record
from driftline.tokens import OidcTokens
from monitor.api.app import create_app
from monitor.brokers import client_options
from monitor.config import KEYS, MASK, load
from monitor.doctor.broker import Place

CANARY = "canary-7f3a"
SECRETS = {
    "DRIFTLINE_KAFKA__SASL_PASSWORD": f"{CANARY}-kafka-password",
    "DRIFTLINE_KAFKA__SASL_OAUTH_CLIENT_SECRET": f"{CANARY}-oauth-secret",
    "DRIFTLINE_TOKEN": f"{CANARY}-token-of-the-web-server",
    "DRIFTLINE_DATABASE__URL": f"postgresql+psycopg://me:{CANARY}-database@127.0.0.1:1/none",
}
PASSWORD = {
    "DRIFTLINE_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "DRIFTLINE_KAFKA__SASL_MECHANISM": "PLAIN",
    "DRIFTLINE_KAFKA__SASL_USERNAME": "me",
    "DRIFTLINE_KAFKA__SASL_PASSWORD": SECRETS["DRIFTLINE_KAFKA__SASL_PASSWORD"],
}


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TokenServer]:
    with TokenServer(tmp_path_factory.mktemp("tokens"), {"me": "something else"}) as made:
        yield made


def oauth(tokens: TokenServer) -> dict[str, str]:
    return {
        "DRIFTLINE_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "DRIFTLINE_KAFKA__SASL_MECHANISM": "OAUTHBEARER",
        "DRIFTLINE_KAFKA__SASL_OAUTH_CLIENT_ID": "me",
        "DRIFTLINE_KAFKA__SASL_OAUTH_TOKEN_URL": f"{tokens.url}/token",
        "DRIFTLINE_KAFKA__SASL_OAUTH_CLIENT_SECRET": SECRETS[
            "DRIFTLINE_KAFKA__SASL_OAUTH_CLIENT_SECRET"
        ],
    }


def test_every_secret_of_the_settings_has_a_canary() -> None:
    named = {key.variable for key in KEYS.values() if key.is_secret}
    assert named <= set(SECRETS)


VERBS = [
    ["config", "show"],
    ["config", "show", "--json"],
    ["doctor"],
    ["doctor", "--json"],
    ["status", "--json"],
    ["ingest"],
    ["evaluate"],
    ["deliver"],
    ["web"],
    ["topic", "create"],
    ["log", "events.ndjson"],
    ["log", "events.ndjson", "--json"],
    ["dead-letter", "list"],
]


LOGINS = ["password", "oauth"]
# The program in a process for each command, all of them children of one that has imported it.
PROGRAM = """
import json, os, runpy, sys, traceback
from pathlib import Path
import monitor.cli.app, consumers.process, monitor.api.app, driftline.delivering, kafka

begun = []
for folder, verb, env in json.loads(sys.stdin.read()):
    begun.append((folder, os.fork()))
    if begun[-1][1] == 0:
        os.chdir(folder)
        told = os.open("told", os.O_WRONLY | os.O_CREAT)
        os.dup2(told, 1)
        os.dup2(told, 2)
        os.environ.update(env)
        sys.argv = ["driftline", *verb]
        code = 99
        try:
            runpy.run_module("monitor.cli", run_name="__main__")
        except SystemExit as end:
            code = end.code or 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
for folder, pid in begun:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    Path(folder, "code").write_text(str(code))
"""


@pytest.fixture(scope="module")
def told(
    tokens: TokenServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], tuple[int, str]]:
    """Exit code and output of every command, by verb and kind of login."""
    others = {k: v for k, v in SECRETS.items() if not k.startswith("DRIFTLINE_KAFKA")}
    event = {"type": "label", "id": 1, "model": "m", "time": "2025-01-01T00:00:00Z", "label": 1}
    work, folders = [], {}
    for login in LOGINS:
        kafka = PASSWORD if login == "password" else oauth(tokens)
        env = {**kafka, **others, "DRIFTLINE_KAFKA__BOOTSTRAP": "127.0.0.1:1",
               "DRIFTLINE_WEB__PORT": "1"}  # fmt: skip
        for verb in VERBS:
            folder = folders[" ".join(verb), login] = tmp_path_factory.mktemp("told")
            (folder / "events.ndjson").write_text(json.dumps(event) + "\n")
            work.append((str(folder), verb, env))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], input=json.dumps(work), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return {
        asked: (int((folder / "code").read_text()), (folder / "told").read_text())
        for asked, folder in folders.items()
    }


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("verb", [" ".join(verb) for verb in VERBS])
def test_no_command_tells_a_secret(
    verb: str, login: str, told: dict[tuple[str, str], tuple[int, str]]
) -> None:
    code, words = told[verb, login]
    assert words
    assert CANARY not in words
    # It came to its work, and said why that cannot be done.
    assert code in ((0,) if verb.startswith("config") else (1, 2)), words
    assert "Traceback" not in words
    if verb == "config show":
        assert MASK in words


@pytest.mark.parametrize("name", sorted(SECRETS))
@pytest.mark.parametrize("broken", ["{}\n", "{}'", " {}", "{}"])
def test_no_error_of_the_settings_tells_a_secret(name: str, broken: str, tmp_path: Path) -> None:
    said = {name: broken.format(SECRETS[name]), "DRIFTLINE_KAFKA__SASL_PASSWROD": SECRETS[name]}
    with pytest.raises(DriftlineError) as caught:
        load(said)
    assert CANARY not in str(caught.value) + repr(caught.value)
    # A secret in the wrong place: a file of settings.
    file = tmp_path / "driftline.toml"
    for key in (key.name for key in KEYS.values() if key.is_secret):
        table, _, rest = key.partition(".")
        file.write_text(f'[{table}]\n{rest} = "{CANARY}"\n')
        with pytest.raises(DriftlineError) as caught:
            load({}, file=file)
        assert CANARY not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("login", ["password", "oauth"])
def test_nothing_that_holds_a_secret_shows_it(
    login: str, tokens: TokenServer, caplog: pytest.LogCaptureFixture
) -> None:
    kafka = PASSWORD if login == "password" else oauth(tokens)
    database = "DRIFTLINE_DATABASE__URL"
    settings = load({**kafka, database: SECRETS[database]})
    options = client_options(settings)
    asked = IngestSettings(settings.text("database.url"), "127.0.0.1:1", client_options=options)
    place = Place("127.0.0.1:1", "t", "g", options, None)
    delivery = Delivery("127.0.0.1:1", "t", kafka=options)
    shown = [repr(settings), str(settings), repr(asked), repr(place), repr(delivery)]
    provider = options.get("sasl_oauth_token_provider")
    if isinstance(provider, OidcTokens):
        shown.append(repr(provider))
        with pytest.raises(DriftlineError) as refused:
            provider.token()
        shown += [str(refused.value), repr(refused.value), repr(refused.value.__dict__)]
    with caplog.at_level(logging.DEBUG):
        with delivery, pytest.raises(DriftlineError) as caught:
            delivery.deliver([Record(b"{}", 1)])
        shown += [str(caught.value), repr(caught.value)]
        with EventLogger("127.0.0.1:1", model="m", version="1", kafka=options) as logger:
            logger.log({"a": 1}, 1)
            shown.append(repr(logger))
    ours = [record.getMessage() for record in caplog.records if record.name[:9] == "driftline"]
    for text in [*shown, *ours]:
        assert CANARY not in text


def test_no_problem_of_the_api_tells_the_token(engine: Engine) -> None:
    token = SECRETS["DRIFTLINE_TOKEN"]
    app = create_app(engine, with_dashboard=False, token=token)
    with TestClient(app, base_url="http://127.0.0.1:8050", raise_server_exceptions=False) as api:
        head = {"authorization": f"Bearer {token}"}
        answers = [
            api.get("/api/v1/models"),
            api.get("/api/v1/models", headers={"authorization": f"Bearer {token}x"}),
            api.get(f"/api/v1/models/{CANARY[:6]}", headers=head),
            api.post("/api/v1/dead-letters/replay", headers=head, content=b"{"),
            api.post("/api/v1/dead-letters/replay", headers=head, json={"all": True}),
            api.post("/login", data={"token": f"{token}x"}),
            api.get("/readyz", headers=head),
        ]
        assert [a.status_code for a in answers[:2]] == [401, 401]
        for answer in answers:
            assert token not in answer.text
            assert token not in str(answer.headers)
