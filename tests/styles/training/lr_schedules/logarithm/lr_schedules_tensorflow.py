"""One decorator counts and casts; the cycle comes from a logarithm, set right where rounding puts it one too low."""

import functools
import math

import tensorflow as tf


def schedule(function):
    @functools.wraps(function)
    def rated(step, *arguments, **options):
        rate = function(tf.cast(step, "float64"), *arguments, **options)
        return tf.cast(rate, step.dtype) if step.dtype.is_floating else tf.cast(rate, "float32")

    return rated


def demand(condition):
    if not condition:
        raise ValueError("these numbers make no schedule")


def swing(high, low, share):
    """sin² instead of the cosine: 0 at the start of the way and 1 at its end."""
    gone = tf.square(tf.sin(share * (math.pi / 2)))
    return tf.add(high * (1 - gone), low * gone)


@schedule
def step_decay(step, base, every, factor=0.1):
    demand(every > 0)
    return tf.multiply(tf.pow(tf.constant(factor, "float64"), step // every), base)


@schedule
def exponential_decay(step, base, factor, over=1):
    demand(over > 0)
    return base * tf.exp(step * (math.log(factor) / over))


@schedule
def polynomial_decay(step, base, total, end=0.0, power=1.0):
    demand(total > 0)
    return tf.nn.relu(total - step) ** power * (base - end) / total**power + end


@schedule
def cosine_annealing(step, base, total, end=0.0):
    demand(total > 0)
    return swing(base, end, tf.clip_by_value(step / total, 0.0, 1.0))


@schedule
def warm_restarts(step, base, first, growth=1, end=0.0):
    demand(first > 0 and growth >= 1)
    if growth == 1:
        return swing(base, end, tf.math.floormod(step, first) / first)

    def begin(cycle):
        return first * (tf.round(growth**cycle) - 1) / (growth - 1)

    cycle = tf.floor(tf.math.log1p(step * (growth - 1) / first) / math.log(growth))
    cycle += tf.cast(begin(cycle + 1) <= step, cycle.dtype) - tf.cast(begin(cycle) > step, cycle.dtype)
    return swing(base, end, (step - begin(cycle)) / (begin(cycle + 1) - begin(cycle)))


@schedule
def one_cycle(step, peak, total, warmup=0.3, divide=25.0, final_divide=1e4):
    demand(warmup * total > 1 and warmup < 1)
    top = warmup * total - 1
    rising = tf.clip_by_value(step / top, 0, 1)
    falling = tf.clip_by_value((step - top) / (total - 1 - top), 0, 1)
    return swing(peak / divide, peak, rising) + swing(0.0, peak / divide / final_divide - peak, falling)
