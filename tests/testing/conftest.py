"""An adapter of every framework, and of those that differentiate."""

import pytest

from dojo.testing.adapters import open_adapter


@pytest.fixture(params=["numpy", "torch", "tensorflow"])
def fw(request):
    adapter = open_adapter(request.param)
    adapter.seed(0)
    return adapter


@pytest.fixture(params=["torch", "tensorflow"])
def autograd(request):
    adapter = open_adapter(request.param)
    adapter.seed(0)
    return adapter


@pytest.fixture
def numpy_fw():
    return open_adapter("numpy")
