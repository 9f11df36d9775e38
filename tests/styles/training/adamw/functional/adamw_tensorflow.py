"""AdamW with keras.ops alone: a pure function gives the new values, and the optimiser assigns them."""

import keras
import tensorflow as tf
from keras import ops


def updated(theta, gradient, mean, square, largest, step, rate, beta1, beta2, epsilon):
    """New θ, m, v and largest v; `largest` is None without amsgrad."""
    mean = ops.add(ops.multiply(beta1, mean), ops.multiply(1 - beta1, gradient))
    square = ops.add(ops.multiply(beta2, square), ops.multiply(1 - beta2, ops.square(gradient)))
    largest = None if largest is None else ops.maximum(largest, square)
    alpha = rate * ops.sqrt(1 - ops.power(beta2, step)) / (1 - ops.power(beta1, step))
    root = ops.sqrt(square if largest is None else largest)
    return theta - alpha * mean / (root + epsilon), mean, square, largest


class AdamW(keras.optimizers.Optimizer):
    def __init__(
        self,
        learning_rate=0.001,
        weight_decay=0.004,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-7,
        amsgrad=False,
        **options,
    ):
        for name, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
            if beta < 0 or beta >= 1:
                raise ValueError(f"{name} is {beta}: it must be at least 0 and less than 1")
        if isinstance(learning_rate, float) and learning_rate < 0:
            raise ValueError(f"learning_rate is {learning_rate}: it must not be negative")
        if epsilon < 0 or weight_decay < 0:
            raise ValueError("epsilon and weight_decay must not be negative")
        super().__init__(learning_rate, weight_decay, **options)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def build(self, variables):
        if not self.built:
            super().build(variables)
            names = ["m", "v", "v_max"] if self.amsgrad else ["m", "v"]
            self.moments = list(zip(*self.add_optimizer_variables(variables, names), strict=True))

    def update_step(self, gradient, variable, learning_rate):
        if isinstance(gradient, tf.IndexedSlices):
            raise RuntimeError("sparse gradients are not supported")
        moments = self.moments[self._get_variable_index(variable)]
        cast = [ops.cast(x, variable.dtype) for x in (self.iterations + 1, learning_rate, self.beta_1, self.beta_2)]
        values = [ops.convert_to_tensor(moment) for moment in moments]
        largest = values[2] if self.amsgrad else None
        results = updated(ops.convert_to_tensor(variable), gradient, *values[:2], largest, *cast, self.epsilon)
        for target, value in zip((variable, *moments), results, strict=False):
            self.assign(target, value)

    def get_config(self):
        config = super().get_config()
        config.update(beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon, amsgrad=self.amsgrad)
        return config

    def minimize(self, loss, variables):
        with tf.GradientTape() as tape:
            value = loss()
        gradients = tape.gradient(value, variables)
        self.apply(gradients, variables)
        return value
