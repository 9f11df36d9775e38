"""Sums in variables of its own, a signature with an open number of samples, and the optimizer built beforehand."""

import tensorflow as tf


class TrainStep(tf.Module):
    def __init__(self, model, loss_function, optimizer):
        super().__init__()
        self.model, self.loss_function, self.optimizer = model, loss_function, optimizer
        self.sums = tf.Variable(tf.zeros(3))
        self.optimizer.build(self.model.trainable_variables)
        self.traced = None

    def __call__(self, inputs, targets):
        if inputs.shape[0] != targets.shape[0]:
            raise ValueError("a target for each input")
        if self.traced is None:
            specs = [tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype) for tensor in (inputs, targets)]
            self.traced = tf.function(self.update, input_signature=specs)
        return self.traced(inputs, targets)

    def update(self, inputs, targets):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in self.model.trainable_variables:
                tape.watch(variable.value)
            outputs = self.model(inputs, training=True)
            loss = self.loss_function(targets, outputs)
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        used = [place for place, gradient in enumerate(gradients) if gradient is not None]
        self.optimizer.apply([gradients[place] for place in used], [variables[place] for place in used])
        size = tf.cast(tf.shape(targets)[0], tf.float32)
        right = tf.reduce_sum(tf.cast(tf.equal(tf.argmax(outputs, 1, targets.dtype), targets), tf.float32))
        self.sums.assign_add(tf.stack([loss * size, right, size]))
        return loss

    def results(self):
        loss, right, count = self.sums.numpy().tolist()
        if count == 0:
            raise ValueError("nothing counted")
        return {"accuracy": right / count, "loss": loss / count}

    def reset(self):
        self.sums.assign(tf.zeros(3))
