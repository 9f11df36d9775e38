"""What every adapter offers to a test. Each part of it has a module: arrays, checks, gradients, layers, models, …"""

from abc import abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from dojo.testing.adapters.counting import Counting
from dojo.testing.adapters.layers import LayerWeights
from dojo.testing.adapters.models import Models
from dojo.testing.adapters.optimisers import Optimisers
from dojo.testing.adapters.values import TOLERANCES, CheckFailed, check_values

__all__ = ["TOLERANCES", "CheckFailed", "FrameworkAdapter", "LayerWeights", "check_values"]


class FrameworkAdapter(Models, Optimisers, Counting):
    """A framework behind one set of names. The concrete adapters hold all that is special to each."""

    name: str
    ahead: tuple[str, ...] = ()  # modules to import before a fork, since many katas need them
    traces = False  # whether a training step is compiled, so that its Python code runs for the traces alone
    loads_in_processes = False  # whether a data loader's workers are processes, and not threads

    def __init__(self, device: str = "cpu"):
        self.device = device

    @property
    @abstractmethod
    def tensor_name(self) -> str:
        """What the framework calls its tensors."""

    def wake(self) -> None:
        """Start what the framework would start at its first operation, without a word; never before a fork."""

    @abstractmethod
    def seed(self, n: int) -> None:
        """Seed the framework's own random numbers."""

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
