"""The checks of a learner's values, one rung each, in words."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dojo.testing.adapters.arrays import Arrays
from dojo.testing.adapters.values import TOLERANCES, CheckFailed, check_values, described, listed


class Checks(Arrays):
    """Each check raises CheckFailed. `of` is what the specification calls the value."""

    tensor_name: str

    def check_tensor(self, actual: Any, of: str = "result") -> None:
        """The value is a tensor of this framework."""
        if actual is None:
            raise CheckFailed(f"{of}: nothing came back. Is a return statement missing?")
        if not self.is_tensor(actual):
            raise CheckFailed(f"{of}: expected a {self.tensor_name}, got {described(actual)}.")

    def check_shape(self, actual: Any, shape: Sequence[int], of: str = "result") -> None:
        """The value is a tensor of this shape."""
        self.check_tensor(actual, of)
        if tuple(actual.shape) != tuple(shape):
            raise CheckFailed(f"{of}: expected the shape {tuple(shape)}, got {tuple(actual.shape)}.")

    def check_dtype(self, actual: Any, dtype: str, of: str = "result") -> None:
        """The value is a tensor of this dtype, under NumPy's name: "float32", "int64", "bool", "bfloat16"."""
        self.check_tensor(actual, of)
        if self.dtype_name(actual) != dtype:
            raise CheckFailed(f"{of}: expected the dtype {dtype}, got {self.dtype_name(actual)}.", self.numpy(actual))

    def check_device(self, actual: Any, of: str = "result") -> None:
        """The tensor, or a model's variable, lies on the adapter's device."""
        self.check_tensor(actual, of)
        found = self.device_of(actual)
        if self.device not in found.lower():
            raise CheckFailed(f"{of}: expected a tensor on the device {self.device}, got one on {found}.")

    def check_unchanged(self, actual: Any, before: np.ndarray, of: str = "argument") -> None:
        """An argument was not written to: it still holds the values of `before`, cast to its dtype."""
        now = self.numpy(actual)
        if not np.array_equal(now, np.asarray(before).astype(now.dtype), equal_nan=now.dtype.kind in "fc"):
            raise CheckFailed(f"{of}: your code wrote into its argument. Work on a copy.", now)

    def check_all_unchanged(self, actual: Iterable[Any], before: Iterable[np.ndarray], names: Sequence[str]) -> None:
        """`check_unchanged` for several arguments, each with its name."""
        for tensor, array, name in zip(actual, before, names, strict=True):
            self.check_unchanged(tensor, array, of=name)

    def close(
        self,
        actual: Any,
        expected: Any,
        of: str = "result",
        dtype: str | None = None,
        rtol: float | None = None,
        atol: float | None = None,
    ) -> None:
        """The ladder: a tensor of this framework, its shape, dtype, finiteness and values; stops at the first break.

        Args:
            actual: what the learner's code returned.
            expected: what the oracle says, an array or a number.
            of: what the value is called in the specification.
            dtype: the dtype demanded. By default float32 for floats, any integer for integers, bool for bools.
            rtol, atol: an entry may differ by atol + rtol·|expected|. By default TOLERANCES of the dtype.
        """
        expected = np.asarray(expected)
        self.check_shape(actual, expected.shape, of)
        self._check_kind(actual, expected, of, dtype)
        check_values(self.numpy(actual), expected, of, *self._tolerances(actual, rtol, atol))

    def close_all(
        self,
        found: Any,
        expected: Iterable[Any],
        names: Sequence[str],
        dtype: str | None = None,
        rtol: float | None = None,
        atol: float | None = None,
    ) -> None:
        """`close` for several results at once, in order; another number of values than names is told first.

        Args:
            found: what the learner's code returned, a tuple or a list.
            expected: what the oracle says, an array or a number for each name.
            names: what the specification calls each value.
            dtype, rtol, atol: as in `close`, for all.
        """
        for actual, right, name in zip(self.unpack(found, names), expected, names, strict=True):
            self.close(actual, right, name, dtype, rtol, atol)

    def unpack(self, found: Any, names: Sequence[str]) -> list[Any]:
        """The values of a tuple or list that must have one for each name."""
        wanted = f"expected {len(names)} value{'s' * (len(names) != 1)}, {listed(names)}"
        if found is None:
            raise CheckFailed(f"{wanted}, but nothing came back. Is a return statement missing?")
        if self.is_tensor(found):
            raise CheckFailed(f"{wanted}, got one {self.tensor_name}.", self.numpy(found))
        if not isinstance(found, Iterable) or isinstance(found, str | dict) or hasattr(found, "shape"):
            raise CheckFailed(f"{wanted}, got {described(found)}.")
        values = list(found)
        if len(values) != len(names):
            raise CheckFailed(f"{wanted}, got {len(values)}.")
        return values

    def _check_kind(self, actual: Any, expected: np.ndarray, of: str, dtype: str | None) -> None:
        found = self.dtype_name(actual)
        if dtype is None and expected.dtype.kind in "iu":
            if "int" not in found:
                raise CheckFailed(f"{of}: expected an integer dtype, got {found}.", self.numpy(actual))
            return
        defaults = {"f": "float32", "c": "complex64", "b": "bool"}
        self.check_dtype(actual, dtype or defaults[expected.dtype.kind], of)

    def _tolerances(self, actual: Any, rtol: float | None, atol: float | None) -> tuple[float, float]:
        usual = TOLERANCES.get(self.dtype_name(actual), (0, 0))
        return usual[0] if rtol is None else rtol, usual[1] if atol is None else atol
