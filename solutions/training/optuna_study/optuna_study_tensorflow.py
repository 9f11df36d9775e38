"""A study that survives its process, in TensorFlow.

The objective is a closure over the data: all that a trial changes (network, optimiser, random numbers) is made anew
inside, so its accuracy depends on the point alone. A report is worth nothing without the question after it: Optuna
stops no trial by itself.

Going on has three traps. n_trials is a number of further trials, so those finished are subtracted first. The trial
that died is still running in the storage, and nobody but us can end it. And a sampler that is made again from the same
seed draws again the points of the first run, so the seed moves on with the number of trials.

A trial has a network and an optimiser of its own, so it traces a step of its own: once, as the signature leaves the
length of a batch open.
"""

from collections.abc import Callable
from typing import Any

import optuna
import tensorflow as tf
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState
from tensorflow import Tensor, keras


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    depth = trial.suggest_int("depth", 1, 3)
    return {
        "widths": [trial.suggest_int(f"width_{layer}", 8, 64, log=True) for layer in range(depth)],
        "rate": trial.suggest_float("rate", 1e-4, 1e-1, log=True),
        "batch": trial.suggest_categorical("batch", [32, 64, 128]),
    }


def make_model(widths: list[int]) -> keras.Model:
    hidden = [keras.layers.Dense(width, activation="relu") for width in widths]
    return keras.Sequential([keras.Input([64]), *hidden, keras.layers.Dense(10)])


def make_objective(
    train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], epochs: int, seed: int = 0
) -> Callable[[optuna.Trial], float]:
    if epochs < 1:
        raise ValueError(f"a trial needs at least one epoch, not {epochs}")

    def objective(trial: optuna.Trial) -> float:
        point = suggest(trial)
        keras.utils.set_random_seed(seed)
        model = make_model(point["widths"])
        step = _train_step(model, keras.optimizers.Adam(point["rate"]), train)
        for epoch in range(epochs):
            order = tf.random.shuffle(tf.range(len(train[0])))
            for start in range(0, len(order), point["batch"]):
                step(order[start : start + point["batch"]])
            accuracy = _accuracy(model, validation)
            trial.report(accuracy, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned(f"stopped after epoch {epoch}")
        return accuracy

    return objective


def run_study(
    objective: Callable[[optuna.Trial], float], storage: str | None, trials: int, seed: int = 0, name: str = "digits"
) -> optuna.Study:
    if trials < 1:
        raise ValueError(f"a study needs at least one trial, not {trials}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=storage,
        study_name=name,
        direction="maximize",
        load_if_exists=True,
        pruner=MedianPruner(n_startup_trials=4, n_warmup_steps=1),
    )
    for left in study.get_trials(states=[TrialState.RUNNING]):
        study.tell(left.number, state=TrialState.FAIL)
    study.sampler = TPESampler(seed=seed + len(study.trials))
    missing = trials - len(study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED]))
    if missing > 0:
        study.optimize(objective, n_trials=missing)
    return study


def summary(study: optuna.Study) -> dict[str, Any]:
    states = [trial.state for trial in study.trials]
    best = study.best_trial if TrialState.COMPLETE in states else None
    return {
        "complete": states.count(TrialState.COMPLETE),
        "pruned": states.count(TrialState.PRUNED),
        "failed": states.count(TrialState.FAIL),
        "best_value": best and best.value,
        "best_params": best and best.params,
    }


def _train_step(
    model: keras.Model, optimiser: keras.optimizers.Optimizer, train: tuple[Tensor, Tensor]
) -> Callable[[Tensor], None]:
    """An update on these rows of the training set; traced once, whatever their number."""
    optimiser.build(model.trainable_variables)
    images, labels = train

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def step(rows: Tensor) -> None:
        with tf.GradientTape() as tape:
            logits = model(tf.gather(images, rows), training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(labels, rows), logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimiser.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    return step


def _accuracy(model: keras.Model, data: tuple[Tensor, Tensor]) -> float:
    images, labels = data
    right = tf.argmax(model(images, training=False), axis=-1, output_type=labels.dtype) == labels
    return float(tf.reduce_mean(tf.cast(right, tf.float64)))
