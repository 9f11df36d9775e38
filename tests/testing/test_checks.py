"""The adapters' checks of one value or several: what each refuses, and in which words."""

import re

import numpy as np
import pytest

from dojo.testing.adapters import CheckFailed

NAMES = ["output", "weights", "mask"]


def refused(words):
    return pytest.raises(CheckFailed, match="^" + words)


class TestOneRung:
    def test_a_tensor_its_shape_and_its_dtype(self, fw):
        t = fw.array(np.ones((2, 3)))
        fw.check_tensor(t)
        fw.check_shape(t, (2, 3))
        fw.check_shape(t, [2, 3])
        fw.check_dtype(t, "float32")
        for check, words in (
            (lambda: fw.check_tensor(None, "mean"), "mean: nothing came back. Is a return statement missing?"),
            (lambda: fw.check_tensor(3, "mean"), f"mean: expected a {fw.tensor_name}, got int 3."),
            (lambda: fw.check_tensor("x" * 99, "mean"), f"mean: expected a {fw.tensor_name}, got a str."),
            (lambda: fw.check_shape(t, (3, 2), "mean"), "mean: expected the shape (3, 2), got (2, 3)."),
            (lambda: fw.check_dtype(t, "int64", "mean"), "mean: expected the dtype int64, got float32."),
        ):
            with refused(re.escape(words)):
                check()


class TestUnchanged:
    def test_the_argument_that_was_written_to_is_named(self, numpy_fw):
        fw, before = numpy_fw, [np.ones(3), np.zeros(2)]
        tensors = [fw.array(array) for array in before]
        fw.check_all_unchanged(tensors, before, ["query", "key"])
        tensors[1][0] = 7
        with refused("key: your code wrote into its argument. Work on a copy."):
            fw.check_all_unchanged(tensors, before, ["query", "key"])

    def test_nan_is_unchanged(self, fw):
        fw.check_all_unchanged([fw.array([np.nan, 1.0])], [np.array([np.nan, 1.0])], ["x"])


class TestCloseAll:
    def test_right_values_pass_from_a_tuple_a_list_or_a_generator(self, fw):
        expected = [np.ones(2), np.zeros((1, 3)), np.array([True])]
        for kind in (tuple, list, iter):
            fw.close_all(kind([fw.array(x) for x in expected]), expected, NAMES)

    def test_the_wrong_value_is_named(self, fw):
        found = [fw.array([1.0]), fw.array([2.0]), fw.array([True])]
        with refused("weights: wrong values: it at .0. should be 5 and is 2") as caught:
            fw.close_all(found, [[1.0], [5.0], [True]], NAMES)
        assert caught.value.actual.tolist() == [2.0]

    def test_dtype_and_tolerances_hold_for_all(self, fw):
        found = [fw.array([1.1], "float64"), fw.array([2.1], "float64")]
        fw.close_all(found, [[1.0], [2.0]], ["a", "b"], dtype="float64", rtol=0, atol=0.2)
        with refused("b: wrong values"):
            fw.close_all(found, [[1.0], [1.0]], ["a", "b"], dtype="float64", rtol=0, atol=0.2)
        with refused("a: expected the dtype float32"):
            fw.close_all(found, [[1.0], [2.0]], ["a", "b"])

    @pytest.mark.parametrize(
        ("make", "words"),
        [
            (lambda fw: None, "but nothing came back. Is a return statement missing?"),
            (lambda fw: [fw.array([1.0])] * 2, "got 2."),
            (lambda fw: [fw.array([1.0])] * 4, "got 4."),
            (lambda fw: fw.array([1.0, 2.0, 3.0]), "got one {tensor}."),
            (lambda fw: 3, "got int 3."),
            (lambda fw: "abc", "got str 'abc'."),
            (lambda fw: {"output": 1, "weights": 2, "mask": 3}, "got dict {{'output': 1, 'weights': 2, 'mask': 3}}."),
        ],
    )
    def test_another_number_of_values_is_told_first(self, fw, make, words):
        told = "expected 3 values, output, weights and mask, " + words.format(tensor=fw.tensor_name)
        with refused(re.escape(told) + "$"):
            fw.close_all(make(fw), [[1.0]] * 3, NAMES)

    def test_unpack_gives_the_values(self, fw):
        assert fw.unpack((1, 2), ["a", "b"]) == [1, 2]
        with refused("expected 1 value, loss, got 2.$"):
            fw.unpack([1, 2], ["loss"])


class TestNoLoops:
    def test_a_vectorised_call_passes(self, fw):
        fw.check_no_loops(lambda x: x + x, [np.ones((2, 3))], [np.ones((50, 3))])

    def test_a_loop_is_found_and_told_with_both_shapes(self, fw):
        def rows(x, factor):
            return [row * factor for row in x]

        with refused(r"rows takes \d+ operations for inputs of the shapes \(2, 3\), and \d+ for \(50, 3\). Is there a"):
            fw.check_no_loops(rows, [np.ones((2, 3)), 2.0], [np.ones((50, 3)), 2.0])
        with refused("the sampler takes"):
            fw.check_no_loops(lambda x: [row * 2.0 for row in x], [np.ones(2)], [np.ones(9)], of="the sampler")

    def test_fewer_operations_for_more_are_no_loop(self, fw):
        fw.check_no_loops(lambda x: [row + row for row in x], [np.ones(9)], [np.ones(2)])

    def test_arrays_become_tensors_also_inside_and_the_rest_is_passed_on(self, fw):
        seen = []

        def note(*arguments):
            seen.append(arguments)

        given = [np.ones(2), [np.ones(2)], (1, np.ones(2)), {"a": np.ones(2)}, None, 3]
        fw.check_no_loops(note, given, given)
        assert len(seen) == 2
        tensor, inner, pair, mapping, *rest = seen[0]
        for each in (tensor, inner[0], pair[1], mapping["a"]):
            fw.close(each, np.ones(2))
        assert type(pair) is tuple and pair[0] == 1 and rest == [None, 3]


class TestOperations:
    def test_they_are_named_in_order(self, autograd):
        names = autograd.operations(lambda x: (x + x) * x, autograd.array([1.0]))
        order = [name.lower().removeprefix("aten::") for name in names]
        assert [name[:3] for name in order if name[:3] in ("add", "mul")] == ["add", "mul"]

    def test_numpy_cannot_name_them(self, numpy_fw):
        with pytest.raises(TypeError, match="use count_ops"):
            numpy_fw.operations(id)
