"""AdamW as a subclass of torch.optim.Optimizer.

Adam divides each step by the root of a running mean of squared gradients. A decay that is added to the gradient is
divided too, so parameters with large gradients are hardly decayed. AdamW shrinks the parameter itself instead
(Loshchilov and Hutter 2019, algorithm 2). For each parameter θ with gradient g, at its step t = 1, 2, …:

    θ ← θ − lr λ θ                              λ is weight_decay
    m ← β₁ m + (1 − β₁) g                       m̂ = m / (1 − β₁ᵗ)
    v ← β₂ v + (1 − β₂) g²                      v̂ = v / (1 − β₂ᵗ)
    θ ← θ − lr m̂ / (√v̂ + ε)

With amsgrad (Reddi, Kale and Kumar 2018) the entrywise largest v so far takes the place of v in v̂.

Levels     1 refusals · 2 the update · 3 decay · 4 amsgrad · 5 groups · 6 closure · 7 saved and restored · 8 real data
Off limits torch.optim.Adam, torch.optim.AdamW and the functions behind them
Check      pytest -k adamw
"""

from collections.abc import Callable, Iterable

from torch import Tensor
from torch.optim import Optimizer


class AdamW(Optimizer):
    """AdamW over tensors, or over groups of tensors, each group with options of its own.

    All that the next step needs lies where the base class keeps it, in `self.param_groups` (options) and
    `self.state[parameter]` (tensors and numbers): `state_dict`, `load_state_dict` and `add_param_group` then work as
    they are inherited, and a restored optimiser goes on exactly as the old one would have.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ):
        """Hand the parameters and the options, under the names above, to the base class.

        Args:
            params: tensors, or dictionaries with "params" and the options in which that group differs.
            lr: the learning rate. It may be changed between steps, in `param_groups`.
            betas: β₁ and β₂.
            eps: ε, added outside the root and after the correction.
            weight_decay: λ.
            amsgrad: use the largest v so far.

        Raises:
            ValueError: lr, eps or weight_decay is negative, or a β lies outside 0 ≤ β < 1.
        """
        raise NotImplementedError("__init__ is yours to write")

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update every parameter that has a gradient, in place, by the options of its group.

        A parameter whose grad is None is left alone: it is not decayed, and its t does not count on. The update is
        not recorded for differentiation.

        Args:
            closure: clears the gradients, computes the loss, calls backward and returns the loss. It is called once,
                before the update, with gradients enabled even where the caller has disabled them.

        Returns:
            The closure's loss; None without a closure.

        Raises:
            RuntimeError: a gradient is sparse. The message contains the word "sparse".
        """
        raise NotImplementedError("step is yours to write")
