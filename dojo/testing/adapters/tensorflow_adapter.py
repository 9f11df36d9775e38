"""All that dojo knows about TensorFlow and Keras, with tensorflow_layers, tensorflow_models and tensorflow_counting."""

import json
import os
import random
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from dojo.compat import watching_collectives_of_tensorflow
from dojo.testing.adapters.base import FrameworkAdapter
from dojo.testing.adapters.tensorflow_counting import TensorFlowCounting
from dojo.testing.adapters.tensorflow_layers import TensorFlowLayers
from dojo.testing.adapters.tensorflow_models import TensorFlowModels, TensorFlowOptimisers
from dojo.testing.adapters.tensorflow_start import keras, quiet, tf


class Adapter(TensorFlowModels, TensorFlowOptimisers, TensorFlowLayers, TensorFlowCounting, FrameworkAdapter):
    name = "tensorflow"
    tensor_name = "tf.Tensor"
    traces = True

    def __init__(self, device: str = "cpu"):
        super().__init__(device)
        if os.environ.get("OMP_NUM_THREADS") == "1":  # one thread was asked for; TensorFlow does not read it
            try:
                tf.config.threading.set_intra_op_parallelism_threads(1)
                tf.config.threading.set_inter_op_parallelism_threads(1)
            except RuntimeError:
                pass  # somebody has run an operation already: the threads are as they are

    def wake(self) -> None:
        with quiet():  # where there is no GPU it says so, loudly
            tf.config.list_logical_devices()

    def rehearse(self) -> None:
        """The kernels of the usual operations are made once for each dtype."""
        if tf.config.list_physical_devices("GPU"):
            return  # its memory would be taken while nothing runs
        self.wake()
        for dtype in ("float32", "float64"):
            x = self.array([[1.0, 2.0], [3.0, 4.0]], dtype)
            self.gradients(lambda x=x: _usual_operations(x), [x])

    def seed(self, n: int | None) -> None:
        random.seed(n)
        if n is None:
            tf.random.set_seed(None)
        else:
            keras.utils.set_random_seed(n)

    def generator(self, seed: int) -> tf.random.Generator:
        with self.on_device():
            return tf.random.Generator.from_seed(seed)

    # ---------------------------------------------------------------- tensors

    def _tensor(self, x: np.ndarray, dtype: str) -> tf.Tensor:
        with self.on_device():  # converted by NumPy: a cast of TensorFlow's is one more operation
            return tf.constant(x.astype(tf.as_dtype(dtype).as_numpy_dtype))

    def numpy(self, t: Any) -> np.ndarray:
        if self.dtype_name(t) == "bfloat16":
            t = tf.cast(t, "float32")
        return np.array(tf.convert_to_tensor(t))

    def is_tensor(self, value: Any) -> bool:
        return tf.is_tensor(value) or isinstance(value, keras.Variable)

    def dtype_name(self, t: Any) -> str:
        return tf.as_dtype(t.dtype).name

    def device_of(self, t: Any) -> str:
        return _plain(t).device

    def cast(self, t: Any, dtype: str) -> tf.Tensor:
        return tf.cast(t, dtype)

    def sum(self, t: Any, axis: int | None = None) -> tf.Tensor:
        return tf.reduce_sum(t, axis)

    def mean(self, t: Any, axis: int | None = None) -> tf.Tensor:
        return tf.reduce_mean(t, axis)

    def cross_entropy(self, logits: Any, labels: Any) -> tf.Tensor:
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

    def own_loss(self, loss: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        return lambda targets, outputs: loss(outputs, targets)

    def traced(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return tf.function(f, reduce_retracing=True)

    # ---------------------------------------------------------------- gradients

    def gradients(self, loss: Callable[[], Any], tensors: Iterable[Any]) -> list[np.ndarray | None]:
        sources = [_plain(t) for t in tensors]
        with tf.GradientTape() as tape:
            tape.watch(sources)
            value = loss()
        self.check_shape(value, (), of="loss")
        return [None if gradient is None else self.numpy(gradient) for gradient in tape.gradient(value, sources)]

    # ---------------------------------------------------------------- worker processes

    def records_gradients(self) -> bool:
        from tensorflow.python.eager import record  # after quiet() has imported TensorFlow

        return record.could_possibly_record()

    def process_group(self, rank: int, addresses: list[str], timeout: float) -> tf.distribute.Strategy:
        task = {"type": "worker", "index": rank}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        options = tf.distribute.experimental.CommunicationOptions(timeout_seconds=timeout)
        return tf.distribute.MultiWorkerMirroredStrategy(communication_options=options)

    def place_in_group(self, group: tf.distribute.Strategy) -> tuple[int, int]:
        return group.cluster_resolver.task_id, group.num_replicas_in_sync

    def collectives(self, f: Callable, *args: Any) -> list[str]:
        names = []
        with watching_collectives_of_tensorflow(names.append):
            f(*args)
        return names

    # ---------------------------------------------------------------- devices

    def on_accelerator(self) -> "Adapter | None":
        tf.config.experimental.enable_tensor_float_32_execution(False)
        return Adapter("gpu") if tf.config.list_logical_devices("GPU") else None

    def on_device(self) -> AbstractContextManager:
        return tf.device(self.device)

    def to_device(self, x: Any) -> Any:
        """TensorFlow puts a model's variables onto a GPU on its own: a model is left as it is."""
        if not tf.is_tensor(x):
            return x
        with self.on_device():
            return tf.identity(x)


def _plain(t: Any) -> Any:
    """TensorFlow's own tensor or variable, where Keras has put its own around it."""
    return t.value if isinstance(t, keras.Variable) else t


def _usual_operations(x: tf.Tensor) -> tf.Tensor:
    """A number that hangs on a square matrix by most of what katas compute with."""
    y = tf.nn.softmax(tf.einsum("ij,jk->ik", x, x) / 2.0 + 1.0 - tf.sqrt(x) * x)
    y = tf.matmul(y[None], x[None], transpose_b=True) - tf.reduce_max(y, axis=-1, keepdims=True)
    y = tf.where(y > 0, tf.transpose(y, [0, 2, 1]), tf.math.log(tf.exp(y)))
    return tf.reduce_sum(tf.reshape(tf.concat([y, tf.cast(y, x.dtype)], 0), [-1])) + tf.reduce_mean(y**2)
