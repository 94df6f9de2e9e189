"""On Apache Kafka and PostgreSQL: the database away under a fast producer, consumers replaced.

The control keeps what it cannot write: its memory must leave the bound.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import apache_kafka
import postgres
import pytest
from pressure import GROWTH_MB, outage, rolling

# kafka-python leaves sockets of its clients to the garbage collector.
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
    made = apache_kafka.start()
    yield made
    if not isinstance(made, str):
        made.remove()


def owned(databases: postgres.Databases) -> postgres.Databases:
    if databases.server is None:
        pytest.skip("somebody else's PostgreSQL is not ours to stop")
    return databases


def test_without_a_database_memory_is_bounded_and_membership_kept(
    broker: apache_kafka.Broker | str, databases: postgres.Databases
) -> None:
    report = outage(broker, owned(databases), outage_s=20, per_second=1_000)
    print(report.line())
    assert report.growth_mb < GROWTH_MB
    assert report.was_unready
    assert report.is_same_member
    assert report.rebalances == 0
    assert report.behind > 1_000
    assert report.wrong == []
    assert (report.lost, report.doubled) == (0, 0)


def test_a_consumer_that_keeps_what_it_cannot_write_leaves_the_bound(
    broker: apache_kafka.Broker | str, databases: postgres.Databases
) -> None:
    report = outage(broker, owned(databases), outage_s=20, per_second=1_000, is_unbounded=True)
    print(report.line())
    assert report.growth_mb > GROWTH_MB


def test_four_consumers_replaced_in_turn_lose_and_double_nothing(
    broker: apache_kafka.Broker | str, databases: postgres.Databases
) -> None:
    report = rolling(broker, databases)
    print(report.line())
    assert report.codes == [0, 0, 0, 0]
    assert report.records > 2_000
    assert report.wrong == []
    assert (report.lost, report.doubled) == (0, 0)
    # All of them were never away together.
    assert report.still_s < 10
