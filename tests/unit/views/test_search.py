"""What the search finds, and by which number."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy.engine import Engine

from monitor.storage import engine as storage
from monitor.storage import reads
from monitor.storage.engine import reading
from monitor.views.episodes import group
from monitor.views.search import search
from tests import seed_database


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = storage.create(f"sqlite:///{tmp_path_factory.mktemp('search') / 'seed.db'}")
    storage.upgrade(engine)
    seed_database.seed(engine)
    yield engine
    engine.dispose()


def test_an_incident_is_found_by_the_number_that_lists_show(seeded: Engine) -> None:
    with reading(seeded) as conn:
        groups = [one for one in group(reads.incidents(conn)) if len(one.members) > 1]
        assert groups
        for one in groups:
            hits = [hit.number for hit in search(conn, one.members[-1].feature)]
            assert one.number in hits
            assert one.members[-1].number not in hits
            assert len(hits) - hits.count(None) == len(set(hits) - {None})


def test_a_number_that_was_typed_finds_what_has_it(seeded: Engine) -> None:
    with reading(seeded) as conn:
        one = next(one for one in group(reads.incidents(conn)) if len(one.members) > 1)
        number = one.members[-1].number
        assert search(conn, f"#{number}")[0].number == number
        assert search(conn, "#987654") == []
