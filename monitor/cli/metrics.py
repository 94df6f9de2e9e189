"""`driftline metrics`: what Prometheus and Grafana are given to watch Driftline itself."""

from __future__ import annotations

from importlib import resources

import typer

from monitor.cli import options

app = typer.Typer(
    help="Alert rules and a dashboard for Prometheus and Grafana.", no_args_is_help=True
)


@app.command()
def rules() -> None:
    """Print alert rules for Prometheus (YAML)."""
    options.echo(_shipped("rules.yaml"))


@app.command()
def dashboard() -> None:
    """Print a dashboard for Grafana (JSON)."""
    options.echo(_shipped("dashboard.json"))


@app.command()
def names() -> None:
    """Print every series: its name, kind, labels, and what it says."""
    from monitor.metrics.names import FAMILIES

    for name, family in FAMILIES.items():
        labels = f"{{{','.join(family.labels)}}}" if family.labels else ""
        options.echo(f"{name}{labels}  {family.kind}, {family.where}: {family.help}")


def _shipped(name: str) -> str:
    text = resources.files("monitor.metrics").joinpath(name).read_text(encoding="utf-8")
    return text.rstrip("\n")
