"""One adapter per framework: all that dojo and the tests of the katas know about it.

An adapter is opened by name, and its framework is imported then and not before. A further framework is one
new module here with a class `Adapter`, and a line in `dojo.curriculum.frameworks.PACKAGES`.
"""

import gc
import importlib
from functools import cache

from dojo.testing.adapters.base import CheckFailed, FrameworkAdapter

__all__ = ["CheckFailed", "FrameworkAdapter", "open_adapter"]


@cache
def open_adapter(framework: str) -> FrameworkAdapter:
    """The adapter of 'numpy', 'torch' or 'tensorflow', on the CPU. Imports the framework.

    What an import makes stays until the process ends: to look for garbage there, during the import or ever after,
    costs a tenth of a second each time and finds none.
    """
    gc.disable()
    try:
        module = importlib.import_module(f"dojo.testing.adapters.{framework}_adapter")
    finally:
        gc.enable()
    gc.freeze()
    return module.Adapter()
