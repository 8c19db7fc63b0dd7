"""`spanax gallery pendulum`, `cartpole`, `trebuchet`, `refine`, `mpc` and `aim`: environments."""

from pathlib import Path
from typing import Annotated

import typer

from .._messages import report_errors
from .._options import MOST, Traceback, between
from .control_tables import print_aim, print_cartpole, print_mpc, print_pendulum, print_refine, print_trebuchet
from .options import Out, Quick, Seed
from .running import gallery, run_problem, show


@gallery.command()
def pendulum(
    out: Out = Path("gallery-out/pendulum"),
    quick: Quick = False,
    updates: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Updates of the policy.", show_default="500, or 300 with --quick"),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="Starts of one update.")] = 32,
    horizon: Annotated[
        int, typer.Option(min=1, max=200, help="Steps from a start that a gradient goes back through.")
    ] = 40,
    seed: Seed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Swing a pendulum up by backpropagation through time, and judge the policy in Gymnasium's own Pendulum-v1.

    Ctrl-C ends the training early and reports what was learnt until then.
    """
    options = {"quick": quick, "updates": updates, "batch": batch, "horizon": horizon, "seed": seed}
    run_problem("pendulum", print_pendulum, "training", show_traceback, out, **options)


@gallery.command()
def mpc(
    out: Out = Path("gallery-out/mpc"),
    quick: Quick = False,
    horizon: Annotated[int, typer.Option(min=2, max=200, help="Steps that each plan looks ahead.")] = 30,
    seed: Seed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Swing a pendulum up by planning ahead, and learn the planner's model through its plans.

    Ctrl-C ends the work early and reports what is known until then.
    """
    run_problem("mpc", print_mpc, "judged", show_traceback, out, quick=quick, horizon=horizon, seed=seed)


@gallery.command()
def cartpole(
    out: Out = Path("gallery-out/cartpole"),
    quick: Quick = False,
    updates: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="Updates of backpropagation through time: 4 steps of one episode each.",
            show_default="150",
        ),
    ] = None,
    gradient_updates: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST,
            help="Updates of the policy gradient: 16 episodes each.",
            show_default="100, or 70 with --quick",
        ),
    ] = None,
    seed: Seed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Balance a pole: through the simulator with a straight-through action, and by a policy gradient, as a black box.

    Ctrl-C ends the training early and reports what was learnt until then.
    """
    options = {"quick": quick, "updates": updates, "gradient_updates": gradient_updates, "seed": seed}
    run_problem("cartpole", print_cartpole, "learners", show_traceback, out, **options)


@gallery.command()
def trebuchet(
    out: Out = Path("gallery-out/trebuchet"),
    quick: Quick = False,
    updates: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Updates, of 256 throws each.", show_default="2,000, or 300 with --quick"),
    ] = None,
    seed: Seed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Train a network that aims a trebuchet in wind, through the simulator of the throw.

    Ctrl-C ends the training early and reports what was learnt until then.
    """
    options = {"quick": quick, "updates": updates, "seed": seed}
    run_problem("trebuchet", print_trebuchet, "training", show_traceback, out, **options)


@gallery.command()
def refine(
    out: Out = Path("gallery-out/refine"),
    quick: Quick = False,
    updates: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Updates of each policy.", show_default="300"),
    ] = None,
    episodes: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=1000,
            help="Real episodes that a residual network is learned from; 0: none is.",
            show_default="10, or 0 with --quick",
        ),
    ] = None,
    seed: Seed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Refine two simulators that are wrong, a pendulum's and a trebuchet's, with data of the real systems.

    Ctrl-C ends the work early and reports what was found until then.
    """
    options = {"quick": quick, "updates": updates, "episodes": episodes, "seed": seed}
    run_problem("refine", print_refine, "stages", show_traceback, out, **options)


@gallery.command()
def aim(
    target: Annotated[float, typer.Option(callback=between(1, 250, "m"), help="How far to throw, in metres.")] = 90.0,
    wind: Annotated[
        float, typer.Option(callback=between(-30, 30, "m/s"), help="In m/s; from behind is positive.")
    ] = -2.0,
    out: Out = Path("gallery-out/aim"),
    quick: Quick = False,
    show_traceback: Traceback = False,
) -> None:
    """Aim one throw of a trebuchet in wind, by the gradient of the throw.

    There is no training, so --quick changes nothing.
    """
    from ...gallery.aim import run

    with report_errors(show_traceback):
        result = run(out, target=target, wind=wind, on_stage=show)
    print_aim(result)
