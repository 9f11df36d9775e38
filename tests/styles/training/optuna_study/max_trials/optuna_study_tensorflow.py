"""The study counts by Optuna's own callback; a compiled Keras model is trained batch by batch."""

from collections import Counter

import numpy as np
import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.study import MaxTrialsCallback, StudyDirection
from optuna.trial import TrialState
from tensorflow import keras

DONE = (TrialState.COMPLETE, TrialState.PRUNED)


def suggest(trial):
    widths = tuple(f"width_{layer}" for layer in range(trial.suggest_int("depth", 1, 3)))
    return {
        "widths": [trial.suggest_int(name, 8, 64, log=True) for name in widths],
        "rate": trial.suggest_float("rate", 0.0001, 0.1, log=True),
        "batch": trial.suggest_categorical("batch", [32, 64, 128]),
    }


def make_model(widths):
    inputs = hidden = keras.Input((64,))
    for width in widths:
        hidden = keras.layers.ReLU()(keras.layers.Dense(width)(hidden))
    return keras.Model(inputs, keras.layers.Dense(10)(hidden))


def accuracies(point, train, validation, seed):
    """Endless: the accuracy after each further epoch."""
    keras.utils.set_random_seed(seed)
    model, rng = make_model(point["widths"]), np.random.default_rng(seed)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(point["rate"]), loss)
    images, labels = train[0].numpy(), train[1].numpy()
    while True:
        order = rng.permutation(len(labels))
        for start in range(0, len(order), point["batch"]):
            rows = order[start : start + point["batch"]]
            model.train_on_batch(images[rows], labels[rows])
        yield float(np.mean(model(validation[0]).numpy().argmax(1) == validation[1].numpy()))


def make_objective(train, validation, epochs, seed=0):
    if not epochs >= 1:
        raise ValueError("no epochs")

    def objective(trial):
        for epoch, accuracy in zip(range(epochs), accuracies(suggest(trial), train, validation, seed), strict=False):
            trial.report(accuracy, step=epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return accuracy

    return objective


def run_study(objective, storage, trials, seed=0, name="digits"):
    if trials < 1:
        raise ValueError("no trials")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(study_name=name, storage=storage, direction=StudyDirection.MAXIMIZE)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(study_name=name, storage=storage)
    study.pruner = MedianPruner(4, 1)
    states = [trial.state for trial in study.trials]
    for number, state in enumerate(states):
        if state == TrialState.RUNNING:
            study.tell(number, state=TrialState.FAIL)
    start = int(np.random.SeedSequence([seed, len(states)]).generate_state(1)[0])
    study.sampler = TPESampler(seed=start, multivariate=False, n_startup_trials=5)
    if sum(map(states.count, DONE)) < trials:
        study.optimize(objective, callbacks=[MaxTrialsCallback(trials, states=DONE)])
    return study


def summary(study):
    counts = Counter(trial.state.name for trial in study.trials)
    try:
        best_value, best_params = study.best_value, study.best_params
    except ValueError:
        best_value = best_params = None
    return {
        "complete": counts["COMPLETE"],
        "pruned": counts["PRUNED"],
        "failed": counts["FAIL"],
        "best_value": best_value,
        "best_params": best_params,
    }
