"""The database is opened with care, and says in words what is wrong with it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Engine

from driftline.errors import ConfigError, SchemaVersionError, StorageUnavailable
from monitor.storage import engine as storage
from monitor.storage import schema as t

pytestmark = pytest.mark.both_databases


def test_a_migrated_database_has_exactly_the_tables_of_the_code(engine: Engine) -> None:
    with engine.connect() as conn:
        difference = compare_metadata(MigrationContext.configure(conn), t.metadata)
    assert difference == []


def test_upgrading_twice_changes_nothing(engine: Engine) -> None:
    storage.upgrade(engine)
    storage.check_schema(engine)


def test_an_older_schema_is_refused_with_the_command_that_mends_it(database_url: str) -> None:
    engine = storage.create(database_url)
    with pytest.raises(SchemaVersionError, match="driftline db upgrade"):
        storage.check_schema(engine)
    engine.dispose()


def test_a_newer_schema_is_refused_and_no_upgrade_is_advised(engine: Engine) -> None:
    with storage.transaction(engine) as conn:
        conn.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    for refused in (storage.upgrade, storage.check_schema):
        with pytest.raises(SchemaVersionError, match=r"9999.*newer release of driftline") as caught:
            refused(engine)
        assert "db upgrade" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://host/name",
        "sqlite://",
        "sqlite:///:memory:",
        "postgresql+no_such_driver://host/name",
    ],
)
def test_an_address_that_cannot_work_is_a_config_error(url: str) -> None:
    with pytest.raises(ConfigError):
        storage.create(url)


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"make .*gone first"):
        storage.create(f"sqlite:///{tmp_path / 'gone' / 'x.db'}")


def test_a_file_that_is_no_database_is_unavailable_not_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"this is no database" * 100)
    engine = storage.create(f"sqlite:///{path}")
    with pytest.raises(StorageUnavailable, match=r"x\.db"), storage.transaction(engine):
        pass
    engine.dispose()


def test_a_transaction_that_raises_leaves_nothing_behind(engine: Engine) -> None:
    with pytest.raises(RuntimeError), storage.transaction(engine) as conn:
        conn.execute(sa.update(t.registry).values(revision=99))
        raise RuntimeError
    with engine.connect() as conn:
        assert conn.execute(sa.select(t.registry.c.revision)).scalar_one() == 1


def test_writers_wait_for_each_other_and_lose_no_update(engine: Engine) -> None:
    def bump() -> None:
        for _ in range(50):
            with storage.transaction(engine) as conn:
                conn.execute(sa.select(t.registry.c.revision)).scalar_one()
                conn.execute(sa.update(t.registry).values(revision=t.registry.c.revision + 1))

    threads = [threading.Thread(target=bump) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    with engine.connect() as conn:
        assert conn.execute(sa.select(t.registry.c.revision)).scalar_one() == 151


def test_a_reader_sees_one_state_while_others_write(engine: Engine) -> None:
    query = sa.select(t.registry.c.revision)
    with storage.reading(engine) as reader:
        before = reader.execute(query).scalar_one()
        with storage.transaction(engine) as writer:
            writer.execute(sa.update(t.registry).values(revision=before + 1))
        assert reader.execute(query).scalar_one() == before
