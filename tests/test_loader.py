"""Reading a stub without running it, and finding what it may not use."""

import pytest

from dojo.curriculum.off_limits import forbidden_uses
from dojo.curriculum.stubs import is_started


@pytest.mark.parametrize(
    ("source", "started"),
    [
        ('def f():\n    """Doc."""\n    raise NotImplementedError("yours")\n', False),
        ("def f():\n    raise NotImplementedError\n", False),
        ("import torch\n\nclass A:\n    def f(self):\n        raise NotImplementedError('yours')\n", False),
        ("def f():\n    return 1\n", True),
        ("def f():\n    raise NotImplementedError('yours')\n\ndef g():\n    pass\n", True),
        ("class A:\n    def f(self):\n        self.x = 1\n", True),
        ("def f():\n    x = 1\n    raise NotImplementedError('yours')\n", True),
        ("def f(:\n", True),
        ("import a b\n\ndef f():\n    raise NotImplementedError\n", True),
        ("def f(a=(1, 2)) -> int:\n    '''Doc.'''\n\n    raise NotImplementedError('yours')\n", False),
        ("def f():\n    raise NotImplementedError('yours')\n    return 1\n", True),
        ("def f():\n    raise NotImplementedError('yours'); return 1\n", True),
        ("def f():\n    def g():\n        raise NotImplementedError\n    return g\n", True),
        ('TEXT = \'"""\'\ndef f():\n    return 1\n\ndef g():\n    \'"""\'\n    raise NotImplementedError\n', True),
        ("class A:\n    size = 1\n\n    def f(self):\n        raise NotImplementedError\n", False),
        ("", True),
    ],
)
def test_started_means_that_some_function_is_written(tmp_path, source, started):
    path = tmp_path / "stub.py"
    path.write_text(source)
    assert is_started(path) is started


def test_a_file_that_is_not_there_is_not_started(tmp_path):
    assert not is_started(tmp_path / "stub.py")


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import torch\ntorch.nn.functional.softmax(x)", [2]),
        ("import torch.nn.functional as F\nF.softmax(x)", [2]),
        ("from torch.nn import functional\nfunctional.softmax(x)", [2]),
        ("from torch.nn.functional import softmax", [1]),
        ("from torch.nn.functional import softmax as s\ny = s(x)", [1, 2]),
        ("def f(x):\n    return x.exp().softmax(-1)", [2]),
        ("import torch\nx = torch.zeros(3)\nx.softmax(0)", [3]),
        ("def softmax(x):\n    return x\n\ny = softmax(1)", []),
        ("import torch\ntorch.nn.functional.relu(x)", []),
        ("from mine import softmax\nsoftmax(1)", []),
        ("'torch.nn.functional.softmax'  # said, not used", []),
        ("def f(:", []),
    ],
)
def test_uses_of_what_is_off_limits_are_found_by_line(tmp_path, source, lines):
    path = tmp_path / "stub.py"
    path.write_text(source)
    uses = forbidden_uses(path, ["torch.nn.functional.softmax", "torch.Tensor.softmax"])
    assert sorted({line for line, _ in uses}) == lines


def test_both_spellings_of_a_framework_are_one(tmp_path):
    path = tmp_path / "stub.py"
    path.write_text("import tensorflow as tf\ntf.keras.layers.Attention()\ntf.nn.softmax(x)\n")
    assert [name for _, name in forbidden_uses(path, ["keras.layers.Attention", "tf.nn.softmax"])] == [
        "keras.layers.Attention",
        "tf.nn.softmax",
    ]
