"""Softmax, in NumPy.

Softmax turns numbers of any size, the logits z, into probabilities: none is negative, together they make one, and a
larger logit gets a larger share (Bridle 1990; Goodfellow et al. 2016, section 6.2.2.3):

    softmax(z)ᵢ = exp(zᵢ / T) / Σⱼ exp(zⱼ / T)

The temperature T sharpens the choice below 1 and flattens it above 1. Nearly every classifier ends in a softmax, and
attention is built around one. Typed in as it reads, the formula breaks on a logit of 1000: exp(1000) is infinite.
Begin with `softmax` alone: levels 1 and 2 need nothing else.

Levels     1 any axis · 2 temperature · 3 logarithm · 5 large logits · 6 minus infinity · 7 Jacobian times vector
           8 all rows at once (4, gradients, needs autograd)
Off limits scipy.special.softmax, scipy.special.log_softmax, scipy.special.logsumexp, sklearn.utils.extmath.softmax
Check      pytest -k softmax
"""

import numpy as np


def softmax(logits: np.ndarray, axis: int = -1, temperature: float = 1.0) -> np.ndarray:
    """Probabilities from logits, along one axis.

    Args:
        logits: floating point, not written to; any shape with at least one entry along the axis. The other axes may
            be empty. Entries are finite or -inf.
        axis: the probabilities sum to one along this axis; a negative number counts from the last.
        temperature: a positive number; the logits are divided by it.

    Returns:
        The probabilities, in the shape and dtype of the logits. Each slice along the axis is computed for itself.
        Nothing overflows on the way: float16 logits of ±1e4 at temperature 0.1 give the right probabilities, and so
        does a slice of 70 000 logits in float16.
        A logit of -inf gets probability zero. A slice of nothing but -inf offers no choice: it gets zeros.

    Raises:
        ValueError: the temperature is zero or negative.
    """
    raise NotImplementedError("softmax is yours to write")


def log_softmax(logits: np.ndarray, axis: int = -1, temperature: float = 1.0) -> np.ndarray:
    """The natural logarithm of the probabilities, as cross-entropy needs it.

    It is right where the probability itself is too small to be stored: the logits 0 and 1e4 give -1e4 and 0.

    Args:
        logits, axis, temperature: as for softmax.

    Returns:
        The logarithms, in the shape and dtype of the logits: finite where the logit is, as far as the dtype reaches,
        and -inf where the logit is -inf, also in a slice of nothing but -inf.

    Raises:
        ValueError: the temperature is zero or negative.
    """
    raise NotImplementedError("log_softmax is yours to write")


def softmax_jvp(probabilities: np.ndarray, vector: np.ndarray, axis: int = -1, temperature: float = 1.0) -> np.ndarray:
    """How fast the probabilities change when the logits move along `vector`: the Jacobian times the vector.

    The Jacobian ∂softmax(z)ᵢ/∂zⱼ of n logits has n² entries. It is symmetric, so this product is also the backward
    pass of softmax. It needs the probabilities only, which the forward pass has already computed.

    Args:
        probabilities: what softmax returned for some logits, with the same axis and temperature; not written to.
        vector: a direction in the space of those logits, in the shape and dtype of the probabilities; not written to.
        axis, temperature: as for softmax.

    Returns:
        The product, in the shape and dtype of the probabilities. On the way there is memory for at most 30 arrays
        of that size, so none for the Jacobian.

    Raises:
        ValueError: probabilities and vector differ in shape, or the temperature is zero or negative.
    """
    raise NotImplementedError("softmax_jvp is yours to write")
