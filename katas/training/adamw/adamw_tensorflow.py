"""AdamW as a subclass of keras.optimizers.Optimizer.

Adam divides each step by the root of a running mean of squared gradients. A decay that is added to the gradient is
divided too, so parameters with large gradients are hardly decayed. AdamW shrinks the parameter itself instead
(Loshchilov and Hutter 2019, algorithm 2). For each parameter θ with gradient g, at step t = 1, 2, …:

    θ ← θ − lr λ θ                              λ is weight_decay
    m ← β₁ m + (1 − β₁) g
    v ← β₂ v + (1 − β₂) g²                      α = lr √(1 − β₂ᵗ) / (1 − β₁ᵗ)
    θ ← θ − α m / (√v + ε)                      Keras puts ε before the correction of v; PyTorch puts it after

With amsgrad (Reddi, Kale and Kumar 2018) the entrywise largest v so far takes the place of v in the last line.

Levels     1 refusals · 2 the update · 3 decay · 4 amsgrad · 5 groups · 6 closure · 7 saved and restored · 8 real data
Off limits keras.optimizers.Adam, keras.optimizers.AdamW, keras.optimizers.get and the operations behind them
Check      pytest -k adamw
"""

from collections.abc import Callable, Sequence

import keras
from tensorflow import Tensor


class AdamW(keras.optimizers.Optimizer):
    """AdamW with the arguments of keras.optimizers.AdamW.

    All that the next step needs lies in `self.variables`, where the base class looks for it: m, v, the largest v, and
    the count of steps, which the base class keeps in `self.iterations` (it adds one after each step). Values saved
    from one optimiser and assigned to another then let it go on exactly as the first would have.

    Keras has no parameter groups. What comes nearest is inherited and must work: `exclude_from_weight_decay`, called
    before the first step; a learning rate that is assigned between steps, or that is a schedule; `clipvalue` and
    the other options of the base class.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **options,
    ):
        """Keep the numbers of the update, and hand the rest to the base class.

        Args:
            learning_rate: lr, or a schedule of it.
            weight_decay: λ. The base class decays where it is given weight_decay; once is enough.
            beta_1, beta_2: β₁ and β₂.
            epsilon: ε, added outside the root and before the correction.
            amsgrad: use the largest v so far.
            options: name, clipvalue, clipnorm and the rest of the base class's arguments.

        Raises:
            ValueError: learning_rate (where it is a number), epsilon or weight_decay is negative, or a β lies
                outside 0 ≤ β < 1.
        """
        raise NotImplementedError("__init__ is yours to write")

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Create m and v (and the largest v, with amsgrad) for each variable; called again, do nothing.

        Keras calls it before the first step.

        Args:
            variables: all that this optimiser will ever update.
        """
        raise NotImplementedError("build is yours to write")

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        """Update one variable in place. `apply` and `apply_gradients` of the base class call it for each gradient.

        It must work inside a tf.function too, which runs this Python once and the operations at every step.

        Args:
            gradient: of the variable's shape and dtype. The dtype may be float16, float32 or float64.
            variable: what to update.
            learning_rate: lr at this step, as the base class computed it.

        Raises:
            RuntimeError: the gradient is sparse (tf.IndexedSlices). The message contains the word "sparse".
        """
        raise NotImplementedError("update_step is yours to write")

    def get_config(self) -> dict:
        """The arguments of the constructor, by name, in plain numbers and strings: `from_config` needs them all."""
        raise NotImplementedError("get_config is yours to write")

    def minimize(self, loss: Callable[[], Tensor], variables: Sequence[keras.Variable]) -> Tensor:
        """Compute the loss and its gradients, and take one step. This is what a closure is to torch.optim.

        Args:
            loss: a function without arguments. It is called once.
            variables: what to update.

        Returns:
            The loss, as computed before the step.
        """
        raise NotImplementedError("minimize is yours to write")
