"""`spanax gallery`: the worked problems."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from .._interrupts import keep
from ..gallery.names import VaeBridge
from ._calibrate_tables import print_calibrate
from ._control_tables import print_aim, print_cartpole, print_mpc, print_pendulum, print_refine, print_trebuchet
from ._messages import end_interrupted, report_errors, show_help
from ._options import FOLDER, MOST, SEEDS, Traceback, between, even, writable_folder
from ._progress import show_progress
from ._renderer_table import print_renderer
from ._torch_tables import print_torch_attention, print_torch_router
from ._vae_table import print_vae_table

gallery = typer.Typer()

Quick = Annotated[bool, typer.Option("--quick", help="A short run: under a minute on two cores.")]
Seed = Annotated[int, typer.Option(min=0, max=SEEDS, help="Fixes the initial parameters and the draws.")]
Out = Annotated[Path, typer.Option(callback=writable_folder, help=FOLDER)]
Seeds = Annotated[
    int | None, typer.Option(min=1, max=1000, help="How many seeds.", show_default="3, or 1 with --quick")
]
FirstSeed = Annotated[
    int, typer.Option(min=0, max=SEEDS, help="The first of the seeds: of the split, the weights, the draws.")
]


@gallery.callback(invoke_without_command=True)
def _gallery(context: typer.Context) -> None:
    """Worked problems on real data, and in simulated worlds."""
    show_help(context)


def _run(
    problem: str, show: Callable[[Any], None], results: str, show_traceback: bool, out: Path, **options: Any
) -> None:
    """Runs a gallery problem, prints its tables, and ends with the status of an interrupt if Ctrl-C cut it short.

    `results` names the part of its result that holds something where anything was learnt.
    """
    with report_errors(show_traceback):
        # Here: it imports jax, which --help does not need, or torch, which may not be there.
        run = importlib.import_module(f"..gallery.{problem}", __package__).run
        result = run(out, on_stage=_show_training, **options)
    show(result)
    _end(result.interrupted, getattr(result, results))


def _end(interrupted: bool, results: object) -> None:
    if interrupted:
        end_interrupted(*(["these are the results so far"] if results else []))


def _show(stage: str) -> None:
    typer.echo(stage, err=True)


def _show_training(stage: str) -> None:
    """A stage of a problem that trains: from its first update on there are results to report at Ctrl-C."""
    # From here on an interrupt is to report what there is, and not to end the process at once.
    keep()
    _show(stage)


@gallery.command()
def vae(
    via: Annotated[
        list[VaeBridge] | None,
        typer.Option(
            metavar="NAME",
            help=f"A bridge to train; repeat the option for several. One of {', '.join(VaeBridge)}.",
            show_default="all of them",
        ),
    ] = None,
    out: Out = Path("gallery-out/vae"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, help="Training steps for each bridge.", show_default="6,000, or 500 with --quick"
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            min=2, max=1000, callback=even, help="Decoder evaluations for each image and gradient; an even number."
        ),
    ] = 4,
    seed: Annotated[
        int, typer.Option(min=0, max=SEEDS, help="Fixes the split, the initial parameters and the draws.")
    ] = 0,
    show_traceback: Traceback = False,
) -> None:
    """Train a VAE with 200 Bernoulli latents on real 8x8 digits, once for each bridge, and compare them.

    Ctrl-C ends the training early and reports what was learnt until then.
    """
    from ..gallery.vae import run

    with report_errors(show_traceback), show_progress() as on_progress:
        result = run(
            out,
            quick=quick,
            via=via or tuple(VaeBridge),
            steps=steps,
            samples=samples,
            seed=seed,
            on_progress=on_progress,
        )
    print_vae_table(result)
    _end(result.interrupted, result.bridges)


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
    _run("pendulum", print_pendulum, "training", show_traceback, out, **options)


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
    _run("mpc", print_mpc, "judged", show_traceback, out, quick=quick, horizon=horizon, seed=seed)


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
    _run("cartpole", print_cartpole, "learners", show_traceback, out, **options)


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
    _run("trebuchet", print_trebuchet, "training", show_traceback, out, **options)


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
    _run("refine", print_refine, "stages", show_traceback, out, **options)


@gallery.command()
def renderer(
    out: Out = Path("gallery-out/renderer"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Steps of each fit.", show_default="400, or 200 with --quick"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Fixes the start and the draws.")] = 0,
    show_traceback: Traceback = False,
) -> None:
    """Fit coloured triangles to a picture through a renderer without a derivative, in four ways.

    Ctrl-C ends the fits early and reports how far they came.
    """
    options = {"quick": quick, "steps": steps, "seed": seed}
    _run("renderer", print_renderer, "fits", show_traceback, out, **options)


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
    from ..gallery.aim import run

    with report_errors(show_traceback):
        result = run(out, target=target, wind=wind, on_stage=_show)
    print_aim(result)


@gallery.command()
def calibrate(
    out: Out = Path("gallery-out/calibrate"),
    quick: Quick = False,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that run the simulator.")] = 2,
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Fixes the epidemic, and all draws of the fits.")] = 0,
    show_traceback: Traceback = False,
) -> None:
    """Fit five parameters of a stochastic epidemic to one curve: by least squares, by descent and by a surrogate.

    What has been evaluated is kept in the folder: the same command again runs none of it twice, Ctrl-C or not.
    """
    _run("calibrate", print_calibrate, "methods", show_traceback, out, quick=quick, workers=workers, seed=seed)


@gallery.command("torch-attention")
def torch_attention(
    out: Out = Path("gallery-out/torch-attention"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Training steps of each way.", show_default="1,500, or 500 with --quick"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many seeds.", show_default="3, or 1 with --quick")
    ] = None,
    seed: FirstSeed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Hard attention in PyTorch: find the dead line, and train where to look in five ways.

    Ctrl-C ends the training early and reports what came to its end.
    """
    options = {"quick": quick, "steps": steps, "seeds": seeds, "seed": seed}
    _run("torch_attention", print_torch_attention, "learners", show_traceback, out, **options)


@gallery.command("torch-router")
def torch_router(
    out: Out = Path("gallery-out/torch-router"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Training steps of each way.", show_default="1,500, or 500 with --quick"),
    ] = None,
    balance: Annotated[
        float, typer.Option(callback=between(0, 100), help="Weight of the term that keeps all experts in use.")
    ] = 0.3,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many seeds.", show_default="5, or 1 with --quick")
    ] = None,
    seed: FirstSeed = 0,
    show_traceback: Traceback = False,
) -> None:
    """A mixture of 8 experts in PyTorch: the router's gradient in five ways, beside the exact one.

    Ctrl-C ends the work early and reports what came to its end.
    """
    options = {"quick": quick, "steps": steps, "seeds": seeds, "seed": seed, "balance": balance}
    _run("torch_router", print_torch_router, "ways", show_traceback, out, **options)
