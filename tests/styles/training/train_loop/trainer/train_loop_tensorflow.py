"""The loop as a small class with two traced functions, one for each mode; losses are summed in the graph."""

import tensorflow as tf
from tqdm import tqdm


class Trainer:
    def __init__(self, model, loss_function, optimizer=None):
        self.model, self.loss_function, self.optimizer = model, loss_function, optimizer
        self.learn = tf.function(self._learn)
        self.look = tf.function(self._look)

    def _learn(self, inputs, targets):
        with tf.GradientTape() as tape:
            loss = self.loss_function(targets, self.model(inputs, training=True))
        variables = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return self._sum_and_size(loss, inputs)

    def _look(self, inputs, targets):
        return self._sum_and_size(self.loss_function(targets, self.model(inputs, training=False)), inputs)

    @staticmethod
    def _sum_and_size(loss, inputs):
        size = tf.cast(tf.shape(inputs)[0], tf.float64)
        return tf.stack([tf.cast(loss, tf.float64) * size, size])

    @staticmethod
    def mean(step, batches):
        rows = [step(inputs, targets) for inputs, targets in batches]
        if not rows:
            raise ValueError("there are no batches")
        total, samples = tf.add_n(rows).numpy().tolist()
        return total / samples


def evaluate(model, loss_function, batches):
    trainer = Trainer(model, loss_function)
    return trainer.mean(trainer.look, batches)


def train(model, loss_function, optimizer, train_batches, val_batches, epochs, progress=False):
    if not epochs >= 1:
        raise ValueError("epochs must be positive")
    trainer = Trainer(model, loss_function, optimizer)
    train_loss, val_loss, copies, best = [], [], None, None
    bar = tqdm(total=epochs, disable=not progress)
    for epoch in range(epochs):
        train_loss.append(trainer.mean(trainer.learn, train_batches))
        val_loss.append(trainer.mean(trainer.look, val_batches))
        if val_loss[-1] < (float("inf") if best is None else val_loss[best]):
            best = epoch
            if copies is None:
                copies = [tf.Variable(weight, trainable=False) for weight in model.weights]
            for copy, weight in zip(copies, model.weights, strict=True):
                copy.assign(weight)
        bar.set_postfix(train_loss=train_loss[-1], val_loss=val_loss[-1], refresh=False)
        bar.update()
    bar.close()
    if best is not None:
        model.set_weights([copy.numpy() for copy in copies])
    return {"train_loss": train_loss, "val_loss": val_loss, "best_epoch": best}
