"""The trebuchet: its machine, its motion, its throws, and how they are aimed."""

from .aim import Aim as Aim, Reach as Reach, aim as aim, reach as reach
from .env import Shot as Shot, Trebuchet as Trebuchet, shoot as shoot, throw as throw
from .machine import Machine as Machine
from .record import Throw as Throw
