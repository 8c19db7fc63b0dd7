"""The gallery's problems, in the order in which the command line and the docs show them. Imports no jax.

A new problem is one more line here, beside its module, its command and its section in docs/gallery.md;
tests/gallery/test_problems.py says which of these is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

START = "Start here"
CHOICES = "Draws and choices in a network"
BOXES = "Programs without a derivative"
WORLDS = "Simulators and environments"
TORCH = "In PyTorch"


@dataclass(frozen=True)
class Problem:
    """One worked problem.

    - `name`: of its command, and of its folder in gallery-out; its module `spanax.gallery.NAME` has `_` for `-`;
    - `title`: one line, without a full stop;
    - `group`: the heading that it stands under;
    - `needs`: modules without which it is left out of `--all`;
    - `extra`: what brings them: `pip install 'spanax[EXTRA]'`.
    """

    name: str
    title: str
    group: str
    needs: tuple[str, ...] = ()
    extra: str = "gallery"

    @property
    def module(self) -> str:
        return f"spanax.gallery.{self.name.replace('-', '_')}"

    def missing(self) -> tuple[str, ...]:
        """The modules of `needs` that are not installed; none is imported."""
        return tuple(name for name in self.needs if find_spec(name) is None)


PROBLEMS = (
    Problem("tour", "A step cuts a gradient: found, bridged, judged and learnt", START),
    Problem("gap", "A red and a blue path: what autodiff sees of a gradient, and what it misses", START),
    Problem("vae", "A VAE with 200 binary latents on real digits, by every bridge", CHOICES),
    Problem("attention", "Hard attention: where to look at a digit, chosen by sampling", CHOICES),
    Problem("retrieval", "Retrieve a document and read it: an argmax between two networks", CHOICES),
    Problem("words", "Write number words for a metric that has no gradient: BLEU", CHOICES, ("sacrebleu",)),
    Problem("rlhf", "An exact audit of policy losses: REINFORCE, RLOO, GRPO, PPO and others", CHOICES),
    Problem("sorting", "Which of several pictures shows the larger number? Learnt from ranks alone", CHOICES),
    Problem("renderer", "Fit triangles to a picture through a renderer without a derivative", BOXES),
    Problem("calibrate", "Fit five parameters of a stochastic epidemic to one curve", BOXES),
    Problem("pendulum", "Swing a pendulum up, by backpropagation through time", WORLDS),
    Problem("cartpole", "Balance a pole: through the simulator, and as a black box", WORLDS),
    Problem("trebuchet", "Train a network that aims a trebuchet in wind", WORLDS),
    Problem("aim", "Aim one throw of a trebuchet by the gradient of the throw", WORLDS),
    Problem("refine", "Refine two wrong simulators with data of the real systems", WORLDS),
    Problem("mpc", "Swing a pendulum up by planning ahead, and learn the planner's model", WORLDS),
    Problem(
        "torch-attention", "Hard attention in PyTorch: the dead line, and five ways across", TORCH, ("torch",), "torch"
    ),
    Problem("torch-router", "A mixture of 8 experts in PyTorch: the router's gradient", TORCH, ("torch",), "torch"),
)

BY_NAME = {problem.name: problem for problem in PROBLEMS}
