"""What every adapter offers to a test: arrays in and out, checks in words, gradients, counts."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# (relative, absolute) tolerance of a value by its dtype: a few roundings of a short sum.
TOLERANCES = {
    "float16": (5e-3, 5e-3),
    "bfloat16": (4e-2, 4e-2),
    "float32": (1e-4, 1e-5),
    "float64": (1e-8, 1e-10),
    "complex64": (1e-4, 1e-5),
    "complex128": (1e-8, 1e-10),
}
STEP = 1e-5  # of a finite difference, in float64: error about 1e-10


class CheckFailed(AssertionError):
    """A check that the learner's value did not pass, in words; `actual` is the value, where its entries are wrong."""

    def __init__(self, message: str, actual: np.ndarray | None = None):
        super().__init__(message)
        self.actual = actual


class LayerWeights(dict):
    """A layer's weights, or whatever stands for each, by name; one that is asked for and not there is told in words."""

    def __init__(self, layer: Any, weights: dict[str, Any]):
        super().__init__(weights)
        self.layer = type(layer).__name__

    def __missing__(self, name: str) -> Any:
        raise CheckFailed(f"your {self.layer} has no {name}; its weights are {', '.join(self) or 'none'}.")


class FrameworkAdapter(ABC):
    """A framework behind one set of names. The concrete adapters hold all that is special to each."""

    name: str
    differentiates = True

    def __init__(self, device: str = "cpu"):
        self.device = device

    # ---------------------------------------------------------------- arrays in and out

    def array(self, x: Any, dtype: str | None = None) -> Any:
        """A tensor of this framework with the values of `x`: floats become float32 unless `dtype` says otherwise."""
        x = np.asarray(x)
        if dtype is None and x.dtype.kind == "f":
            dtype = "float32"
        return self._tensor(x, dtype or x.dtype.name)

    @abstractmethod
    def _tensor(self, x: np.ndarray, dtype: str) -> Any:
        """A new tensor on the adapter's device; it shares no memory with `x`."""

    @abstractmethod
    def numpy(self, t: Any) -> np.ndarray:
        """The values of a tensor as a new array; bfloat16, which NumPy lacks, becomes float32."""

    def images(self, x: np.ndarray) -> Any:
        """A tensor in the framework's own image layout, from (batch, height, width, channel)."""
        return self.array(x)

    def images_numpy(self, t: Any) -> np.ndarray:
        """(batch, height, width, channel) from a tensor in the framework's own image layout."""
        return self.numpy(t)

    @abstractmethod
    def is_tensor(self, value: Any) -> bool: ...

    @abstractmethod
    def dtype_name(self, t: Any) -> str: ...

    # ---------------------------------------------------------------- checks, one rung each

    def check_tensor(self, actual: Any, of: str = "result") -> None:
        """The value is a tensor of this framework."""
        if actual is None:
            raise CheckFailed(f"{of}: nothing came back. Is a return statement missing?")
        if not self.is_tensor(actual):
            raise CheckFailed(f"{of}: expected a {self.tensor_name}, got {_described(actual)}.")

    def check_shape(self, actual: Any, shape: Sequence[int], of: str = "result") -> None:
        self.check_tensor(actual, of)
        if tuple(actual.shape) != tuple(shape):
            raise CheckFailed(f"{of}: expected the shape {tuple(shape)}, got {tuple(actual.shape)}.")

    def check_dtype(self, actual: Any, dtype: str, of: str = "result") -> None:
        self.check_tensor(actual, of)
        if self.dtype_name(actual) != dtype:
            raise CheckFailed(f"{of}: expected the dtype {dtype}, got {self.dtype_name(actual)}.", self.numpy(actual))

    def check_device(self, actual: Any, of: str = "result") -> None:
        """The tensor lies on the adapter's device."""
        self.check_tensor(actual, of)
        if self.device not in str(actual.device).lower():
            raise CheckFailed(f"{of}: expected a tensor on the device {self.device}, got one on {actual.device}.")

    def check_unchanged(self, actual: Any, before: np.ndarray, of: str = "argument") -> None:
        """An argument was not written to: it still holds the values of `before`, cast to its dtype."""
        now = self.numpy(actual)
        if not np.array_equal(now, np.asarray(before).astype(now.dtype), equal_nan=now.dtype.kind in "fc"):
            raise CheckFailed(f"{of}: your code wrote into its argument. Work on a copy.", now)

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

    # ---------------------------------------------------------------- gradients

    def check_gradients(
        self,
        f: Callable[..., Any],
        oracle: Callable[..., np.ndarray],
        inputs: Sequence[np.ndarray],
        names: Sequence[str] | None = None,
        rtol: float = 1e-5,
        atol: float = 1e-7,
        directions: int = 3,
    ) -> None:
        """The framework's gradients through `f` agree with finite differences of `oracle`.

        Both are contracted with one random cotangent, and compared along random directions in float64. Integer
        and boolean inputs are passed on and not differentiated.

        Args:
            f: the learner's function of tensors, returning one tensor.
            oracle: the same function of float64 arrays.
            inputs: an array per argument.
            names: what the specification calls each argument.
        """
        names = names or [f"argument {index}" for index in range(len(inputs))]
        rng = np.random.default_rng(0)
        arrays = [x.astype("float64") if x.dtype.kind == "f" else x for x in map(np.asarray, inputs)]
        cotangent = rng.standard_normal(np.shape(oracle(*arrays)))
        gradients = self._gradients(f, arrays, cotangent)
        for index, (name, array, gradient) in enumerate(zip(names, arrays, gradients, strict=True)):
            if array.dtype.kind != "f":
                continue
            if gradient is None:
                raise CheckFailed(f"no gradient reaches {name}. Which operation cuts it off?")
            _check_finite(gradient, np.zeros_like(gradient), f"gradient of {name}")
            for _ in range(directions):
                direction = rng.standard_normal(array.shape)
                ends = [
                    np.sum(cotangent * oracle(*arrays[:index], array + sign * STEP * direction, *arrays[index + 1 :]))
                    for sign in (1, -1)
                ]
                expected, actual = (ends[0] - ends[1]) / (2 * STEP), np.sum(gradient * direction)
                if not abs(actual - expected) <= atol + rtol * max(abs(expected), np.linalg.norm(gradient)):
                    raise CheckFailed(
                        f"gradient of {name}: along a random direction it is {expected:.6g} by finite differences "
                        f"of the formula, but yours gives {actual:.6g}.",
                        gradient,
                    )

    @abstractmethod
    def _gradients(
        self, f: Callable[..., Any], arrays: list[np.ndarray], cotangent: np.ndarray
    ) -> list[np.ndarray | None]:
        """The gradient of sum(cotangent · f(arrays)) for each float array; None where no gradient arrives."""

    # ---------------------------------------------------------------- layers and models

    @abstractmethod
    def weights(self, layer: Any) -> LayerWeights:
        """The weights of one of the framework's standard layers, in one layout for all frameworks.

        dense: kernel (in, out), bias. Convolution: kernel (kh, kw, in / groups, out), bias. Simple recurrent: kernel
        (in, units), recurrent (units, units), bias. LSTM: the same with 4·units columns, gates in the order input,
        forget, candidate, output. GRU: 3·units columns, gates in the order reset, update, candidate, with bias and
        recurrent_bias apart. Normalisation: scale, shift and, where kept, mean and variance. Embedding: table.
        """

    @abstractmethod
    def set_weights(self, layer: Any, weights: dict[str, np.ndarray]) -> None:
        """The inverse of `weights`: writes the arrays into a built layer."""

    @abstractmethod
    def call(self, layer: Any, *x: Any, training: bool = False) -> Any:
        """The layer's output in training or in evaluation mode."""

    @abstractmethod
    def parameters(self, model: Any) -> dict[str, Any]:
        """Name to trainable tensor."""

    def wake(self) -> None:  # noqa: B027 - most have nothing to start
        """Start what the framework would start at its first operation, without a word; never before a fork."""

    @abstractmethod
    def seed(self, n: int) -> None:
        """Seed the framework's own random numbers."""

    # ---------------------------------------------------------------- efficiency without a clock

    @abstractmethod
    def count_ops(self, f: Callable[..., Any], *args: Any) -> int:
        """How many operations f(*args) dispatches; in NumPy, how many lines of Python it runs."""

    @abstractmethod
    def peak_bytes(self, f: Callable[..., Any], *args: Any) -> int:
        """The most bytes alive at once among the tensors that f(*args) makes."""

    # ---------------------------------------------------------------- devices

    def on_accelerator(self) -> "FrameworkAdapter | None":
        """The same adapter on this machine's GPU; None where there is none."""
        return None

    @property
    @abstractmethod
    def tensor_name(self) -> str:
        """What the framework calls its tensors."""


