"""The block that Transformer encoders are stacked of, in TensorFlow.

Two branches, each added to what came in: attention lets the tokens look at each other, and a small network works on
every token by itself. Where the layer norms stand is the choice that decides how a deep stack trains:

    post-norm   y = norm1(x + attend(x))          output = norm2(y + feed(y))          Vaswani et al. 2017
    pre-norm    y = x + attend(norm1(x))          output = y + feed(norm2(y))          Xiong et al. 2020

    feed(h) = contract(drop_hidden(relu(expand(h)))), then drop_fed
    attend(h) = mix(heads side by side), then drop_attended; a head is drop_weights(softmax(Q Kᵀ / √(width / heads))) V

Levels     1 post-norm · 2 pre-norm · 3 padding · 4 dropout · 5 the official layer · 6 gradients
Off limits keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention, keras.layers.Attention
Check      pytest -k encoder_block
"""

import keras
from tensorflow import Tensor


class EncoderBlock(keras.layers.Layer):
    """One block. Its layers are Keras' own, in attributes of exactly these names:

    query, key, value, mix      keras.layers.Dense, width → width, with bias; head h has columns h·d to (h+1)·d of the
                                first three, d = width / heads, and mix projects the heads side by side
    expand, contract            keras.layers.Dense, width → hidden and back, with bias
    norm1, norm2                keras.layers.LayerNormalization over the width
    drop_weights, drop_attended, drop_hidden, drop_fed      keras.layers.Dropout
    """

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        dropout: float = 0.1,
        norm_first: bool = False,
        eps: float = 1e-5,
    ):
        """Make the layers.

        Args:
            width: of a token.
            heads: how many heads; divides the width.
            hidden: the width between expand and contract.
            dropout: the rate of all four dropouts.
            norm_first: pre-norm instead of post-norm.
            eps: of both norms.

        Raises:
            ValueError: heads does not divide the width.
        """
        raise NotImplementedError("EncoderBlock.__init__ is yours to write")

    def call(self, x: Tensor, mask: Tensor | None = None, training: bool = False) -> Tensor:
        """Run the block; dropout is active in training only.

        Args:
            x: (B, T, width), float32. It is not written to.
            mask: Boolean (B, T): True where there is a token, False where there is padding. No token looks at padding.
            training: whether dropout is active.

        Returns:
            (B, T, width). What stands at the places of padding does not matter, but every number is finite, even if a
            sequence is nothing but padding.
        """
        raise NotImplementedError("EncoderBlock.call is yours to write")
