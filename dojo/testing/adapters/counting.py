"""Efficiency without a clock: operations and bytes are counted."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dojo.testing.adapters.arrays import Arrays
from dojo.testing.adapters.primitive import primitive
from dojo.testing.adapters.values import CheckFailed


class Counting(Arrays):
    """What a call costs, the same on every machine."""

    @primitive
    def count_ops(self, f: Callable[..., Any], *args: Any) -> int:
        """How many operations f(*args) dispatches; in NumPy, how many lines of Python it runs."""

    def operations(self, f: Callable[..., Any], *args: Any) -> list[str]:
        """The framework's own names of all operations that f(*args) dispatches, in order, bookkeeping included."""
        raise TypeError(f"{type(self).__module__} cannot name operations: use count_ops")

    @primitive
    def peak_bytes(self, f: Callable[..., Any], *args: Any) -> int:
        """The most bytes alive at once among the tensors that f(*args) makes."""

    def check_no_loops(
        self, f: Callable[..., Any], small: Sequence[Any], large: Sequence[Any], of: str | None = None
    ) -> None:
        """f(*large) takes no more operations than f(*small): nothing loops over what is larger.

        Args:
            f: the learner's function. It is called once with each.
            small, large: its arguments. Arrays, also in lists, tuples and dicts, become tensors (floats float32); the
                rest, such as numbers, None and tensors, is passed on.
            of: what to call the function; by default its own name.
        """
        few, many = (self.count_ops(f, *map(self._converted, arguments)) for arguments in (small, large))
        if many > few:
            name = of or getattr(f, "__name__", "<lambda>").replace("<lambda>", "your code")
            raise CheckFailed(
                f"{name} takes {few} operations for inputs of the shapes {_shapes(small)}, and {many} for "
                f"{_shapes(large)}. Is there a loop? Let one operation work on all entries."
            )

    def _converted(self, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return self.array(value)
        if isinstance(value, dict):
            return {key: self._converted(part) for key, part in value.items()}
        return type(value)(map(self._converted, value)) if type(value) in (list, tuple) else value


def _shapes(values: Any) -> str:
    """'(2, 3), (3,)': the shapes of all that has one."""
    if isinstance(values, dict):
        values = values.values()
    found = [
        str(tuple(value.shape)) if hasattr(value, "shape") else _shapes(value)
        for value in values
        if hasattr(value, "shape") or isinstance(value, list | tuple | dict)
    ]
    return ", ".join(found) or "()"
