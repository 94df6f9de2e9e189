"""A token in the environment is the demo's, too: its server asks for it, its client sends it."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest

from driftline.errors import ConfigError
from monitor.cli.demo import flights, model, run
from monitor.cli.processes import free_port
from monitor.cli.tree import Tree
from monitor.config import load

TOKEN = "a-token-of-more-than-20-characters"


class Asked(Exception):
    """The client was made: what came before it is the server's."""


@pytest.fixture
def tree() -> Tree:
    settings = load({"DRIFTLINE_WEB__PORT": str(free_port())})
    return Tree(settings, with_broker=False, folder=None)


@pytest.mark.parametrize("token", [TOKEN, None])
def test_the_demo_s_client_and_its_server_have_the_same_token(
    token: str | None, tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    if token is None:
        monkeypatch.delenv("DRIFTLINE_TOKEN", raising=False)
    else:
        monkeypatch.setenv("DRIFTLINE_TOKEN", token)

    def client(url: str, given: str | None) -> Any:
        assert (url, given) == (tree.web_url, token)
        raise Asked

    monkeypatch.setattr(run, "Client", client)
    monkeypatch.setattr(flights, "build", lambda: None)
    monkeypatch.setattr(model, "score", lambda _: None)
    monkeypatch.setattr(tree, "wait_for_web", lambda: None)
    screen: Any = SimpleNamespace(say=lambda _: None)
    receiver: Any = SimpleNamespace()
    with pytest.raises(Asked):
        run._prepare(tree, screen, receiver, None)
    # What the web process reads.
    assert tree._environment().get("DRIFTLINE_TOKEN") == os.environ.get("DRIFTLINE_TOKEN") == token


def test_a_token_that_is_none_is_said_before_anything_starts(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIFTLINE_TOKEN", "too-short")
    with pytest.raises(ConfigError, match="DRIFTLINE_TOKEN") as caught:
        tree.require_free_ports()
    assert "too-short" not in str(caught.value)
    assert not tree.children
