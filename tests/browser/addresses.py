"""Where every page of a living database stands, whatever its things are called."""

from __future__ import annotations

import sqlalchemy as sa
from hostile import Names
from sqlalchemy.engine import Engine

from dashboard import address
from monitor.storage import schema as t


def every_page(engine: Engine, names: Names) -> dict[str, str]:
    """The address of each page in each of its states, by a name for pictures and messages."""
    m, f, n = address.model, address.feature, names
    return one_of_each(engine, names) | {
        "model-table": m(n.model, view="table"),
        "model-hours": m(n.model, window="hour"),
        "model-before": m(n.model, version=n.version),
        "model-segment": m(n.model, segment=segment(engine)),
        "model-uncalibrated": m(n.timeless),
        "model-collecting": m(n.collecting),
        "feature-blind": f(n.model, n.reading),
        "feature-missing": f(n.model, n.temperature, version=n.version),
        "feature-empty": f(n.model, n.promo),
        "incident-over": address.incident(incident(engine, names.temperature)),
        "retrain-running": "/retrains/5",
        "retrain-dry": "/retrains/1",
    }


def one_of_each(engine: Engine, names: Names) -> dict[str, str]:
    """The address of each kind of page."""
    return {
        "overview": "/",
        "model": address.model(names.model),
        "feature-numeric": address.feature(names.model, names.weight),
        "feature-category": address.feature(names.model, names.carrier),
        "incidents": "/incidents",
        "incident": address.incident(incident(engine, names.weight)),
        "retrain": "/retrains/2",
        "pipeline": "/pipeline",
        "letter": letter(engine),
        "deliveries": "/deliveries",
        "delivery": "/deliveries?delivery=1",
        "references": "/references",
        "reference": address.reference(reference(engine, names)),
    }


def missing_pages(names: Names) -> dict[str, str]:
    """Addresses of what is not there."""
    return {
        "no-model": address.model(names.model[:-1] + "?"),
        "no-feature": address.feature(names.model, names.weight[:-1]),
        "no-incident": "/incidents/999999",
        "no-number": "/incidents/twelve",
        "no-reference": "/references/beef",
        "no-retrain": "/retrains/999999",
        "nowhere": "/nowhere/at/all",
    }


def segment(engine: Engine) -> str:
    """A segment with windows of its own."""
    query = sa.select(t.window.c.segment).where(
        t.window.c.segment != "all", t.window.c.length == "day"
    )
    with engine.connect() as conn:
        return str(conn.execute(query.order_by(t.window.c.rows.desc()).limit(1)).scalar_one())


def incident(engine: Engine, feature: str) -> int:
    """The first incident of a feature over all rows."""
    query = sa.select(sa.func.min(t.incident.c.number)).where(
        t.incident.c.feature == feature, t.incident.c.segment == "all"
    )
    with engine.connect() as conn:
        return int(conn.execute(query).scalar_one())


def letter(engine: Engine, reason: str = "bad_json") -> str:
    """The pipeline's page with a dead letter opened."""
    c = t.dead_letter.c
    with engine.connect() as conn:
        row = conn.execute(
            sa.select(c.stream_id, c.partition, c.offset, c.line).where(c.reason == reason)
        ).first()
    assert row is not None
    return address.to("pipeline", letter=".".join(map(str, row)))


def reference(engine: Engine, names: Names) -> str:
    """The digest of the main model's newest reference."""
    query = (
        sa.select(t.binding.c.reference_digest)
        .join(t.model_version, t.model_version.c.id == t.binding.c.version_id)
        .where(t.model_version.c.name == names.successor)
    )
    with engine.connect() as conn:
        return str(conn.execute(query).scalars().first())
