"""Our series as families of prometheus_client, and what a scrape is answered."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from driftline import __version__
from monitor.metrics.names import FAMILIES


def family(name: str, samples: Mapping[Any, float]) -> Metric:
    """Return a gauge or a counter of the table; `samples` are by the values of its labels.

    Examples
    --------
    >>> family("driftline_deliveries", {("pending",): 2}).samples[0].labels
    {'state': 'pending'}
    """
    known = FAMILIES[name]
    kind: Any = CounterMetricFamily if known.kind == "counter" else GaugeMetricFamily
    found: Metric = kind(name, known.help, labels=known.labels)
    for labels, value in samples.items():
        found.add_metric(labels, value)  # type: ignore[attr-defined]
    return found


def build_info(role: str) -> Metric:
    """Return what runs here."""
    return family("driftline_build_info", {(role, __version__, platform.python_version()): 1.0})


class Only(Collector):
    """A collector of nothing but what a function returns."""

    def __init__(self, collect: Any) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        """Return the families as they are now."""
        found: Iterable[Metric] = self._collect()
        return found

    def describe(self) -> Iterable[Metric]:
        """Return nothing: no scrape is made to learn the names."""
        return []


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return the series in the format that an `Accept` header asks for, and its media type."""
    encode, kind = choose_encoder(accept)
    return encode(registry), kind
