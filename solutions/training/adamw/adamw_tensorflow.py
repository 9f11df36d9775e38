"""AdamW as a subclass of keras.optimizers.Optimizer.

The base class already decays (decoupled, and with exclusions), counts steps and clips, so what is left is the pair of
moments and one formula. The trap is Python inside a traced function: the count must be `self.iterations`, a variable,
and the moments must be made by the base class, or they are neither traced nor saved. The corrections are computed
in float64, because 0.999 is 0.99902 in float16.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf
from tensorflow import Tensor


class AdamW(keras.optimizers.Optimizer):
    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options,
    ):
        if min(0 if callable(learning_rate) else learning_rate, epsilon, weight_decay) < 0:
            raise ValueError(f"learning_rate, epsilon {epsilon} and weight_decay {weight_decay} must not be negative")
        if not (0 <= beta_1 < 1 and 0 <= beta_2 < 1):
            raise ValueError(f"beta_1 {beta_1} and beta_2 {beta_2} must lie in [0, 1)")
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **options)
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad

    def build(self, variables: Sequence[keras.Variable]) -> None:
        if self.built:
            return
        super().build(variables)
        self._means, self._squares = self.add_optimizer_variables(variables, ["mean", "square"])
        if self.amsgrad:
            self._largest = self.add_optimizer_variables(variables, "largest")

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        if isinstance(gradient, tf.IndexedSlices):
            raise RuntimeError("AdamW takes no sparse gradients: make them dense with tf.convert_to_tensor")
        index = self._get_variable_index(variable)
        mean, square = self._means[index], self._squares[index]
        mean.assign_add((1 - self.beta_1) * (gradient - mean))
        square.assign_add((1 - self.beta_2) * (gradient**2 - square))
        if self.amsgrad:
            square = self._largest[index].assign(tf.maximum(self._largest[index], square))

        step, rate = tf.cast(self.iterations + 1, "float64"), tf.cast(learning_rate, "float64")
        rate *= tf.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step)
        variable.assign_sub(tf.cast(rate, gradient.dtype) * mean / (tf.sqrt(square) + self.epsilon))

    def get_config(self) -> dict:
        own = {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon, "amsgrad": self.amsgrad}
        return super().get_config() | own

    def minimize(self, loss: Callable[[], Tensor], variables: Sequence[keras.Variable]) -> Tensor:
        with tf.GradientTape() as tape:
            value = loss()
        self.apply_gradients(zip(tape.gradient(value, variables), variables, strict=True))
        return value
