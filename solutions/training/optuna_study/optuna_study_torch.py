"""A study that survives its process, in PyTorch.

The objective is a closure over the data: all that a trial changes (network, optimiser, random numbers) is made anew
inside, so its accuracy depends on the point alone. A report is worth nothing without the question after it: Optuna
stops no trial by itself.

Going on has three traps. n_trials is a number of further trials, so those finished are subtracted first. The trial
that died is still running in the storage, and nobody but us can end it. And a sampler that is made again from the same
seed draws again the points of the first run, so the seed moves on with the number of trials.
"""

from collections.abc import Callable
from typing import Any

import optuna
import torch
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import TrialState
from torch import Tensor, nn
from torch.nn import functional as F


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    depth = trial.suggest_int("depth", 1, 3)
    return {
        "widths": [trial.suggest_int(f"width_{layer}", 8, 64, log=True) for layer in range(depth)],
        "rate": trial.suggest_float("rate", 1e-4, 1e-1, log=True),
        "batch": trial.suggest_categorical("batch", [32, 64, 128]),
    }


def make_model(widths: list[int]) -> nn.Module:
    layers, size = [], 64
    for width in widths:
        layers += [nn.Linear(size, width), nn.ReLU()]
        size = width
    return nn.Sequential(*layers, nn.Linear(size, 10))


def make_objective(
    train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], epochs: int, seed: int = 0
) -> Callable[[optuna.Trial], float]:
    if epochs < 1:
        raise ValueError(f"a trial needs at least one epoch, not {epochs}")

    def objective(trial: optuna.Trial) -> float:
        point = suggest(trial)
        torch.manual_seed(seed)
        model = make_model(point["widths"]).to(train[0].device)
        optimiser = torch.optim.Adam(model.parameters(), point["rate"])
        for epoch in range(epochs):
            _train_epoch(model, optimiser, train, point["batch"])
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


def _train_epoch(model: nn.Module, optimiser: torch.optim.Optimizer, train: tuple[Tensor, Tensor], batch: int) -> None:
    images, labels = train
    for rows in torch.randperm(len(images), device=images.device).split(batch):
        optimiser.zero_grad()
        F.cross_entropy(model(images[rows]), labels[rows]).backward()
        optimiser.step()


@torch.no_grad()
def _accuracy(model: nn.Module, data: tuple[Tensor, Tensor]) -> float:
    images, labels = data
    return (model(images).argmax(dim=-1) == labels).double().mean().item()
