"""Keras functions where there are some; all steps walk through the cycles together, in a loop that can be compiled."""

import math

import tensorflow as tf
from keras import ops


def step_decay(step, base, every, factor=0.1):
    if every <= 0:
        raise ValueError("stairs need a width")
    return finish(step, base * ops.power(factor, ops.floor_divide(wide(step), every)))


def exponential_decay(step, base, factor, over=1):
    if over <= 0:
        raise ValueError("a decay needs time")
    return finish(step, base * ops.exp(wide(step) / over * math.log(factor)))


def polynomial_decay(step, base, total, end=0.0, power=1.0):
    if total <= 0:
        raise ValueError("a decay needs time")
    gone = ops.minimum(wide(step), total) / total
    return finish(step, base - (base - end) * (1 - ops.power(1 - gone, power)))


def cosine_annealing(step, base, total, end=0.0):
    if total <= 0:
        raise ValueError("a decay needs time")
    return finish(step, ops.where(wide(step) < total, curve(base, end, wide(step) / total), end))


def warm_restarts(step, base, first, growth=1, end=0.0):
    if first <= 0 or growth < 1:
        raise ValueError("a cycle needs time")
    here = wide(step) % first if growth == 1 else wide(step)
    length = tf.fill(tf.shape(here), tf.constant(first, "float64"))

    def go_on(here, length):
        past = here >= length
        return tf.where(past, here - length, here), tf.where(past, length * growth, length)

    here, length = tf.while_loop(lambda here, length: tf.reduce_any(here >= length), go_on, [here, length])
    return finish(step, curve(base, end, here / length))


def one_cycle(step, peak, total, warmup=0.3, divide=25.0, final_divide=1e4):
    if warmup * total <= 1 or warmup >= 1:
        raise ValueError("no way up, or none down")
    low, top = peak / divide, warmup * total - 1
    here = ops.clip(wide(step), 0, total - 1)
    up = curve(low, peak, here / top)
    down = curve(peak, low / final_divide, (here - top) / (total - 1 - top))
    return finish(step, ops.where(ops.less(here, top), up, down))


def curve(high, low, gone):
    return (high + low) / 2 + (high - low) / 2 * ops.cos(math.pi * gone)


def wide(step):
    return ops.cast(step, "float64")


def finish(step, rate):
    return ops.cast(rate, step.dtype if step.dtype.is_floating else "float32")
