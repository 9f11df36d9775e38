"""The whole Transformer, encoder and decoder, in TensorFlow.

The model that dropped recurrence (Vaswani et al. 2017): an encoder reads the source, all of it at once; a decoder
writes the target word by word, looking at what it has written and at the source. In training all words of the target
are learned at once, so nothing may tell the decoder what comes next: neither its input nor its attention. You write it
all, prove that no future leaks, train it on a little language, and let it translate.

    encoder layer    x += attention(norm1(x), norm1(x))                  x += feed(norm2(x))
    decoder layer    x += attention(norm1(x), norm1(x))   x += cross(norm2(x), memory)   x += feed(norm3(x))
    feed(h) = contract(relu(expand(h)))          head = softmax(Q Kᵀ / √(width / heads)) V

    memory = encoder_norm(encoder layers(embed(source)))
    logits = decoder_norm(decoder layers(embed(target))) Eᵀ          E, the embedding table, also makes the logits
    embed(ids) = √width · E[ids] + waves                             and is shared by source and target

Norms      before each branch, in every layer of their own, with epsilon 1e-5. There is no dropout here.
Sentences  integers (B, T), PAD at the end of short ones. A target ends with EOS; the decoder's input begins with BOS.
Masks      True where one may look. No position looks at a PAD of the source, and no position of the target at a later
           one. The target needs no padding mask: its PADs come last, where only PADs look at them.
Levels     1 shift, mask and loss · 2 attention · 3 no future · 4 the model · 5 translation · 6 learns
Off limits keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention, keras.layers.Attention
Check      pytest -k full_transformer
"""

import keras
from tensorflow import Tensor

PAD, BOS, EOS = 0, 1, 2


def shift_right(target: Tensor) -> Tensor:
    """What the decoder reads to predict the target: BOS, then the target without its last id.

    Args:
        target: integers (B, T), T ≥ 1. It is not written to.

    Returns:
        Integers (B, T).
    """
    raise NotImplementedError("shift_right is yours to write")


def causal_mask(length: int) -> Tensor:
    """Boolean (length, length): row i is True at the places that position i may look at, itself included."""
    raise NotImplementedError("causal_mask is yours to write")


def translation_loss(logits: Tensor, target: Tensor) -> Tensor:
    """The mean cross-entropy in nats of all ids of the target that are not PAD.

    Args:
        logits: (B, T, V), float32; may be in the thousands.
        target: integers (B, T), at least one of them not PAD.

    Returns:
        The loss, a scalar.
    """
    raise NotImplementedError("translation_loss is yours to write")


def waves(length: int, width: int) -> Tensor:
    """The sinusoidal positions: entry [p, 2i] is sin(p / 10000^(2i / width)), entry [p, 2i + 1] the cosine of the same.

    Args:
        length: up to a hundred.
        width: even.

    Returns:
        (length, width), float32.
    """
    raise NotImplementedError("waves is yours to write")


