"""Trials asked for and told one by one; the network is a model of its own, an epoch is one traced loop."""

import optuna
import tensorflow as tf
from optuna.trial import TrialState as State
from tensorflow import keras


def suggest(trial):
    point = {"rate": trial.suggest_float("rate", 1e-4, 1e-1, log=True), "widths": []}
    point["batch"] = trial.suggest_categorical("batch", (32, 64, 128))
    while len(point["widths"]) < trial.suggest_int("depth", 1, 3):
        point["widths"].append(trial.suggest_int(f"width_{len(point['widths'])}", 8, 64, log=True))
    return point


class Network(keras.Model):
    def __init__(self, widths):
        super().__init__()
        self.head = keras.layers.Dense(10)
        self.hidden = [keras.layers.Dense(width) for width in widths]
        self(tf.zeros([1, 64]))

    def call(self, x):
        for layer in self.hidden:
            x = tf.nn.relu(layer(x))
        return self.head(x)


def make_model(widths):
    return Network(widths)


class Objective:
    def __init__(self, train, validation, epochs, seed):
        self.train, self.validation, self.epochs, self.seed = train, validation, epochs, seed

    def __call__(self, trial):
        point = suggest(trial)
        keras.utils.set_random_seed(self.seed + 1)
        model = make_model(point["widths"])
        adam = keras.optimizers.Adam(point["rate"])
        adam.build(model.trainable_variables)
        data = tf.data.Dataset.from_tensor_slices(self.train).shuffle(10_000, seed=self.seed).batch(point["batch"])

        @tf.function
        def epoch_of_training():
            for images, labels in data:
                with tf.GradientTape() as tape:
                    loss = tf.reduce_mean(
                        keras.losses.sparse_categorical_crossentropy(labels, model(images), from_logits=True)
                    )
                adam.apply(tape.gradient(loss, model.trainable_variables))

        for epoch in range(self.epochs):
            epoch_of_training()
            guesses = model(self.validation[0]).numpy().argmax(axis=1)
            value = float((guesses == self.validation[1].numpy()).mean())
            trial.report(value, epoch)
            if trial.should_prune():
                raise optuna.exceptions.TrialPruned()
        return value


def make_objective(train, validation, epochs, seed=0):
    if epochs <= 0:
        raise ValueError("no epochs")
    return Objective(train, validation, epochs, seed)


def run_study(objective, storage, trials, seed=0, name="digits"):
    if trials <= 0:
        raise ValueError("no trials")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rule = optuna.pruners.PercentilePruner(50.0, n_startup_trials=4, n_warmup_steps=1)
    study = optuna.create_study(
        storage=storage, study_name=name, load_if_exists=True, direction="maximize", pruner=rule
    )
    finished = 0
    for old in study.trials:
        if not old.state.is_finished():
            study.tell(old.number, state=State.FAIL)
        finished += old.state in (State.COMPLETE, State.PRUNED)
    while finished < trials:
        study.sampler = optuna.samplers.RandomSampler(seed=1000 * seed + len(study.trials))
        trial = study.ask()
        try:
            study.tell(trial, objective(trial))
        except optuna.TrialPruned:
            study.tell(trial, state=State.PRUNED)
        except BaseException:
            study.tell(trial, state=State.FAIL)
            raise
        finished += 1
    return study


def summary(study):
    complete = study.get_trials(states=(State.COMPLETE,))
    found = {
        "complete": len(complete),
        "pruned": len(study.get_trials(states=(State.PRUNED,))),
        "failed": len(study.get_trials(states=(State.FAIL,))),
        "best_value": None,
        "best_params": None,
    }
    if complete:
        best = max(complete, key=lambda trial: trial.value)
        found.update(best_value=best.value, best_params=best.params)
    return found
