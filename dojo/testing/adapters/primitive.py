"""A primitive: what a test may ask of every framework, and each adapter writes for its own."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from dojo.errors import DojoError
from dojo.files import shown


def primitive(method: Callable) -> Callable:
    """Marks a method of a base class. Where an adapter has not written it, whoever asks for it is told so."""

    @wraps(method)
    def missing(self: Any, *args: Any, **options: Any) -> Any:
        file = shown(Path(sys.modules[type(self).__module__].__file__))
        raise DojoError(f"the adapter of {self.name} has no {method.__name__} yet: write it in {file}.")

    return missing
