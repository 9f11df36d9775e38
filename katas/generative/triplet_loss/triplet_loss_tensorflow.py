"""Contrastive and triplet losses, in TensorFlow.

Learn a space in which distance means difference. The contrastive loss looks at one pair: pull it together, or push it
apart up to a margin (Hadsell, Chopra and LeCun 2006). The triplet loss looks at three: the anchor must be nearer to
the positive than to the negative by a margin (Schroff et al. 2015). With d the Euclidean distance:

    contrastive   same: d² / 2        different: max(0, margin - d)² / 2
    triplet       max(0, d(anchor, positive) - d(anchor, negative) + margin)

Most triplets are easy; batch-hard mining takes the worst of each anchor (Hermans, Beyer and Leibe 2017). No function
writes to its arguments.

Levels     1 shapes · 2 distances · 3 pairs and triplets · 4 hardest · 5 gradients · 6 zero distance · 7 no loops ·
           8 digits
Check      pytest -k triplet_loss
"""

from tensorflow import Tensor


def pairwise_distances(x: Tensor) -> Tensor:
    """The Euclidean distance of every row to every row.

    Args:
        x: (N, d), floating point.

    Returns:
        (N, N), in the dtype of x, accurate also where long vectors lie close together; 0 between equal rows. Where a
        distance is 0, its gradient is 0.
    """
    raise NotImplementedError("pairwise_distances is yours to write")


def contrastive_loss(a: Tensor, b: Tensor, same: Tensor, margin: float = 1.0) -> Tensor:
    """The loss of each pair by itself.

    Args:
        a, b: (N, d), floating point: the two sides of N pairs.
        same: (N,), boolean: whether the two belong together.
        margin: how far apart a pair that does not belong together has to be.

    Returns:
        (N,), in the dtype of a; not averaged. Where a distance is 0, its gradient is 0.

    Raises:
        ValueError: a and b differ in shape, same has another length, or the margin is negative.
    """
    raise NotImplementedError("contrastive_loss is yours to write")


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """The loss of each triplet by itself.

    Args:
        anchor, positive, negative: (N, d), floating point. Anchor and positive belong together, the negative does not.
        margin: how much farther away than the positive the negative has to be.

    Returns:
        (N,), in the dtype of the anchor; not averaged. Where a distance is 0, its gradient is 0.

    Raises:
        ValueError: the shapes differ, or the margin is negative.
    """
    raise NotImplementedError("triplet_loss is yours to write")


def triplet_gradients(
    anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradient of each row's `triplet_loss` in its three vectors, as a formula.

    Args:
        anchor, positive, negative, margin: as in `triplet_loss`.

    Returns:
        Three tensors (N, d), in the dtype of the anchor. A row whose loss is 0 has gradient 0; so has a distance of 0.

    Raises:
        ValueError: as in `triplet_loss`.
    """
    raise NotImplementedError("triplet_gradients is yours to write")


def batch_hard_loss(embeddings: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """The triplet loss of every row of a batch with its hardest partners, averaged over the anchors.

    The hardest positive is the farthest other row with the same label, even if it is an equal vector; the hardest
    negative is the nearest row with another label.

    Args:
        embeddings: (N, d), floating point.
        labels: (N,), integer.
        margin: as in `triplet_loss`.

    Returns:
        A scalar tensor in the dtype of the embeddings: the mean over the rows that have both a positive and a
        negative. Where there is none it is 0, and a gradient of 0 still reaches the embeddings.

    Raises:
        ValueError: labels have another length than embeddings, or the margin is negative.
    """
    raise NotImplementedError("batch_hard_loss is yours to write")
