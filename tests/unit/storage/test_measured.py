"""What the service tells of itself is read alike from both databases."""

from __future__ import annotations

import pytest
from fake_source import HOUR_MS, START_MS, prediction
from ingest_rig import Rig
from simulator import small_reference
from sqlalchemy.engine import Engine

from monitor.evaluate import EvaluateSettings, Evaluator
from monitor.storage import registry
from monitor.storage.engine import reading, transaction
from monitor.storage.reads.measured import measured


@pytest.mark.both_databases
def test_positions_outcomes_and_delays_are_of_what_was_counted(engine: Engine) -> None:
    with transaction(engine) as conn:
        registry.register_reference(conn, small_reference(), model="m", version="1", now_ms=1)
    rig = Rig(engine, partitions=2)
    for i in range(40):
        rig.topic.append(prediction(i), i % 2)
    rig.topic.append(prediction(1, model="stranger"))
    rig.topic.append(b"{")
    rig.settle()
    Evaluator(engine, EvaluateSettings(""), now_ms=rig.clock.now_ms).step()
    with reading(engine) as conn:
        found = measured(conn)
    assert [(p.partition, p.lag) for p in found.positions] == [(0, 0), (1, 0)]
    assert found.outcomes["m", "prediction"] == 40
    assert found.outcomes["", "unmonitored"] == 1
    assert found.outcomes["", "dead:bad_json"] == 1
    (version,) = found.versions
    assert (version.model, version.version) == ("m", "1")
    assert version.monitor is not None
    assert len(version.partitions) == 2
    assert version.judged_to_ms is not None
    assert START_MS - HOUR_MS < version.judged_to_ms < START_MS + 41 * HOUR_MS
    assert found.incidents == {("m", "warning"): 0, ("m", "critical"): 0}
    assert found.deliveries == {"pending": 0, "delivered": 0, "dead": 0, "cancelled": 0}
    assert found.due_ms is None
    assert found.gaps == {}
