"""Retention: what was counted and judged long ago takes less room, and nothing of it is lost.

Hours become days (exact sums) once no window of theirs can be judged again. Findings of hours,
whose worst by day is kept for good, and dead letters, which stay counted, expire. What a replay
counted that nobody can go on with is deleted. It runs beside ingest and evaluation, one small
transaction at a time: see `keeper`.
"""

from monitor.retention.keeper import Did, Keeper
from monitor.retention.policy import LEAST, Policy

__all__ = ["LEAST", "Did", "Keeper", "Policy"]
