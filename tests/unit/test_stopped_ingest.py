"""The process tree keeps its other roles when the consumer stops itself, and starts it again."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_source import register
from ingest_rig import Rig
from sqlalchemy.engine import Engine

from driftline.errors import DeadLetterLimit
from monitor import cli
from monitor.cli import STOPPED
from monitor.cli import tree as module
from monitor.cli.tree import ChildDied, Tree
from monitor.config import load
from monitor.storage import breakers
from monitor.storage import engine as storage


@pytest.fixture
def stopped(engine: Engine) -> Engine:
    """A database whose consumers stopped."""
    register(engine)
    rig = Rig(engine)
    rig.topic.extend(b"no json" for _ in range(1_500))
    with pytest.raises(DeadLetterLimit):
        rig.settle(rounds=8)
    return engine


def child(name: str, exit_code: int | None) -> Any:
    return SimpleNamespace(
        name=name, exit_code=exit_code, last_words=lambda: "driftline: stopped: of the last 1,000"
    )


def tree_of(engine: Engine, tmp_path: Path, began: list[str]) -> Tree:
    url = engine.url.render_as_string(hide_password=False)
    made = Tree(load({"DRIFTLINE_DATABASE__URL": url}), with_broker=False, folder=tmp_path)
    made.begin = began.append  # type: ignore[method-assign]
    return made


def test_the_others_go_on_and_it_is_started_again_when_that_is_accepted(
    stopped: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    began: list[str] = []
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    tree = tree_of(stopped, tmp_path, began)
    tree.children = [child("web", None), child("ingest", STOPPED)]
    tree.check()
    assert [one.name for one in tree.children] == ["web"]
    told = capsys.readouterr().err
    assert "of the last 1,000" in told
    assert "counting has stopped, the rest goes on" in told
    # It stands: nothing is started, however often it is looked at.
    for _ in range(5):
        now[0] += 3
        tree.check()
    assert began == []
    with storage.transaction(stopped) as conn:
        assert breakers.accept(conn, actor="cli:me", now_ms=1)
    tree.check()  # not yet: it is looked at every other second
    assert began == []
    now[0] += 3
    tree.check()
    tree.check()
    assert began == ["ingest"]
    assert "counting goes on" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "code"), [("ingest", 2), ("ingest", -9), ("evaluate", STOPPED)])
def test_every_other_end_of_a_role_ends_the_tree(
    engine: Engine, tmp_path: Path, name: str, code: int
) -> None:
    tree = tree_of(engine, tmp_path, [])
    tree.children = [child("web", None), child(name, code)]
    with pytest.raises(ChildDied, match=name):
        tree.check()


def test_ingest_ends_with_a_code_of_its_own(
    stopped: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from consumers import process
    from consumers.breaker import limit
    from consumers.settings import IngestSettings

    asked: list[IngestSettings] = []

    def run(settings: IngestSettings, *_: Any, **__: Any) -> None:
        asked.append(settings)
        with storage.reading(stopped) as conn:
            (stop,) = breakers.standing(conn)
        raise limit(stop)

    monkeypatch.setattr(process, "run", run)
    monkeypatch.chdir(tmp_path)
    url = stopped.url.render_as_string(hide_password=False)
    for words in ([], ["--accept-undecodable"]):
        monkeypatch.setattr("sys.argv", ["driftline", "ingest", "--database", url, *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == STOPPED == 3
        assert "driftline: stopped: of the last" in capsys.readouterr().err
    first, second = asked
    assert (first.breaker, first.breaker_ratio, first.breaker_events) == (True, 0.5, 1_000)
    assert first.accepts_undecodable is None
    assert str(second.accepts_undecodable).startswith("cli:")
