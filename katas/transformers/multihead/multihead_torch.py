"""Multi-head attention, in PyTorch.

One attention gives each query one average of the values. Multi-head attention takes several at once: every head looks
through a projection of its own, narrower by as many times as there are heads, and a last projection mixes what they
found (Vaswani et al. 2017, section 3.2.2). Per head h, with columns h·d to (h+1)·d of the projected width D = heads·d:

    head_h = softmax(Q_h K_hᵀ / √d) V_h          output = [head_1 … head_H] W_O + b_O

Self-attention gives the same tensor as query, key and value; cross-attention takes keys and values from elsewhere.
You get the projection weights as arguments and write everything between them.

Levels     1 heads · 2 values · 3 masks · 4 gradients · 5 large scores · 6 no loops
Off limits torch.nn.MultiheadAttention, torch.nn.functional.multi_head_attention_forward
Check      pytest -k multihead
"""

from collections.abc import Mapping

from torch import Tensor


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Give each head its own columns, side by side: head h gets columns h·d to (h+1)·d.

    Args:
        x: (B, T, D); T may be 0.
        heads: how many heads, one or more.

    Returns:
        (B, heads, T, d) with d = D / heads.

    Raises:
        ValueError: heads does not divide D.
    """
    raise NotImplementedError("split_heads is yours to write")


def merge_heads(x: Tensor) -> Tensor:
    """Put the columns of the heads side by side again: the inverse of `split_heads`.

    Args:
        x: (B, heads, T, d).

    Returns:
        (B, T, heads·d).
    """
    raise NotImplementedError("merge_heads is yours to write")


def multihead(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weights: Mapping[str, Tensor],
    heads: int,
    mask: Tensor | None = None,
    key_mask: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Project, split, attend in every head, merge, project.

    Args:
        query: (B, Q, query width), floating point. No argument is written to.
        key: (B, K, key width).
        value: (B, K, value width).
        weights: "query" (query width, D), "key" (key width, D), "value" (value width, D) and "output"
            (D, output width), each with a bias "query_bias" (D,), "key_bias" (D,), "value_bias" (D,) and "output_bias"
            (output width,). A projection of x is x @ weights[name] + weights[name + "_bias"].
        heads: how many heads; divides D.
        mask: Boolean, broadcasts to (B, heads, Q, K), for example a causal (Q, K): True where the query may look.
        key_mask: Boolean, (B, K): True where the key is a token, False where it is padding, hidden from every query.
            With both masks a query may look where both allow it.

    Returns:
        The output (B, Q, output width) and the attention weights of every head (B, heads, Q, K), in the dtype of the
        query. A query that may look nowhere has weights of zero, and its output is "output_bias". The scores may be
        in the thousands.

    Raises:
        ValueError: heads does not divide D, or key and value differ in length.
    """
    raise NotImplementedError("multihead is yours to write")
