"""What tells Driftline of promotions from outside, and what of it waits."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text

from monitor.storage.schema.columns import Id, String, metadata

# Where MLflow tells of its aliases; what it sends is signed with `secret`.
hook = Table(
    "hook",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", String(100), nullable=False, unique=True),
    Column("kind", String(16), nullable=False),  # mlflow
    Column("model", String(200), nullable=False),  # Driftline's
    Column("registered", String(200), nullable=False),  # MLflow's
    Column("alias", String(200), nullable=False),
    Column("secret", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("accepted", Integer, nullable=False, server_default="0"),
    Column("accepted_ms", BigInteger),
    Column("refused", Integer, nullable=False, server_default="0"),
    Column("refused_ms", BigInteger),
    Column("refused_why", Text),
    # A flood of forged deliveries is audited once a minute.
    Column("audited_ms", BigInteger),
    sqlite_autoincrement=True,  # what came by a removed one is none of its successor's
)

# What came by a hook, for longer than its signature is believed.
hook_delivery = Table(
    "hook_delivery",
    metadata,
    Column("hook_id", BigInteger, primary_key=True),
    Column("delivery_id", String(200), primary_key=True),
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("outcome", String(16), nullable=False),
    Column("words", Text, nullable=False),
)

# A version that was promoted before it has a reference; the last one of each model.
promotion_wanted = Table(
    "promotion_wanted",
    metadata,
    Column("id", Id, primary_key=True),
    Column("model", String(200), nullable=False, unique=True),
    Column("version", String(200), nullable=False),
    Column("source", String(16), nullable=False),
    Column("actor", String(200), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    sqlite_autoincrement=True,  # incidents name its number
)
