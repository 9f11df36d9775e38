"""Both branches go through one function that knows where the norm stands, as in the Annotated Transformer."""

import keras
from keras import layers, ops


class EncoderBlock(keras.Model):
    def __init__(self, width, heads, hidden, dropout=0.1, norm_first=False, eps=1e-5):
        super().__init__()
        self.depth, rest = divmod(width, heads)
        if rest:
            raise ValueError("the heads must share the width evenly")
        self.heads, self.norm_first = heads, norm_first
        for name in ("query", "key", "value", "mix"):
            setattr(self, name, layers.Dense(width))
        self.expand = layers.Dense(hidden)
        self.contract = layers.Dense(width)
        self.norm1 = layers.LayerNormalization(-1, eps)
        self.norm2 = layers.LayerNormalization(-1, eps)
        for name in ("drop_weights", "drop_attended", "drop_hidden", "drop_fed"):
            setattr(self, name, layers.Dropout(dropout))

    def connect(self, x, norm, branch):
        return ops.add(x, branch(norm(x))) if self.norm_first else norm(ops.add(x, branch(x)))

    def call(self, x, mask=None, training=False):
        bias = 0.0 if mask is None else (1.0 - ops.cast(mask, x.dtype))[:, None, None] * -1e9
        x = self.connect(x, self.norm1, lambda h: self.attend(h, bias, training))
        return self.connect(x, self.norm2, lambda h: self.feed(h, training))

    def attend(self, x, bias, training):
        shape = (*x.shape[:2], self.heads, self.depth)
        q, k, v = (
            ops.transpose(ops.reshape(layer(x), shape), (0, 2, 1, 3)) for layer in (self.query, self.key, self.value)
        )
        looks = ops.softmax(ops.matmul(q, ops.swapaxes(k, -1, -2)) / ops.sqrt(float(self.depth)) + bias)
        mixed = ops.transpose(ops.matmul(self.drop_weights(looks, training=training), v), (0, 2, 1, 3))
        return self.drop_attended(self.mix(ops.reshape(mixed, x.shape)), training=training)

    def feed(self, x, training):
        hidden = ops.relu(self.expand(x))
        return self.drop_fed(self.contract(self.drop_hidden(hidden, training=training)), training=training)
