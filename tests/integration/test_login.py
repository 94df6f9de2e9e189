"""The web process as strangers, programs and people meet it beyond loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pandas as pd
import pytest

from driftline import ApiError, AuthenticationError, Client
from monitor.cli.processes import free_port
from monitor.storage import engine as storage

TOKEN = "a-token-of-more-than-20-characters"
DRIFTLINE = [sys.executable, "-m", "monitor.cli"]


@contextmanager
def web(folder: Path, **settings: str) -> Iterator[str]:
    """`driftline web` until it answers its health check; its words go to `web.log`."""
    port = free_port()
    names = {"DRIFTLINE_" + name.upper(): value for name, value in settings.items()}
    environment = {**os.environ, **names, "DRIFTLINE_WEB__PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    with (folder / "web.log").open("wb") as log:
        process = subprocess.Popen(
            [*DRIFTLINE, "web"], cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 60
            while True:
                assert process.poll() is None, (folder / "web.log").read_text()
                assert time.monotonic() < deadline
                try:
                    if httpx2.get(f"{url}/healthz").is_success:
                        break
                except httpx2.TransportError:
                    time.sleep(0.05)
            yield url
        finally:
            process.terminate()
            process.wait(20)


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DRIFTLINE, *arguments], cwd=folder, env={**os.environ, **variables},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("login")
    engine = storage.create(f"sqlite:///{made / 'driftline.db'}")
    storage.upgrade(engine)
    engine.dispose()
    (made / "token").write_text(f"{TOKEN}\n")
    pd.DataFrame({"x": range(200), "s": range(200)}).to_csv(made / "trained.csv", index=False)
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """A server on every address of the machine, its token in a file as Docker gives it."""
    with web(
        folder, web__host="0.0.0.0", web__hosts="drift.example", web__token_file="token"
    ) as url:
        yield url


def test_the_client_takes_the_token_from_its_argument_or_the_environment(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DRIFTLINE_TOKEN", raising=False)
    with Client(server, token=TOKEN) as client:
        assert client.models() == []
    for wrong in (None, "", "x" * 30):
        with Client(server, token=wrong) as client, pytest.raises(AuthenticationError) as caught:
            client.models()
        assert caught.value.status == 401
        assert isinstance(caught.value, ApiError)
        assert "DRIFTLINE_TOKEN" in str(caught.value)
        assert "--token-file" in str(caught.value)
    monkeypatch.setenv("DRIFTLINE_TOKEN", TOKEN)
    with Client(server) as client:
        assert client.models() == []
    with Client(server, token="") as client, pytest.raises(AuthenticationError):
        client.models()
    with pytest.raises(ApiError, match="ASCII") as unsendable:
        Client(server, token="s\u00e9same ouvre-toi !")
    assert "ouvre" not in str(unsendable.value)


def test_a_verb_takes_the_token_from_a_file_or_the_environment(server: str, folder: Path) -> None:
    register = ("reference", "register", "trained.csv", "--model", "m", "--version", "1")
    to = ("--score", "s", "--url", server)
    refused = run(folder, *register, *to)
    assert refused.returncode == 1
    assert "set DRIFTLINE_TOKEN" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    by_file = run(folder, *register, *to, "--token-file", "token")
    assert by_file.returncode == 0, by_file.stderr
    by_variable = run(folder, *register, *to, DRIFTLINE_TOKEN=TOKEN)
    assert by_variable.returncode == 0, by_variable.stderr
    absent = run(folder, *register, *to, "--token-file", "none")
    assert absent.returncode == 2
    assert "readable file" in absent.stderr


def test_health_is_told_to_everybody_and_nothing_else_is(server: str) -> None:
    assert httpx2.get(f"{server}/readyz").json() == {"status": "ready"}
    assert httpx2.get(f"{server}/api/v1/status").status_code == 401
    page = httpx2.get(f"{server}/models/m", follow_redirects=True)
    assert page.status_code == 200
    assert page.url.path == "/login"
    # What a program forges of a proxy's headers is not believed.
    forged = {"x-forwarded-for": "127.0.0.1", "x-forwarded-host": "127.0.0.1"}
    assert httpx2.get(f"{server}/api/v1/status", headers=forged).status_code == 401


def test_a_name_that_is_not_configured_is_not_served(server: str) -> None:
    bearer = {"authorization": f"Bearer {TOKEN}"}
    for host, status in (("drift.example", 200), ("localhost", 200), ("evil.example", 421)):
        headers = {**bearer, "host": host}
        assert httpx2.get(f"{server}/api/v1/models", headers=headers).status_code == status


def test_the_token_stands_in_no_log_and_no_command_line(server: str, folder: Path) -> None:
    origin = {"origin": server}
    for token in (TOKEN, "wrong-wrong-wrong-wrong"):
        httpx2.post(f"{server}/login", data={"token": token}, headers=origin)
    said = (folder / "web.log").read_text()
    assert "a wrong token" in said
    assert TOKEN not in said
    assert "wrong-wrong" not in said
    shown = run(
        folder, "config", "show", DRIFTLINE_TOKEN=TOKEN, DRIFTLINE_KAFKA__SASL_PASSWORD="pw-pw-pw"
    )
    assert shown.returncode == 0
    assert "web.token_file" in shown.stdout
    assert TOKEN not in shown.stdout
    assert "pw-pw-pw" not in shown.stdout


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"WEB__HOST": "192.0.2.1"}, "secrets.token_urlsafe(32)"),
        ({"WEB__HOST": "0.0.0.0", "TOKEN": TOKEN}, "web.hosts"),
        ({"WEB__HOST": "0.0.0.0", "TOKEN": "short"}, "5 characters"),
        ({"WEB__TOKEN_FILE": "none"}, "readable file"),
    ],
)
@pytest.mark.parametrize("verb", ["web", "up"])
def test_a_server_that_would_be_open_or_nameless_does_not_start(
    folder: Path, verb: str, settings: dict[str, str], said: str
) -> None:
    found = run(folder, verb, **{f"DRIFTLINE_{name}": value for name, value in settings.items()})
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert said in line
    assert "short" not in line


def test_a_token_on_loopback_is_asked_for_as_well(folder: Path) -> None:
    with web(folder, token=TOKEN) as url:
        assert httpx2.get(f"{url}/api/v1/models").status_code == 401
        with httpx2.Client(base_url=url, headers={"origin": url}) as person:
            done = person.post("/login", data={"token": TOKEN, "next": "/pipeline"})
            assert (done.status_code, done.headers["location"]) == (303, "/pipeline")
            assert person.get("/pipeline").status_code == 200
            assert person.get("/api/v1/models").status_code == 200