def check_values(actual: np.ndarray, expected: np.ndarray, of: str, rtol: float, atol: float) -> None:
    """The last two rungs of the ladder, on arrays of equal shape."""
    expected = np.asarray(expected)
    if actual.dtype.kind in "fc":
        _check_finite(actual, expected, of)
    wide = "complex128" if "c" in actual.dtype.kind + expected.dtype.kind else "float64"
    finite = np.isfinite(expected.astype(wide))
    with np.errstate(invalid="ignore"):  # inf - inf, where both are rightly infinite
        error = np.abs(np.where(finite, actual.astype(wide) - expected.astype(wide), 0))
    allowed = atol + rtol * np.abs(np.where(finite, expected.astype(wide), 0))
    excess = error - allowed
    if not np.any(excess > 0):
        return
    worst = np.unravel_index(np.argmax(excess), error.shape)
    at = f" at {_index(worst)}" if worst else ""
    count = f"{np.sum(excess > 0)} of {error.size} entries are wrong; the worst" if error.size > 1 else "it"
    limit = f"Tolerance: {atol:g} + {rtol:g}·|expected|." if rtol or atol else "It must be exact."
    told = f"{count}{at} should be {_numbers(expected[worst], actual[worst])}"
    raise CheckFailed(f"{of}: wrong values: {told}. {limit}", actual)


