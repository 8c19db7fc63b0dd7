"""Where the evaluations of a black box run."""

from .processes import processes as processes
from .ray import ray_executor as ray_executor
from .run import Run as Run
