"""The names of the choices that a gallery problem offers. Imports no jax, so that the command line can list them."""

from enum import StrEnum


class VaeBridge(StrEnum):
    """How gradients cross the latent draws of the VAE."""

    SCORE_FUNCTION = "score-function"
    MOVING_AVERAGE = "moving-average"
    LEAVE_ONE_OUT = "leave-one-out"
    DISARM = "disarm"
    GUMBEL_SOFTMAX = "gumbel-softmax"
    STRAIGHT_THROUGH = "straight-through"
    REINMAX = "reinmax"
    GAUSSIAN = "gaussian"
