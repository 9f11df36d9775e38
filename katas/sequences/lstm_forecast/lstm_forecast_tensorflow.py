"""Forecasting a seasonal series with an LSTM, in TensorFlow.

Time series punish carelessness: a shuffled split or a scaler that has seen the future makes any model look good, and
many a network is worse than repeating last season (Hyndman and Athanasopoulos, Forecasting: principles and practice,
section 5.2, where that baseline is called seasonal naive). You cut the series in time, take the differences to a season
ago, scale them, make windows, train an LSTM, and roll it out over a whole season by feeding its own predictions back.
In the end it must beat the baselines on the part of the series that nothing has seen.

Levels     1 cutting in time · 2 scaling without the future · 3 the baseline · 4 the network · 5 training ·
           6 rollout and forecast · 7 against the baselines
Off limits nothing: use the layers, losses and optimizers of TensorFlow and Keras
Check      pytest -k lstm_forecast
"""

from tensorflow import Tensor, keras


def split(series: Tensor, test: int) -> tuple[Tensor, Tensor]:
    """The series (N,) cut in two, in time: all but the last `test` values, and these.

    Raises:
        ValueError: one of the parts would be empty.
    """
    raise NotImplementedError("split is yours to write")


def windows(series: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """All windows of consecutive values with the value that follows each.

    Args:
        series: (N,), floating point.
        steps: how many values a window has.

    Returns:
        Inputs (N − steps, steps) and targets (N − steps,), in the order of time.

    Raises:
        ValueError: steps is less than one, or there is not one window with a target.
    """
    raise NotImplementedError("windows is yours to write")


class Scaler:
    """Brings values to mean 0 and standard deviation 1, as measured on one series, and back."""

    def __init__(self, series: Tensor):
        """Measure mean and standard deviation (with N, not N − 1) of a series (N,).

        If all its values are equal, the deviation counts as one. What rounding leaves of it may be tiny and not zero.
        """
        raise NotImplementedError("Scaler is yours to write")

    def transform(self, values: Tensor) -> Tensor:
        """Values of any shape in units of the series."""
        raise NotImplementedError("transform is yours to write")

    def inverse(self, values: Tensor) -> Tensor:
        """What transform has made of the values, undone."""
        raise NotImplementedError("inverse is yours to write")


def prepare(series: Tensor, test: int, period: int, steps: int) -> tuple[Scaler, Tensor, Tensor]:
    """What training needs, without any knowledge of the last `test` values.

    These are cut off first. The rest is turned into its differences to a season ago, d_t = y_t − y_(t−period), where
    trend and season are gone; a scaler is measured on all these differences, and windows are made of the scaled ones.

    Args:
        series: (N,), N greater than test + period + steps.
        test: how many values are put aside.
        period: the length of a season.
        steps: how many differences a window has.

    Returns:
        The scaler, and inputs (N − test − period − steps, steps) and targets (N − test − period − steps,), both scaled.
    """
    raise NotImplementedError("prepare is yours to write")


def seasonal_naive(history: Tensor, period: int, horizon: int) -> Tensor:
    """The last season, repeated for as long as needed.

    Args:
        history: (B, T), several histories, the latest value last.
        period: the length of a season.
        horizon: how many values to forecast; may be longer than a season, or zero.

    Returns:
        (B, horizon).

    Raises:
        ValueError: period is less than one or longer than the history.
    """
    raise NotImplementedError("seasonal_naive is yours to write")


class Forecaster(keras.Model):
    """One LSTM over a window, and a dense layer on its last hidden state.

    Attributes:
        recurrent: keras.layers.LSTM (or LSTMCell), `units` wide, from one number at each step, as Keras makes it.
        readout: keras.layers.Dense with bias, from units to 1.
    """

    def __init__(self, units: int):
        """A network with its usual random weights."""
        raise NotImplementedError("Forecaster is yours to write")

    def call(self, x: Tensor) -> Tensor:
        """The value that follows each window: from (B, T), T at least one, to (B,)."""
        raise NotImplementedError("Forecaster.call is yours to write")


def train(model: Forecaster, inputs: Tensor, targets: Tensor, updates: int, learning_rate: float = 0.02) -> list[float]:
    """Updates by Adam at its usual settings, each on the mean squared error over all windows at once.

    Args:
        model: changed in place.
        inputs, targets: as `windows` gives them.
        updates: how many.
        learning_rate: Adam's.

    Returns:
        The loss of each update, measured before its change, as Python floats.

    Level 7 makes 160 updates: trace the update with tf.function.
    """
    raise NotImplementedError("train is yours to write")


def rollout(model: Forecaster, history: Tensor, horizon: int) -> Tensor:
    """Several values ahead: each prediction becomes the latest value of the window, and the oldest one leaves it.

    Args:
        model: maps windows (B, T) to the next values (B,).
        history: (B, T), scaled. Do not write into it.
        horizon: how many; may be zero.

    Returns:
        (B, horizon).
    """
    raise NotImplementedError("rollout is yours to write")


def forecast(model: Forecaster, scaler: Scaler, history: Tensor, period: int, horizon: int) -> Tensor:
    """A forecast in the units of the series.

    Model and scaler know differences to a season ago, as `prepare` makes them: the window for the model are the scaled
    differences that the history has. What the rollout predicts is scaled back, and each difference is added to the
    value one season before it, which is a forecast itself once the horizon exceeds a season.

    Args:
        model: maps windows of scaled differences (B, T − period) to the next one.
        scaler: of the differences.
        history: (B, T), T greater than period, in the units of the series. Do not write into it.
        period: the length of a season.
        horizon: how many values; may be zero.

    Returns:
        (B, horizon).
    """
    raise NotImplementedError("forecast is yours to write")