def _check_finite(actual: np.ndarray, expected: np.ndarray, of: str) -> None:
    """nan and inf stand where the oracle has them, and nowhere else."""
    expected = expected.astype(actual.dtype)
    wrong = ~np.isfinite(actual) & ~((actual == expected) | (np.isnan(actual) & np.isnan(expected)))
    wrong |= ~np.isfinite(expected) & ~((actual == expected) | (np.isnan(actual) & np.isnan(expected)))
    if np.any(wrong):
        first = np.unravel_index(np.argmax(wrong), wrong.shape)
        at = f" at {_index(first)}" if first else ""
        raise CheckFailed(
            f"{of}: {np.sum(wrong)} of {wrong.size} entries are not finite as they should be: expected "
            f"{_number(expected[first])}{at}, got {_number(actual[first])}.",
            actual,
        )


def _index(index: tuple) -> str:
    return "[" + ", ".join(str(int(i)) for i in index) + "]"


def _numbers(expected: Any, actual: Any) -> str:
    """'2 and is 3', in as many digits as it takes to tell them apart."""
    for digits in (6, 9, 17):
        right, found = _number(expected, digits), _number(actual, digits)
        if right != found:
            break
    return f"{right} and is {found}"


def _number(x: Any, digits: int = 6) -> str:
    return f"{x:.{digits}g}" if isinstance(x, np.floating | float | complex | np.complexfloating) else str(x)


def _described(value: Any) -> str:
    """A value in a few words: its type, and what it holds where that is short."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    text = repr(value)
    return f"{kind} {text}" if len(text) <= 60 else f"a {kind}"
