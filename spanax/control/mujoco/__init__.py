"""Environments simulated by MuJoCo in JAX (MJX), and others of the interface of Brax and MuJoCo Playground."""

from .from_mujoco import MujocoEnv as MujocoEnv, from_mujoco as from_mujoco
from .from_playground import PlaygroundEnv as PlaygroundEnv, from_playground as from_playground
from .state import MujocoState as MujocoState
