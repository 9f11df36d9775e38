"""Every use of a private name of another library, in one place: an update of theirs can break this file alone."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import IO, Any

import pytest


def run_test(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Set up, call and tear down one test, and report nothing to anybody."""
    from _pytest.runner import runtestprotocol

    return runtestprotocol(item, nextitem=nextitem, log=False)


def renew_fixtures(item: pytest.Item) -> None:
    """Make the test ready to run again."""
    item._initrequest()


def builtin_plugins() -> list[str]:
    """The modules of pytest that each of its runs imports."""
    from _pytest.config import default_plugins

    return [f"_pytest.{name}" for name in default_plugins]


def terminal_of(reporter: Any) -> tuple[IO[str], int, bool]:
    """What pytest prints to: the file, its width, and whether colours are wanted."""
    width = 120
    if reporter.isatty:
        with suppress(AttributeError):
            width = max(80, reporter._screen_width)
    return reporter._tw._file, width, reporter._tw.hasmarkup


def svg_without_fonts() -> str:
    """rich's picture of a console without the fonts that it would fetch: the reader's monospace font serves."""
    import re

    from rich._export_format import CONSOLE_SVG_FORMAT

    return re.sub(r"@font-face \{\{.*?\}\}\n?", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)


def watching_torch(see: Callable[[str, tuple, dict, Callable[[], Any]], Any]) -> AbstractContextManager:
    """Inside, every operation of PyTorch is see(its name, args, kwargs, run), which gives back what run() gives.

    Without the answer about dynamo its first operation imports all of torch._dynamo, a second's work.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class Watch(TorchDispatchMode):
        @classmethod
        def _should_skip_dynamo(cls) -> bool:
            return False

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            kwargs = kwargs or {}
            return see(func._schema.name, args, kwargs, lambda: func(*args, **kwargs))

    return Watch()


def torch_leaves(tree: Any) -> list[Any]:
    """All that lies in nested tuples, lists and dicts of PyTorch."""
    from torch.utils._pytree import tree_leaves

    return tree_leaves(tree)


def is_batch_norm(module: Any) -> bool:
    """Whether it is one of PyTorch's batch normalisations, which share a private base class."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return isinstance(module, _BatchNorm)


@contextmanager
def watching_tensorflow(see: Callable[[str, Any], None]) -> Iterator[None]:
    """Inside, see(its name, its outputs) is called after every operation of TensorFlow."""
    from tensorflow.python.framework import op_callbacks

    def callback(op_type, inputs, attrs, outputs, op_name=None, graph=None):
        see(str(op_type), outputs)

    op_callbacks.add_op_callback(callback)
    try:
        yield
    finally:
        op_callbacks.remove_op_callback(callback)


@contextmanager
def watching_collectives_of_tensorflow(see: Callable[[str], None]) -> Iterator[None]:
    """Inside, see(its name) is called for each collective operation, dispatched or traced: no callback sees those."""
    from unittest import mock

    from tensorflow.python.ops import gen_collective_ops as operations

    def watched(function):
        def call(*args, **kwargs):
            see(function.__name__)
            return function(*args, **kwargs)

        return call

    named = {name: value for name, value in vars(operations).items() if name.startswith("collective_")}
    with mock.patch.multiple(
        operations, **{name: watched(f) for name, f in named.items() if callable(f) and not name.endswith("_fallback")}
    ):
        yield


def sublayers(layer: Any) -> list[Any]:
    """The Keras layers directly inside a layer, each once; Keras has a public name for that only in models."""
    return layer._flatten_layers(include_self=False, recursive=False)
