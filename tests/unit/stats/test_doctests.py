"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import driftline.stats

MODULES = [module.name for module in pkgutil.iter_modules(driftline.stats.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_gives_what_it_says(name):
    module = importlib.import_module(f"driftline.stats.{name}")
    assert doctest.testmod(module).failed == 0
