"""What the control problems of `spanax gallery` print at their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._tables import console, show_files, show_pairs, show_rows, show_text

if TYPE_CHECKING:
    from rich.console import Console

    from ...gallery import aim, cartpole, mpc, pendulum, refine, trebuchet
    from ...gallery.trained import Training

CHECK = "Gradient check: cosine of the first gradient with finite differences."


def print_pendulum(result: pendulum.Result) -> None:
    where = console()
    training, judgement = result.training, result.judgement
    # A run that is interrupted before its first update has only a file to show.
    if training is not None and judgement is not None:
        rows = {
            "judged by": f"{judgement.judge}, {judgement.starts:,} fixed starts",
            "mean return": f"{judgement.mean:,.1f} (the best there is: {judgement.optimum:,.1f})",
            "regret": f"{judgement.regret:,.1f}",
            "worst return": f"{judgement.worst:,.1f}",
            **_training_rows(training),
        }
        show_pairs(where, f"Pendulum by {training.name}, seed {result.settings.seed}", rows)
        _explain_check(where, training)
    show_files(where, result.files)


def print_mpc(result: mpc.Result) -> None:
    where = console()
    if result.judged:
        heads = "controller", "mean\nreturn", "regret", "worst\nreturn"
        rows = [
            (one.name, f"{one.mean:.1f}", "" if one.regret is None else f"{one.regret:.1f}", f"{one.worst:.1f}")
            for one in result.judged
        ]
        show_rows(
            where, f"Pendulum, from {result.settings.starts} fixed starts, seed {result.settings.seed}", heads, rows
        )
    if result.masses:
        show_text(
            where, f"The model's mass, learnt from actions: {', '.join(f'{mass:.3f}' for mass in result.masses)} kg."
        )
    show_files(where, result.files)


def print_cartpole(result: cartpole.Result) -> None:
    where = console()
    if result.learners:
        heads = "via", "mean\nreturn", "worst\nreturn", "episodes", "steps", "compiling\n(s)", "running\n(s)"
        rows = [
            (
                one.training.name,
                f"{one.judgement.mean:.1f}",
                f"{one.judgement.worst:.0f}",
                f"{one.training.episodes:,}",
                f"{one.training.env_steps:,}",
                f"{one.training.compile_s:.1f}",
                f"{one.training.run_s:.2f}",
            )
            for one in result.learners
        ]
        show_rows(where, f"CartPole, seed {result.settings.seed}", heads, rows)
        judgement = result.learners[0].judgement
        show_text(where, f"Returns: in {judgement.judge}, from {judgement.starts:,} fixed starts; 475 is solved.")
    show_files(where, result.files)


def print_trebuchet(result: trebuchet.Result) -> None:
    where = console()
    training, misses = result.training, result.misses
    if training is not None and misses is not None:
        rows = {
            "judged by": f"{misses.cases:,} targets in reach, of {misses.drawn:,} drawn",
            "miss, mean": f"{100 * misses.mean:.1f} cm",
            "miss, median": f"{100 * misses.median:.1f} cm",
            "miss, 95%": f"{100 * misses.percentile_95:.1f} cm",
            "miss, worst": f"{100 * misses.worst:.1f} cm",
            **_training_rows(training),
        }
        show_pairs(where, f"Trebuchet by {training.name}, seed {result.settings.seed}", rows)
        _explain_check(where, training)
    show_files(where, result.files)


def print_aim(result: aim.Result) -> None:
    where = console()
    settings = result.settings
    rows = []
    for one in result.tries:
        # "z" in the format: a miss of -0.0004 m is shown as 0.000, not as -0.000.
        numbers = one.angle, one.weight, one.distance, one.distance - settings.target
        rows.append((str(one.iteration), *(f"{x:z.3f}" for x in numbers)))
    title = f"Aiming at {settings.target:g} m in a wind of {settings.wind:g} m/s"
    show_rows(where, title, ("throw", "angle (°)", "weight (lb)", "distance (m)", "miss (m)"), rows, right=0)
    show_text(where, f"Aiming took {1000 * result.run_s:,.0f} ms, after {result.compile_s:.1f} s of compiling.")
    show_files(where, result.files)


def print_refine(result: refine.Result) -> None:
    where = console()
    if result.stages:
        rows = [(stage.simulator, f"{stage.episodes or '-'}", f"{stage.mean_return:,.1f}") for stage in result.stages]
        heads = "policy trained in", "real\nepisodes", "mean return on the\nreal pendulum"
        show_rows(where, f"A wrong simulator, refined with data, seed {result.settings.seed}", heads, rows)
    if result.found:
        rows = [
            (
                one.name,
                "-" if one.real is None else f"{one.real:g}",
                f"{one.coarse:g}",
                f"{one.found:.4g}",
                f"{one.standard_error:.2g}",
            )
            for one in result.found
        ]
        show_rows(where, "Parameters", ("", "real", "coarse", "found", "standard error"), rows)
    if result.aiming is not None:
        aiming = result.aiming
        show_text(
            where,
            f"Aimed throws miss by {aiming.before:.2f} m with the coarse model of the wind, and by {aiming.after:.2f} m with "
            f"the one learned from {aiming.throws} observed throws (root mean squares).",
        )
    show_files(where, result.files)


def _training_rows(training: Training) -> dict[str, str]:
    size = f"{training.updates:,} updates, {training.env_steps:,} steps, {training.episodes:,} episodes"
    checked = training.gradient_cosine
    return {
        "training": size,
        "seconds": f"{training.compile_s:.1f} to compile, {training.run_s:.1f} to run",
        **({} if checked is None else {"gradient check": f"{checked:.4f}"}),
    }


def _explain_check(where: Console, training: Training) -> None:
    if training.gradient_cosine is not None:
        show_text(where, CHECK)
