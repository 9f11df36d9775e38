"""A traced function that closes over model and optimizer and returns all figures; Python adds them up outside of it."""

import tensorflow as tf


def traced_update(model, loss_function, optimizer):
    @tf.function(reduce_retracing=True)
    def update(inputs, targets):
        variables = list(model.trainable_variables)
        with tf.GradientTape() as tape:
            outputs = model(inputs, training=True)
            loss = loss_function(targets, outputs)
        pairs = [
            (gradient, variable)
            for gradient, variable in zip(tape.gradient(loss, variables), variables, strict=True)
            if gradient is not None
        ]
        optimizer.apply_gradients(pairs)
        hits = tf.math.in_top_k(tf.cast(targets, tf.int32), outputs, 1)
        return loss, tf.math.count_nonzero(hits)

    return update


class TrainStep:
    def __init__(self, model, loss_function, optimizer):
        self.update = traced_update(model, loss_function, optimizer)
        self.reset()

    def __call__(self, inputs, targets):
        size = int(tf.shape(inputs)[0])
        if size != int(tf.shape(targets)[0]):
            raise ValueError("inputs and targets differ in length")
        loss, right = self.update(inputs, targets)
        self.batches.append((loss, right, size))
        return loss

    def results(self):
        total = sum(size for _, _, size in self.batches)
        if total == 0:
            raise ValueError("no samples yet")
        loss = sum(float(loss) * size for loss, _, size in self.batches)
        return {"loss": loss / total, "accuracy": sum(int(right) for _, right, _ in self.batches) / total}

    def reset(self):
        self.batches = []
