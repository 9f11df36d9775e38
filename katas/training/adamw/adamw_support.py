"""What adamw is compared with, `by_hand`; and what is special to the optimisers of each framework."""

import io
import json
from functools import partial

import numpy as np

# Learning rates are exact in the float32 in which Keras keeps them; with EXACT, so are the other numbers.
PLAIN = {"lr": 0.125, "betas": (0.8, 0.95), "eps": 0.05, "weight_decay": 0.0, "amsgrad": False}
DECAYING = PLAIN | {"weight_decay": 0.4}
EXACT = PLAIN | {"lr": 2.0**-5, "betas": (0.875, 0.96875), "eps": 2.0**-10}


class Torch:
    corrects_epsilon = False  # ε is added to the root of the corrected mean
    counts_missed_steps = False  # t is the parameter's own

    def __init__(self):
        import torch

        self.torch, self.adamw, self.parameter = torch, torch.optim.AdamW, torch.Tensor.requires_grad_
        self.sparse = torch.sparse_coo_tensor([[1, 3]], torch.ones(2, 2), (4, 2), check_invariants=True)

    def apply(self, optimiser, parameter, gradient):
        view, parameter.grad = parameter.detach(), gradient
        assert (found := optimiser.step()) is None, f"step without a closure returned {found}; it must return None"
        assert parameter.is_leaf and parameter.requires_grad, "the parameter is no longer a leaf that needs a gradient"
        assert self.torch.equal(view, parameter), "another view of the parameter has not moved: update it in place"

    def minimise(self, optimiser, loss, parameters):
        def closure():
            optimiser.zero_grad()
            value = loss()
            value.backward()
            return value

        with self.torch.no_grad():
            return optimiser.step(closure)

    def sparing_decay(self, fw, kind, decayed, spared):
        """An optimiser, the options of each parameter, and where gradients are cut."""
        groups = {"params": [decayed]}, {"params": [spared], "weight_decay": 0.0}
        return kind(groups, **DECAYING), (DECAYING, PLAIN), np.inf

    def with_all_options(self, fw, kind, first, second):
        other = {"lr": 0.25, "betas": (0.5, 0.7), "eps": 0.5, "weight_decay": 0.3, "amsgrad": True}
        return kind([{"params": [first]}, {"params": [second], **other}], **PLAIN), (PLAIN, other), np.inf

    def joining(self, fw, kind, early, late):
        """An optimiser, what lets `late` join it, and the options of `late`."""
        optimiser = kind([early], **PLAIN)
        return optimiser, partial(optimiser.add_param_group, {"params": [late], "lr": 0.5}), PLAIN | {"lr": 0.5}

    def restored(self, optimiser, kind, parameters):
        """A new optimiser, from what the old one saves."""
        file, new = io.BytesIO(), kind(parameters)
        self.torch.save(optimiser.state_dict(), file)
        new.load_state_dict(self.torch.load(io.BytesIO(file.getvalue()), weights_only=True))
        return new


class Keras:
    corrects_epsilon = True  # ε is added to the root before its correction
    counts_missed_steps = True  # t is the optimiser's

    def __init__(self):
        import keras
        import tensorflow as tf

        self.keras, self.adamw, self.parameter = keras, keras.optimizers.AdamW, keras.Variable
        self.sparse = tf.IndexedSlices(tf.ones((2, 2)), tf.constant([1, 3]), tf.constant([4, 2]))

    def apply(self, optimiser, parameter, gradient):
        optimiser.apply_gradients([(gradient, parameter)])

    def minimise(self, optimiser, loss, parameters):
        return optimiser.minimize(loss, parameters)

    def sparing_decay(self, fw, kind, decayed, spared):
        optimiser = kind(learning_rate=0.125, weight_decay=0.4, beta_1=0.8, beta_2=0.95, epsilon=0.05)
        optimiser.exclude_from_weight_decay(var_list=[spared])
        return optimiser, (DECAYING, PLAIN), np.inf

    def with_all_options(self, fw, kind, first, second):
        rate = self.keras.optimizers.schedules.ExponentialDecay(0.25, decay_steps=1, decay_rate=0.5)
        optimiser = fw.optimiser(kind, [first, second], **PLAIN | {"lr": rate, "clipvalue": 0.5, "name": "mine"})
        assert optimiser.name == "mine", f"the name given was 'mine', the optimiser's is {optimiser.name!r}"
        return optimiser, [PLAIN | {"lr": 0.25 * 0.5 ** np.arange(5)}] * 2, 0.5

    def joining(self, fw, kind, early, late):
        return fw.optimiser(kind, [early, late], **PLAIN), lambda: None, PLAIN

    def restored(self, optimiser, kind, parameters):
        new, store = kind.from_config(json.loads(json.dumps(optimiser.get_config()))), {}
        optimiser.save_own_variables(store)
        new.build(parameters)
        new.load_own_variables({key: np.array(value) for key, value in store.items()})
        new.build(parameters)  # called again, it must change nothing
        return new


def official(fw):
    return {"torch": Torch, "tensorflow": Keras}[fw.name]()


def by_hand(fw, theta, gradients, lr, betas, eps, weight_decay, amsgrad):
    """AdamW as the formula reads, in float64: θ after each step.

    A gradient may also be None, or a function of θ; and lr a list with a rate for each step.
    """
    theta, (beta1, beta2) = np.asarray(theta, "float64"), betas
    mean = square = largest = np.zeros_like(theta)
    path, t, ways = [], 0, official(fw)
    for gradient, rate in zip(gradients, np.broadcast_to(lr, len(gradients)), strict=True):
        t += gradient is not None or ways.counts_missed_steps
        if gradient is not None:
            gradient = gradient(theta) if callable(gradient) else gradient
            theta = theta - rate * weight_decay * theta
            mean = beta1 * mean + (1 - beta1) * gradient
            square = beta2 * square + (1 - beta2) * gradient**2
            largest = np.maximum(largest, square)
            correction = np.sqrt(1 - beta2**t)
            root = np.sqrt(largest if amsgrad else square) / correction
            epsilon = eps / correction if ways.corrects_epsilon else eps
            theta = theta - rate * mean / (1 - beta1**t) / (root + epsilon)
        path.append(theta)
    return path
