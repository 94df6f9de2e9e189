"""How Alembic runs here: on the engine it is handed, in one transaction."""

from __future__ import annotations

from alembic import context

from monitor.storage import engine as storage
from monitor.storage.schema import metadata

engine = context.config.attributes.get("engine")
if engine is None:  # run by hand (`alembic -c ... revision`): the default database
    engine = storage.create()

with storage.transaction(engine) as connection:
    storage.without_timeouts(connection)
    storage.take_turns(connection, "migrate")
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