class Attention(keras.layers.Layer):
    """Multi-head attention. Layers: `query`, `key`, `value`, `mix`, each keras.layers.Dense, width → width, with bias.

    Head h has the columns h·d to (h+1)·d of the first three, d = width / heads; mix projects the heads side by side.
    """

    def __init__(self, width: int, heads: int):
        """Make the layers. Raises a ValueError where heads does not divide the width."""
        raise NotImplementedError("Attention.__init__ is yours to write")

    def call(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Let x look at the memory.

        Args:
            x: (B, T, width), which asks.
            memory: (B, S, width), which keys and values are made of.
            mask: Boolean, broadcasts to (B, heads, T, S): True where one may look, somewhere in every row.

        Returns:
            (B, T, width).
        """
        raise NotImplementedError("Attention.call is yours to write")


class EncoderLayer(keras.layers.Layer):
    """`attention`, an Attention; `expand`, width → hidden, and `contract`, back, both keras.layers.Dense with bias;
    `norm1` and `norm2`, keras.layers.LayerNormalization."""

    def __init__(self, width: int, heads: int, hidden: int):
        """Make the layers."""
        raise NotImplementedError("EncoderLayer.__init__ is yours to write")

    def call(self, x: Tensor, mask: Tensor) -> Tensor:
        """Run the layer on x, (B, S, width), with a mask as in Attention."""
        raise NotImplementedError("EncoderLayer.call is yours to write")


class DecoderLayer(keras.layers.Layer):
    """As EncoderLayer, with a second Attention, `cross`, and a third norm, `norm3`."""

    def __init__(self, width: int, heads: int, hidden: int):
        """Make the layers."""
        raise NotImplementedError("DecoderLayer.__init__ is yours to write")

    def call(self, x: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """Run the layer on x, (B, T, width). Masks as in Attention: one for x, one for the memory (B, S, width)."""
        raise NotImplementedError("DecoderLayer.call is yours to write")


class Transformer(keras.Model):
    """`embedding`, keras.layers.Embedding; `encoder` and `decoder`, lists of layers; `encoder_norm`, `decoder_norm`.

    Nothing else has weights: the logits are made with the embedding's own table.
    """

    def __init__(self, vocabulary: int, width: int = 32, heads: int = 4, hidden: int = 64, layers: int = 1):
        """Make the layers.

        Args:
            vocabulary: how many ids there are, PAD, BOS and EOS included.
            width: of a token; even.
            heads, hidden: of every layer.
            layers: how many the encoder has, and how many the decoder.

        The embedding starts with normal numbers of standard deviation 1 / √width: tokens and logits then have size 1.
        """
        raise NotImplementedError("Transformer.__init__ is yours to write")

    def call(self, source: Tensor, target: Tensor) -> Tensor:
        """The logits of what comes after each position of the target.

        Args:
            source: integers (B, S), with PAD at the end of short sentences; none is PAD alone.
            target: integers (B, T), what the decoder reads: it begins with BOS, see `shift_right`.

        Returns:
            (B, T, vocabulary), float32. What stands at a PAD of the target does not matter.
        """
        raise NotImplementedError("Transformer.call is yours to write")

    def encode(self, source: Tensor) -> Tensor:
        """The memory of the source, (B, S, width)."""
        raise NotImplementedError("Transformer.encode is yours to write")

    def decode(self, target: Tensor, memory: Tensor, source: Tensor) -> Tensor:
        """The logits, (B, T, vocabulary), from what the decoder reads, the memory, and the source it was made of."""
        raise NotImplementedError("Transformer.decode is yours to write")


def train(
    model: Transformer,
    sources: Tensor,
    targets: Tensor,
    updates: int,
    batch: int = 64,
    learning_rate: float = 8e-3,
) -> list[float]:
    """Train the model with Adam (Kingma & Ba 2015) at its usual settings, on `translation_loss`.

    Args:
        model: changed in place.
        sources, targets: integers (N, S) and (N, T), pairs of sentences.
        updates: how many updates to make.
        batch: each update draws as many different pairs at random, or takes all N if there are no more.
        learning_rate: Adam's in the first update. It falls by the same amount after each, to nothing after the last:
            at a high rate the model learns fast, at a low one it settles.

    Returns:
        The loss of each update, measured before its change: a list of Python floats.

    Level 6 makes 300 updates: trace the update with tf.function, or it will take too long for the test.
    """
    raise NotImplementedError("train is yours to write")


def translate(model: Transformer, source: Tensor, longest: int) -> Tensor:
    """Write the translation word by word, always the likeliest id, whichever that is, and read it for the next.

    Args:
        model: the model.
        source: integers (B, S), as in Transformer.
        longest: how many ids to write, one or more.

    Returns:
        Integers (B, longest). A translation ends with its first EOS, and PAD follows; the BOS is left out.
    """
    raise NotImplementedError("translate is yours to write")
