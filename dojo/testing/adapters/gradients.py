"""The framework's gradients, and what they are compared with."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from dojo.testing.adapters.checks import Checks
from dojo.testing.adapters.primitive import primitive
from dojo.testing.adapters.values import CheckFailed, check_finite, check_values

STEP = 1e-5  # of a finite difference, in float64: error about 1e-10


class Gradients(Checks):
    """Gradients through the learner's code. They come back as arrays."""

    differentiates = True

    @primitive
    def gradients(self, loss: Callable[[], Any], tensors: Iterable[Any]) -> list[np.ndarray | None]:
        """The gradient of `loss()` for each tensor, as an array; None where no gradient arrives.

        Args:
            loss: a function without arguments that gives a tensor of shape (). It is called once.
            tensors: plain tensors, parameters or variables of float dtype, which the loss uses.
        """

    def close_gradients(
        self,
        found: Iterable[np.ndarray | None],
        expected: Iterable[np.ndarray],
        names: Sequence[str],
        rtol: float = 1e-4,
        atol: float = 1e-5,
    ) -> None:
        """What `gradients` gave is there for each name, with the shape and, but for atol + rtol·|e|, the values."""
        for actual, right, name in zip(found, expected, names, strict=True):
            if actual is None:
                raise CheckFailed(f"no gradient reaches {name}. Which operation cuts it off?")
            if actual.shape != np.shape(right):
                raise CheckFailed(f"gradient of {name}: expected the shape {np.shape(right)}, got {actual.shape}.")
            check_values(actual, right, f"gradient of {name}", rtol, atol)

    def check_gradients(
        self,
        f: Callable[..., Any],
        oracle: Callable[..., np.ndarray],
        inputs: Sequence[np.ndarray],
        names: Sequence[str] | None = None,
        rtol: float = 1e-5,
        atol: float = 1e-7,
        directions: int = 3,
        dtype: str = "float64",
    ) -> None:
        """The framework's gradients through `f` agree with finite differences of `oracle`.

        Both are contracted with one random cotangent, and compared along random directions in float64. Integer
        and boolean inputs are passed on and not differentiated.

        Args:
            f: the learner's function of tensors, returning one tensor.
            oracle: the same function of float64 arrays.
            inputs: an array per argument.
            names: what the specification calls each argument.
            dtype: what f is given and must return; float32 for a model that computes in it.
        """
        names = names or [f"argument {index}" for index in range(len(inputs))]
        rng = np.random.default_rng(0)
        arrays = [x.astype("float64") if x.dtype.kind == "f" else x for x in map(np.asarray, inputs)]
        cotangent = rng.standard_normal(np.shape(oracle(*arrays)))
        gradients = self._contracted(f, arrays, cotangent, dtype)
        for index, (name, array, gradient) in enumerate(zip(names, arrays, gradients, strict=True)):
            if array.dtype.kind != "f":
                continue
            if gradient is None:
                raise CheckFailed(f"no gradient reaches {name}. Which operation cuts it off?")
            check_finite(gradient, np.zeros_like(gradient), f"gradient of {name}")
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

    def _contracted(
        self, f: Callable, arrays: list[np.ndarray], cotangent: np.ndarray, dtype: str
    ) -> list[np.ndarray | None]:
        """The gradient of sum(cotangent · f(arrays)) for each float array; None for others, or where none arrives."""
        tensors = [self._tensor(x, x.dtype.name) for x in arrays]
        floats = [index for index, x in enumerate(arrays) if x.dtype.kind == "f"]

        def loss() -> Any:
            result = f(*(self.cast(t, dtype) if index in floats else t for index, t in enumerate(tensors)))
            self.check_shape(result, cotangent.shape)
            if self.dtype_name(result) != dtype:
                raise CheckFailed(
                    f"result: {dtype} inputs gave {self.dtype_name(result)}. Keep the dtype of the inputs."
                )
            return self.sum(self.cast(result, "float64") * self._tensor(cotangent, "float64"))

        found = dict(zip(floats, self.gradients(loss, [tensors[index] for index in floats]), strict=True))
        return [found.get(index) for index in range(len(arrays))]

    def records_gradients(self) -> bool:
        """Whether operations are being recorded just now, so that gradients can go back through them."""
        return False

    def leave_gradients(self, model: Any) -> None:
        """Leave gradients with the parameters, as an earlier backward pass does, where the framework keeps any."""

    def held_gradients(self, model: Any) -> dict[str, np.ndarray]:
        """Name to the gradient that the framework keeps with a parameter; empty where it keeps none."""
        return {}
