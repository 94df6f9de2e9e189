"""Alembic's migrations; they ship inside the wheel (`driftline db upgrade` runs them)."""
