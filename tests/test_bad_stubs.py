"""Whatever a stub does, its kata fails with a reason and a line, and every other kata gets its own verdict."""

import re

import pytest

from dojo.pytest_plugin.calls import describe
from dojo.pytest_plugin.explain import line_in, message
from dojo.testing.loading import load

# slug: (the stub, what the verdict must say, the line of the stub that it must name, as a pattern)
BAD = {
    "misspelled": ("def duoble(x):\n    return x + x\n", "defines no 'double'. Did you mean duoble?", None),
    "no_return": ("def double(x):\n    x + x\n", "nothing came back. Is a return statement missing?", 1),
    "a_list": ("def double(x):\n    return [1, 2]\n", "expected a NumPy array, got list [1, 2]", 1),
    "nan": ("def double(x):\n    return x * float('nan')\n", "not finite", 1),
    "wrong_shape": ("def double(x):\n    return x[None]\n", "expected the shape (1,), got (1, 1)", 1),
    "wrong_dtype": (
        "def double(x):\n    return (x + x).astype('float64')\n",
        "expected the dtype float32, got float64",
        1,
    ),
    "endless": (
        "def double(x):\n    while True:\n        x + x\n",
        "stopped after 4 s. Is there an endless loop?",
        "[23]",
    ),
    "stubborn": (
        "def double(x):\n    while True:\n        try:\n            x + x\n        except BaseException: x\n",
        "Is there an endless loop?",
        "[2-6]",
    ),
    "exits": ("import sys\n\ndef double(x):\n    sys.exit()\n", "your code called sys.exit()", 4),
    "hard_exit": ("import os\n\ndef double(x):\n    os._exit(0)\n", "your code called os._exit(0)", 4),
    "posix_exit": (
        "import posix\n\ndef double(x):\n    posix._exit(0)\n",
        "ended by itself, with exit status 0",
        None,
    ),
    "skips": ("import pytest\n\ndef double(x):\n    pytest.skip('no')\n", "your code called pytest.skip()", 4),
    "pytest_exit": ("import pytest\n\ndef double(x):\n    pytest.exit('no')\n", "your code called pytest.exit()", 4),
    "interrupts": ("def double(x):\n    raise KeyboardInterrupt\n", "ended by itself, with exit status 2", None),
    "hungry": (
        "import numpy as np\n\ndef double(x):\n    kept = []\n    while True:\n        kept.append(np.empty(10**7))\n",
        "ran out of memory",
        6,
    ),
    "loud": ("def double(x):\n    print('x' * 100_000_000)\n    return x + x\n", "printed more than 10 MiB", 2),
    "loud_raw": (
        "import os\n\ndef double(x):\n    for _ in range(1000):\n        os.write(1, b'x' * 10**6)\n    return x + x\n",
        "File too large",
        5,
    ),
    "syntax": ("def double(x)\n    return x + x\n", "does not parse", 1),
    "raises_at_import": ("import math\n\nratio = 1 / 0\n\ndef double(x):\n    return x\n", "ZeroDivisionError", 3),
    "exits_at_import": ("import sys\nsys.exit(3)\n", "your code called sys.exit(3)", 2),
    "endless_import": ("while True:\n    pass\n", "endless loop", "[12]"),
    "half_written": (
        "def double(x):\n    if x.ndim == 1:\n        raise NotImplementedError('still yours')\n",
        "not written yet: still yours",
        3,
    ),
    "operation_that_lacks": (  # as a framework's kernel says it: by no line of Python
        "def double(x):\n    exec(compile(\"raise NotImplementedError('no such kernel')\", 'kernel.so', 'exec'))\n",
        "your code raised NotImplementedError: no such kernel",
        2,
    ),
    "aborts": ("import os\n\ndef double(x):\n    os.abort()\n", "died of signal 6", None),
    "bad_bytes": ("def double(x):\n    return '\\udcff'\n", "expected a NumPy array", 1),
}


