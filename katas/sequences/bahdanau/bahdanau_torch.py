"""Additive attention, in PyTorch.

A translator that must press a whole sentence into one vector forgets long ones. Bahdanau, Cho and Bengio (2015, Neural
machine translation by jointly learning to align and translate) let the decoder look back at every step: its state, the
query, is compared with the encoder's state at every position of the source, the memory, by a small network:

    score(t, s) = v · tanh(W query_t + U memory_s)
    weights     = softmax of the scores over the real positions s
    context_t   = Σ_s weights(t, s) memory_s

The weights are an alignment that one can look at: in the end your layer learns to read a sequence backwards.

Levels     1 shapes and refusals · 2 values · 3 padding · 4 gradients · 5 nothing computed twice · 6 large scores ·
           7 alignment
Off limits torch.nn.functional.scaled_dot_product_attention, torch.nn.MultiheadAttention
Check      pytest -k bahdanau
"""

from torch import Tensor, nn


class BahdanauAttention(nn.Module):
    """One additive attention, with three trained matrices and no bias.

    Attributes:
        query_layer: nn.Linear without bias, W, from query_size to units.
        memory_layer: nn.Linear without bias, U, from memory_size to units.
        score_layer: nn.Linear without bias, v, from units to 1.
    """

    def __init__(self, query_size: int, memory_size: int, units: int):
        """Three linear layers with their usual random weights, in PyTorch's default dtype."""
        raise NotImplementedError("BahdanauAttention is yours to write")

    def project(self, memory: Tensor) -> Tensor:
        """The keys U memory_s.

        They are the same at every step of a decoder, so a decoder computes them once per sentence.

        Args:
            memory: (B, S, memory_size).

        Returns:
            (B, S, units).
        """
        raise NotImplementedError("project is yours to write")

    def forward(
        self, query: Tensor, memory: Tensor, real: Tensor | None = None, keys: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Look at the memory once for every query.

        The number of operations depends on no size: neither on B, nor on T, nor on S.

        Args:
            query: (B, T, query_size), floating point; a decoder that goes step by step has T = 1.
            memory: (B, S, memory_size), S at least one.
            real: boolean (B, S), True at a real position and False at padding; None: all are real.
            keys: what project(memory) gave; the memory is then not projected again. None: project it here.

        Returns:
            The context (B, T, memory_size) and the weights (B, T, S), in the dtype of the layer. The weights of a
            query sum to one over the real positions, however large or small the scores are, and are exactly zero at
            padding, where the memory may hold any finite numbers. In a sequence without any real position both are
            zeros, and gradients stay finite.

        Raises:
            ValueError: the arguments have not exactly the shapes above; nothing is broadcast.
        """
        raise NotImplementedError("forward is yours to write")
