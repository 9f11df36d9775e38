"""A study that survives its process, in PyTorch.

A search over hyperparameters runs for hours, so it should stop bad trials early and go on after a crash. Optuna does
both, if told: the objective draws its parameters while it runs, so that the space may depend on what was drawn before
(define by run), reports its accuracy after each epoch, and is stopped where that is worse than the median of earlier
trials; each result goes into a database at once (Akiba et al. 2019, Optuna: a next-generation hyperparameter
optimization framework). You write the space, the network, the objective, and the study that can be killed at any time.

Levels     1 the space · 2 the network · 3 the objective · 4 bad trials stopped · 5 the study · 6 kill and go on ·
           7 digits
Check      pytest -k optuna_study

Images are float32 tensors with 64 numbers each; labels are integers from 0 to 9. Accuracy is the share of right labels,
and the largest is the best.
"""

from collections.abc import Callable
from typing import Any

import optuna
from torch import Tensor, nn


def suggest(trial: optuna.Trial) -> dict[str, Any]:
    """Draw one point of the space.

    The names and ranges, in Optuna's words; both ends are included:

        depth      an int from 1 to 3: how many hidden layers
        width_0    an int from 8 to 64, on a logarithmic scale: the width of the first hidden layer
        width_1    the same for the second hidden layer, drawn only where there is one; and so on
        rate       a float from 1e-4 to 1e-1, on a logarithmic scale
        batch      one of the categories 32, 64, 128, in this order

    Nothing else is drawn: a trial of depth 1 has no width_1.

    Returns:
        {"widths": [width_0, …], "rate": rate, "batch": batch}.
    """
    raise NotImplementedError("suggest is yours to write")


def make_model(widths: list[int]) -> nn.Module:
    """A new network from 64 inputs to 10 logits: dense layers of these widths, each with a ReLU after it, then a dense
    layer without activation. Every layer has a bias; weights begin as the framework's layers begin by themselves.
    """
    raise NotImplementedError("make_model is yours to write")


def make_objective(
    train: tuple[Tensor, Tensor], validation: tuple[Tensor, Tensor], epochs: int, seed: int = 0
) -> Callable[[optuna.Trial], float]:
    """The function that a study calls once for each trial.

    It draws a point with `suggest`, builds one network with `make_model`, and trains it with Adam at the rate drawn,
    on the mean cross-entropy. An epoch goes once over all training images, in a new random order, in batches of the
    size drawn; the last batch may be smaller. After each epoch it reports the accuracy on the validation set to the
    trial, a float of Python, with the number of the epoch (from 0), and then asks the trial whether to stop; if so,
    it raises optuna.TrialPruned at once.

    Args:
        train, validation: images (N, 64), float32, and labels (N,), integers.
        epochs: how long a trial trains if it is not stopped.
        seed: of all random numbers of a trial's training. The same point and seed give the same accuracies, whatever
            was trained before; another seed gives another start and another order.

    Returns:
        The objective. It returns the accuracy after the last epoch, a float of Python.

    Raises:
        ValueError: epochs is less than one. By make_objective itself, before any trial.
    """
    raise NotImplementedError("make_objective is yours to write")


def run_study(
    objective: Callable[[optuna.Trial], float], storage: str | None, trials: int, seed: int = 0, name: str = "digits"
) -> optuna.Study:
    """Go on with the study of this name until `trials` trials have finished, or begin it if there is none.

    A trial has finished when it is complete or pruned; both count, a failed one does not. Finished trials stay as they
    are. Where enough have finished already, the objective is not called. One process at a time works on a study: a
    trial that is still running in the storage when run_study begins was left by a process that died, and is marked as
    failed.

    The largest value is the best. The pruner is Optuna's median rule: the first four complete trials and the epoch 0
    of every trial are safe; after that a trial is stopped where its best accuracy so far lies below the median of the
    complete trials at the same epoch. The sampler is up to you.

    The random numbers of the sampler come from the seed: two new studies with the same seed and objective try the same
    points, another seed tries others. But a study that goes on does not draw again the points that it tried before.

    An exception of the objective (other than TrialPruned) is not caught: Optuna records the trial as failed and lets
    the exception out; a later call goes on. Optuna's log is set to warnings (optuna.logging.set_verbosity).

    Args:
        storage: where the trials are kept, for example "sqlite:///study.db"; None keeps them in memory.
        name: a storage may hold several studies, which have nothing to do with each other.

    Raises:
        ValueError: trials is less than one.
    """
    raise NotImplementedError("run_study is yours to write")


def summary(study: optuna.Study) -> dict[str, Any]:
    """What came out of a study.

    Returns:
        {"complete": …, "pruned": …, "failed": …}, the numbers of trials in these states, and "best_value" and
        "best_params" of the best complete trial; both None where no trial is complete. What a pruned trial has
        reported is no result, however good it is.
    """
    raise NotImplementedError("summary is yours to write")