@pytest.fixture(scope="module")
def verdicts(shared_project, right):
    """One check of a project that holds every bad stub, and a right one."""
    shared_project.write("dojo.toml", 'frameworks = ["numpy"]\ntest_seconds = 4\nmemory_gib = 0.5\noutput_mib = 10\n')
    for slug, (stub, _, _) in BAD.items():
        shared_project.kata(slug, numpy=stub)
    shared_project.kata("healthy", numpy=right)
    return shared_project.graded()


def test_the_right_kata_passes_beside_them(verdicts):
    assert verdicts["healthy", "numpy"]["state"] == "passed"
    assert verdicts["healthy", "numpy"]["score"] == verdicts["healthy", "numpy"]["total"] == 5


@pytest.mark.parametrize("slug", BAD)
def test_a_bad_stub_fails_with_a_reason_and_a_line(verdicts, slug):
    _, reason, line = BAD[slug]
    result = verdicts[slug, "numpy"]
    assert result["state"] == "failed"
    assert result["score"] < result["total"]
    tests = [test for level in result["levels"] for test in level["tests"]]
    told = " ".join([result["message"], *(test["message"] for test in tests)])
    assert reason in told
    if line is not None:
        assert re.search(rf"{slug}_numpy.py:{line}\b", " ".join(test["where"] for test in tests))


def test_no_message_is_a_flood(verdicts):
    for result in verdicts.values():
        assert all(len(test["output"]) < 3000 for level in result["levels"] for test in level["tests"])


def test_an_untouched_stub_is_red_at_level_one_and_never_imported(project, stub):
    project.kata("double", numpy="import no_such_module\n" + stub)
    done = project.pytest("-k", "double")
    assert "2 failed, 2 skipped" in done.stdout
    assert "is as it came: open it and begin" in done.stdout
    assert "no_such_module" not in done.stdout


@pytest.mark.parametrize("slug", ["exits", "hard_exit", "skips", "endless", "loud", "hungry", "syntax", "pytest_exit"])
def test_plain_pytest_says_the_same(project, slug):
    stub, reason, line = BAD[slug]
    project.write("dojo.toml", 'frameworks = ["numpy"]\ntest_seconds = 4\nmemory_gib = 0.5\noutput_mib = 10\n')
    project.kata(slug, numpy=stub)
    done = project.pytest("-k", slug)
    assert done.returncode == 1
    assert reason in " ".join(done.stdout.split())
    assert re.search(rf"{slug}_numpy.py:{line}\b", done.stdout)


def test_an_error_in_a_keras_layer_is_told_in_its_own_words():
    keras = pytest.importorskip("keras")

    class Layer(keras.layers.Layer):
        def call(self, x):
            raise ValueError("two\nlines")

    with pytest.raises(ValueError) as caught:
        Layer()(keras.ops.ones(1))
    assert message(caught.value, "layer.py:1", None) == "your code raised ValueError: two\nlines"


def test_an_error_under_tf_function_is_told_in_its_own_words_with_its_line(tmp_path):
    """AutoGraph runs a translation of the code, and puts a stack of the original into the message."""
    tf, keras = pytest.importorskip("tensorflow"), pytest.importorskip("keras")
    path = tmp_path / "traced.py"
    path.write_text("def plain(x):\n    if x > 0:\n        raise ValueError('two\\nlines')\n    return x\n")
    plain = load(path).plain

    class Layer(keras.layers.Layer):
        def call(self, x):
            return plain(2) + x

    for function in (lambda x: plain(2) + x, Layer()):
        with pytest.raises(ValueError) as caught:
            tf.function(function)(keras.ops.ones(1))
        where = line_in(path, caught.value)
        assert where == f"{path}:3"
        assert message(caught.value, where, None) == "your code raised ValueError: two\nlines"


def test_what_takes_many_words_inside_of_an_input_is_named_by_its_type():
    assert describe({"rate": object(), "eps": 0.5}) == "{rate: <object>, eps: 0.5}"
    assert describe([len, 1]) == "[<builtin_function_or_method>, 1]"
