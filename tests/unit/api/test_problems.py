"""Problems name a command that mends them, and nothing of where the server has its programs."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.engine import Engine

from driftline import errors, program
from monitor.api.app import create_app
from monitor.storage import engine as storage


@pytest.mark.parametrize(
    "spoil", ["DROP TABLE alembic_version", "UPDATE alembic_version SET version_num = '0001'"]
)
def test_an_answer_does_not_tell_where_the_server_is_installed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, spoil: str
) -> None:
    for module in (program, errors):
        monkeypatch.setattr(module, "command", lambda words: f"/srv/secret/bin/driftline {words}")
    with storage.transaction(engine) as conn:
        conn.exec_driver_sql(spoil)
    client = TestClient(
        create_app(engine, with_dashboard=False),
        base_url="http://127.0.0.1",
        raise_server_exceptions=False,
    )
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "secret" not in answer.text
    assert "driftline db upgrade" in answer.json()["mend"]
