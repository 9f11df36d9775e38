"""AdamW that takes the whole list of gradients at once: it overrides `apply`, and decays by itself."""

import keras
import tensorflow as tf


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
        numbers = [epsilon, weight_decay] + ([] if callable(learning_rate) else [learning_rate])
        if any(number < 0 for number in numbers):
            raise ValueError("learning_rate, epsilon and weight_decay must not be negative")
        if not max(beta_1, beta_2) < 1 or min(beta_1, beta_2) < 0:
            raise ValueError("beta_1 and beta_2 must lie in [0, 1)")
        super().__init__(learning_rate=learning_rate, weight_decay=weight_decay, **options)
        self.betas, self.epsilon, self.amsgrad = (beta_1, beta_2), epsilon, amsgrad

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.first, self.second, self.peak = [], [], []
        for variable in variables:
            self.first.append(self.add_variable_from_reference(variable, name="first"))
            self.second.append(self.add_variable_from_reference(variable, name="second"))
            if self.amsgrad:
                self.peak.append(self.add_variable_from_reference(variable, name="peak"))

    def apply(self, grads, trainable_variables=None):
        variables = list(self._trainable_variables if trainable_variables is None else trainable_variables)
        self.build(variables)
        pairs = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
        gradients = self._clip_gradients([gradient for gradient, _ in pairs])
        for gradient, (_, variable) in zip(gradients, pairs, strict=True):
            self.update_step(gradient, variable, self.learning_rate)
        self.iterations.assign_add(1)

    def update_step(self, gradient, variable, learning_rate):
        if not tf.is_tensor(gradient) or isinstance(gradient, tf.IndexedSlices):
            raise RuntimeError("a sparse gradient: AdamW needs dense ones")
        index, dtype = self._get_variable_index(variable), gradient.dtype
        beta1, beta2 = (tf.constant(beta, dtype) for beta in self.betas)
        count, rate = tf.cast(self.iterations + 1, dtype), tf.cast(learning_rate, dtype)
        first, second = self.first[index].value, self.second[index].value
        first.assign(tf.add_n([beta1 * first, (1 - beta1) * gradient]))
        second.assign(tf.add_n([beta2 * second, (1 - beta2) * tf.square(gradient)]))
        scale = second
        if self.amsgrad:
            scale = self.peak[index].value
            scale.assign(tf.where(second > scale, second, scale))
        # Both corrections put into ε and the learning rate, as section 2 of the Adam paper does it.
        alpha = rate * tf.sqrt(1 - tf.pow(beta2, count)) / (1 - tf.pow(beta1, count))
        share = rate * self.weight_decay if self._use_weight_decay(variable) else 0.0
        variable.assign((1 - share) * variable - alpha * tf.math.divide(first, tf.sqrt(scale) + self.epsilon))

    def get_config(self):
        beta_1, beta_2 = self.betas
        return {
            **super().get_config(),
            "beta_1": beta_1,
            "beta_2": beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }

    def minimize(self, loss, variables):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in variables:
                tape.watch(variable.value)
            value = loss()
        self.apply(tape.gradient(value, [variable.value for variable in variables]), variables)
        return value
