"""The fixtures that a kata's test may use: `impl`, `fw`, `rng` and `gpu`."""

import zlib

import pytest

from dojo.pytest_plugin.items import kata_of, plain_id
from dojo.testing.adapters import open_adapter


class MissingGpu(Exception):
    """A GPU was required and there is none."""


@pytest.fixture(scope="session")
def framework(request: pytest.FixtureRequest) -> str:
    """The name of the framework that the test runs in."""
    return request.param


@pytest.fixture
def fw(framework: str, request: pytest.FixtureRequest):
    """The framework's adapter, its random numbers seeded from the test's id."""
    adapter = open_adapter(framework)
    adapter.wake()
    adapter.seed(_seed(request))
    return adapter


@pytest.fixture
def impl(framework: str, request: pytest.FixtureRequest):
    """The implementation under test, a module."""
    open_adapter(framework)
    return request.config.pluginmanager.get_plugin("dojo-loading").load(kata_of(request.node), framework)


@pytest.fixture
def rng(request: pytest.FixtureRequest):
    """A NumPy generator seeded from the test's id: the same in every process and framework."""
    import numpy as np

    return np.random.default_rng(_seed(request))


@pytest.fixture
def gpu(framework: str, request: pytest.FixtureRequest):
    """The adapter on this machine's GPU; the test is skipped where there is none, or in error if one is required."""
    adapter = open_adapter(framework).on_accelerator()
    if adapter is None and request.config.option.require_gpu:
        raise MissingGpu(f"--require-gpu: {framework} finds no GPU on this machine")
    if adapter is None:
        pytest.skip(f"{framework} finds no GPU on this machine")
    adapter.seed(_seed(request))
    return adapter


def _seed(request: pytest.FixtureRequest) -> int:
    return zlib.crc32(f"{request.path.parent.name}/{plain_id(request.node)}".encode())
