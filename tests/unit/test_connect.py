"""Which server a verb speaks to: the one that is named, by option or environment, or the local."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.cli.connect import connect

TOLD = {"DRIFTLINE_URL": "https://drift.example", "DRIFTLINE_WEB__PORT": "9001"}


@pytest.mark.parametrize(
    ("option", "environment", "spoken_to"),
    [
        ("http://127.0.0.1:7000", TOLD, "http://127.0.0.1:7000"),
        (None, TOLD, "https://drift.example"),
        (None, {**TOLD, "DRIFTLINE_URL": " "}, "http://127.0.0.1:9001"),
        (None, {"DRIFTLINE_WEB__PORT": "9001"}, "http://127.0.0.1:9001"),
    ],
)
def test_a_verb_speaks_to_the_server_that_is_named(
    option: str | None, environment: dict[str, str], spoken_to: str
) -> None:
    with connect(option, environment=environment) as client:
        assert client.url == spoken_to


def test_the_token_of_the_local_server_is_not_sent_to_another(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("the-token-of-the-local-server")
    local = {"DRIFTLINE_WEB__TOKEN_FILE": str(file)}
    own = "Bearer the-token-of-the-local-server"
    for environment, sent in ((local, own), (TOLD | local, None)):
        with connect(None, environment=environment) as client:
            assert client._http._client.headers.get("authorization") == sent
