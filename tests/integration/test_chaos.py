"""Apache Kafka and PostgreSQL, members that die, sleep and are cut off inside their calls.

The log is counted offline at the end; the control, whose loop lacks the guard, must miscount. That
of librdkafka takes more sleepers than a test should: it is in `make chaos`, and told by one sleeper
in `test_kafka_sleeper`.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import apache_kafka
import postgres
import pytest
from chaos import Chaos
from chaos_report import Report
from stage import both_clients

from monitor.storage import engine as storage

SEED = 20_261_127
LIMIT_S = 240.0
# How often members of a client sleep: each sleep costs a rebalance, and librdkafka's are slower.
SLEEPERS = {"kafka-python": 14, "confluent": 8}

# kafka-python leaves the sockets of a broker that was killed to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Sockets that a test left behind are its own, and not the next test's."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def broker() -> Iterator[apache_kafka.Broker | str]:
    """A broker of this module's own: it is restarted."""
    made = apache_kafka.start()
    yield made
    if not isinstance(made, str):
        made.remove()


def told(chaos: Chaos, faults: int) -> Report:
    report = chaos.run(faults, LIMIT_S)
    print(report.line())
    assert report.faults.total() >= faults, report.faults
    assert report.crashed == []
    assert report.records > 1_000
    return report


def test_faults_of_every_kind_lose_and_double_nothing(
    broker: apache_kafka.Broker | str, databases: postgres.Databases
) -> None:
    chaos = Chaos(broker, databases.copy_of("empty"), seed=SEED, server=databases.server)
    report = told(chaos, 45)
    assert report.wrong == []
    assert (report.lost, report.doubled) == (0, 0)
    deeds = {how.split()[0] for how in report.faults}
    assert {"dies", "stops", "fails", "is"} <= deeds, "not every kind happened"


@both_clients
def test_who_wakes_up_with_records_that_others_have_counted_is_fenced(
    broker: apache_kafka.Broker | str, databases: postgres.Databases, client: str
) -> None:
    chaos = Chaos(broker, databases.copy_of("empty"), seed=SEED, zombies=True, client=client)
    report = told(chaos, SLEEPERS[client])
    assert report.wrong == []
    assert report.fenced > 0, "the guard was never asked"


def test_without_the_guard_the_same_zombies_count_twice(
    broker: apache_kafka.Broker | str, databases: postgres.Databases
) -> None:
    url = databases.copy_of("empty")
    report = Chaos(broker, url, seed=SEED, zombies=True, control="unguarded").run(14, LIMIT_S)
    print(report.line())
    assert report.doubled > 0


def test_on_sqlite_too(broker: apache_kafka.Broker | str, database_url: str) -> None:
    storage.upgrade(storage.create(database_url))
    report = told(Chaos(broker, database_url, seed=SEED), 15)
    assert report.wrong == []
    assert (report.lost, report.doubled) == (0, 0)


def test_with_librdkafka_too(
    broker: apache_kafka.Broker | str, databases: postgres.Databases
) -> None:
    url = databases.copy_of("empty")
    report = told(Chaos(broker, url, seed=SEED, server=databases.server, client="confluent"), 20)
    assert report.wrong == []
    assert (report.lost, report.doubled) == (0, 0)
