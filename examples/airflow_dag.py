"""An Airflow DAG that retrains a model when Driftline asks; for Airflow 3 and 2.11.

Put it into the DAGs folder, with retrain.py beside it, and tell Driftline of it:

driftline endpoint add retrainer https://airflow.example --kind airflow --dag driftline_retrain \
    --user driftline --secret password.txt
driftline endpoint test retrainer

Driftline follows the run: one that fails, is marked as failed or is deleted fails the request, so
nothing here needs to report it. Retries are Airflow's; a run counts when it is over.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

try:
    from airflow.sdk import dag, get_current_context, task
except ImportError:  # Airflow 2
    from airflow.decorators import dag, task
    from airflow.operators.python import get_current_context


@dag(
    dag_id="driftline_retrain",
    schedule=None,
    catchup=False,
    # Two requests are of two models: they may be trained side by side.
    max_active_runs=2,
    # A paused DAG takes a request and does nothing about it until somebody unpauses it.
    is_paused_upon_creation=False,
    tags=["driftline"],
)
def driftline_retrain() -> None:
    """Train, register, report."""

    @task(retries=2, retry_delay=timedelta(minutes=5))
    def train() -> str | None:
        # Here, and not above: Airflow reads this file again and again.
        from retrain import retrain

        asked: dict[str, Any] = get_current_context()["dag_run"].conf
        return retrain(asked)

    train()


driftline_retrain()
