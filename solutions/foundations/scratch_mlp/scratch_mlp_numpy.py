"""A neural network from scratch, in NumPy.

Backpropagation reads the forward pass in reverse. At the logits the gradient is probability minus one-hot label, over
the batch size: the log softmax and the mean in one. At each layer, the weight gets (its input)ᵀ times the gradient at
its output, the bias that gradient summed over the batch, and the layer below that gradient times the weight's
transpose. A ReLU lets the gradient through where it was on.

The traps: the ReLU's mask, one division by the batch size and not two, and labels that do not fit: without a word NumPy
takes -1 for the last class, and pairs every example with every label of a column.
"""

import numpy as np

Parameters = dict[str, np.ndarray]


def initial_parameters(inputs: int, hidden: int, classes: int, rng: np.random.Generator) -> Parameters:
    return {
        "hidden_weight": rng.normal(0, np.sqrt(2 / inputs), (inputs, hidden)),
        "hidden_bias": np.zeros(hidden),
        "output_weight": rng.normal(0, np.sqrt(2 / hidden), (hidden, classes)),
        "output_bias": np.zeros(classes),
    }


def forward(parameters: Parameters, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    hidden = np.maximum(x @ parameters["hidden_weight"] + parameters["hidden_bias"], 0)
    logits = hidden @ parameters["output_weight"] + parameters["output_bias"]
    shifted = logits - logits.max(axis=1, keepdims=True)
    return hidden, shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def loss(parameters: Parameters, x: np.ndarray, labels: np.ndarray) -> float:
    _, log_probabilities = forward(parameters, x)
    return float(-log_probabilities[_right_classes(log_probabilities, labels)].mean())


def gradients(parameters: Parameters, x: np.ndarray, labels: np.ndarray) -> Parameters:
    hidden, log_probabilities = forward(parameters, x)
    at_logits = np.exp(log_probabilities)
    at_logits[_right_classes(at_logits, labels)] -= 1
    at_logits /= len(x)
    at_hidden = at_logits @ parameters["output_weight"].T * (hidden > 0)
    return {
        "hidden_weight": x.T @ at_hidden,
        "hidden_bias": at_hidden.sum(axis=0),
        "output_weight": hidden.T @ at_logits,
        "output_bias": at_logits.sum(axis=0),
    }


def train(
    parameters: Parameters,
    x: np.ndarray,
    labels: np.ndarray,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    rng: np.random.Generator,
) -> list[float]:
    history = []
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            batch = order[start : start + batch_size]
            for name, gradient in gradients(parameters, x[batch], labels[batch]).items():
                parameters[name] -= learning_rate * gradient
        history.append(loss(parameters, x, labels))
    return history


def predict(parameters: Parameters, x: np.ndarray) -> np.ndarray:
    return forward(parameters, x)[1].argmax(axis=1)


def _right_classes(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of each example's own class in `scores` (batch, classes)."""
    examples, classes = scores.shape
    if labels.shape != (examples,):
        raise ValueError(f"{examples} examples, but labels of shape {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}, but there are {classes} classes")
    return np.arange(examples), labels
