"""Environments of Gymnasium, in both directions."""

from .from_gymnasium import GymnasiumEnv as GymnasiumEnv, GymState as GymState, from_gymnasium as from_gymnasium
from .to_gymnasium import to_gymnasium as to_gymnasium
