"""The database is opened with care, and says in words what is wrong with it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import Engine

from driftline.errors import ConfigError, SchemaVersionError, StorageUnavailable
from driftline.stats.lengths import LENGTHS
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


def test_every_short_text_sorts_by_its_bytes(engine: Engine) -> None:
    if engine.dialect.name == "postgresql":
        query = sa.text(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND data_type = 'character varying' "
            "AND collation_name IS DISTINCT FROM 'C' AND table_name <> 'alembic_version'"
        )
        with engine.connect() as conn:
            assert conn.execute(query).all() == []
    names = ["a", "B", "_", "é", "Z", "z", "-", "ab", "a b"]
    with storage.transaction(engine) as conn:
        storage.insert_rows(
            conn, t.model, [{"name": n, "timezone": "UTC", "created_ms": 1} for n in names]
        )
        found = conn.execute(sa.select(t.model.c.name).order_by(t.model.c.name)).scalars().all()
    assert found == sorted(names)


def test_text_with_a_nul_comes_back_as_it_was(engine: Engine) -> None:
    name = "JFK\0\0"
    with storage.transaction(engine) as conn:
        names = ("stream_id", "partition", "model", "version", "outcome", "count")
        storage.insert_tuples(conn, t.counter, names, [(1, 0, name, "1", "prediction", 2)])
        moved = conn.execute(
            sa.update(t.counter).where(t.counter.c.model == name).values(count=3)
        ).rowcount
        assert moved == 1
        rows = conn.execute(sa.select(t.counter.c.model, t.counter.c["count"])).all()
    assert [tuple(row) for row in rows] == [(name, 3)]


def test_migrations_lead_back_to_an_empty_database_and_up_again(database_url: str) -> None:
    engine = storage.create(database_url)
    storage.upgrade(engine)
    command.downgrade(storage.alembic_config(engine), "base")
    assert set(sa.inspect(engine).get_table_names()) <= {"alembic_version"}
    storage.upgrade(engine)
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), t.metadata) == []
    engine.dispose()


def test_a_monitor_of_an_older_schema_judges_every_length_from_when_it_did(
    database_url: str,
) -> None:
    engine = storage.create(database_url)
    config = storage.alembic_config(engine)
    command.upgrade(config, "0008")
    insert = sa.text(
        "INSERT INTO monitor (model_id, revision, spec, created_ms, after_ms) "
        "VALUES (1, :revision, '{}', 0, :after_ms)"
    )
    read = sa.text("SELECT after_ms FROM monitor ORDER BY revision")
    with storage.transaction(engine) as conn:
        for revision, after_ms in ((1, 0), (2, 1_382_767_200_000)):
            conn.execute(insert, {"revision": revision, "after_ms": after_ms})
    storage.upgrade(engine)
    with engine.connect() as conn:
        found = conn.execute(sa.select(t.monitor.c.after_by_length).order_by("revision")).scalars()
        first, second = (json.loads(text) for text in found)
    assert first == {}
    assert second == dict.fromkeys(LENGTHS, 1_382_767_200_000)
    command.downgrade(config, "0008")
    with engine.connect() as conn:
        assert conn.execute(read).scalars().all() == [0, 1_382_767_200_000]
    engine.dispose()


def test_two_processes_that_start_at_once_upgrade_a_database_once(database_url: str) -> None:
    command_line = [
        sys.executable,
        "-m",
        "monitor.cli",
        "db",
        "upgrade",
        "--database",
        database_url,
    ]
    both = [
        subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    for process in both:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0, said
    engine = storage.create(database_url)
    storage.check_schema(engine)
    engine.dispose()


def test_what_stood_beside_a_finding_stands_in_its_row_and_goes_back(database_url: str) -> None:
    """One of them was measured, one had no values, one was judged before anything was."""
    engine = storage.create(database_url)
    config = storage.alembic_config(engine)
    command.upgrade(config, "0019")
    key = "version_id, length, start_ms, segment, feature"
    place = "1, 'hour', :start_ms, 'all', 'x'"
    beside = "SELECT start_ms, psi_star, chi_square_df, parts FROM finding_measure ORDER BY 1"
    with storage.transaction(engine) as conn:
        for start_ms in (3, 1, 2):
            conn.execute(
                sa.text(
                    f'INSERT INTO finding ({key}, "rows", n, psi, verdict, marks, exceeds, '
                    f"is_alarming) VALUES ({place}, 9, 9, 0.25, 'ok', 'psi=cc', '', true)"
                ),
                {"start_ms": start_ms},
            )
        for start_ms, df in ((1, 4), (3, None)):
            conn.execute(
                sa.text(
                    f"INSERT INTO finding_measure ({key}, psi_star, chi_square_df, parts) "
                    f"VALUES ({place}, 0.1, :df, '[0.2,0.05]')"
                ),
                {"start_ms": start_ms, "df": df},
            )
    storage.upgrade(engine)
    f = t.finding.c
    whole = sa.select(
        f.start_ms, f.n, f.psi, f.marks, f.is_alarming, f.psi_star, f.chi_square_df, f.parts
    ).order_by(f.start_ms)
    with engine.connect() as conn:
        assert [tuple(row) for row in conn.execute(whole)] == [
            (1, 9, 0.25, "psi=cc", True, 0.1, 4, "[0.2,0.05]"),
            (2, 9, 0.25, "psi=cc", True, None, None, None),
            (3, 9, 0.25, "psi=cc", True, 0.1, None, "[0.2,0.05]"),
        ]
    command.downgrade(config, "0019")
    with engine.connect() as conn:
        assert [tuple(row) for row in conn.execute(sa.text(beside))] == [
            (1, 0.1, 4, "[0.2,0.05]"), (3, 0.1, None, "[0.2,0.05]"),
        ]  # fmt: skip
        assert conn.execute(sa.text("SELECT count(*) FROM finding")).scalar() == 3
        (index,) = sa.inspect(conn).get_indexes("finding")
        assert index["name"] == "ix_finding_feature"
    engine.dispose()
