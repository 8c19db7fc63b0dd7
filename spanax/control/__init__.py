"""Environments, differentiable or not, and training in them."""

from . import trebuchet as trebuchet
from .callbacks import CSVLog as CSVLog, TensorBoard as TensorBoard
from .corrected import Corrected as Corrected
from .env import Box as Box, Discrete as Discrete, Env as Env
from .evaluate import evaluate as evaluate
from .event import Event as Event, event as event
from .gym.from_gymnasium import GymnasiumEnv as GymnasiumEnv, GymState as GymState, from_gymnasium as from_gymnasium
from .gym.to_gymnasium import to_gymnasium as to_gymnasium
from .identified import Identified as Identified
from .identify import identify as identify
from .methods.bptt import BPTT as BPTT
from .methods.choice import Choice as Choice
from .methods.learned_model import LearnedModel as LearnedModel
from .methods.mixed import Mixed as Mixed
from .methods.policy_gradient import PolicyGradient as PolicyGradient
from .methods.shac import SHAC as SHAC
from .mpc import MPC as MPC, Plan as Plan
from .mujoco.from_mujoco import MujocoEnv as MujocoEnv, MujocoState as MujocoState, from_mujoco as from_mujoco
from .mujoco.from_playground import PlaygroundEnv as PlaygroundEnv, from_playground as from_playground
from .policies.choice import ChoicePolicy as ChoicePolicy
from .policies.loading import load_policy as load_policy
from .policies.mirrored import mirrored as mirrored
from .policies.mlp import MLPPolicy as MLPPolicy
from .problems.cartpole import CartPole as CartPole
from .problems.pendulum import Pendulum as Pendulum
from .result import Result as Result, TrainingError as TrainingError
from .rollout import Trajectory as Trajectory, rollout as rollout
from .showing.animate import animate as animate
from .train import train as train
from .trebuchet.aim import aim as aim, reach as reach
from .trebuchet.env import Trebuchet as Trebuchet, shoot as shoot, throw as throw
from .wrappers import AutoReset as AutoReset, Batched as Batched, TimeLimit as TimeLimit
