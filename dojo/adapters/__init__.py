"""One adapter per framework: all that dojo and the tests of the katas know about it.

An adapter is opened by name, and its framework is imported then and not before. A further framework is one
new module here with a class `Adapter`, and its name in `dojo.catalog.FRAMEWORKS`.
"""

import importlib
from functools import cache
from importlib.util import find_spec

from dojo.adapters.base import CheckFailed, FrameworkAdapter

__all__ = ["CheckFailed", "FrameworkAdapter", "is_installed", "open_adapter"]


@cache
def open_adapter(framework: str) -> FrameworkAdapter:
    """The adapter of 'numpy', 'torch' or 'tensorflow', on the CPU. Imports the framework."""
    return importlib.import_module(f"dojo.adapters.{framework}_adapter").Adapter()


@cache
def is_installed(framework: str) -> bool:
    """Whether the framework can be imported; found without importing it."""
    return find_spec(framework) is not None
