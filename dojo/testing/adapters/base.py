"""What every adapter offers to a test. Each part of it has a module: arrays, checks, gradients, layers, models, …"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dojo.testing.adapters.collectives import Collectives
from dojo.testing.adapters.counting import Counting
from dojo.testing.adapters.layers import LayerWeights
from dojo.testing.adapters.models import Models
from dojo.testing.adapters.optimisers import Optimisers
from dojo.testing.adapters.primitive import primitive
from dojo.testing.adapters.values import TOLERANCES, CheckFailed, check_values

__all__ = ["TOLERANCES", "CheckFailed", "FrameworkAdapter", "LayerWeights", "check_values"]


class FrameworkAdapter(Models, Optimisers, Counting, Collectives):
    """A framework behind one set of names. The concrete adapters hold all that is special to each."""

    name: str
    tensor_name: str  # what the framework calls its tensors
    ahead: tuple[str, ...] = ()  # modules to import before a fork, since many katas need them
    traces = False  # whether a training step is compiled, so that its Python code runs for the traces alone
    loads_in_processes = False  # whether a data loader's workers are processes, and not threads

    def __init__(self, device: str = "cpu"):
        self.device = device

    def wake(self) -> None:
        """Start what the framework would start at its first operation, without a word; never before a fork."""

    def rehearse(self) -> None:
        """Run ahead of the tests what is slow the first time; it leaves no trace in what they compute."""
        self.wake()

    @primitive
    def seed(self, n: int | None) -> None:
        """Seed the framework's own random numbers; None forgets a seed, with which Keras's fit repeats one order."""

    # ---------------------------------------------------------------- devices

    def on_accelerator(self) -> "FrameworkAdapter | None":
        """The same adapter on this machine's GPU; None where there is none."""
        return None

    def on_device(self) -> AbstractContextManager:
        """Inside, new variables and layers lie on the adapter's device."""
        return nullcontext()

    def to_device(self, x: Any) -> Any:
        """A tensor or a model on the adapter's device; the model is the same object."""
        return x
