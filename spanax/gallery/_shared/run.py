"""The skeleton of a problem's run: its folder, the stages it reports, Ctrl-C, and its report."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ... import control
from ..index import update_index
from .report import PACKAGES, write_report
from .requirements import check_requirements


class Run:
    """One run of the problem `name`. `interrupted`: did Ctrl-C end its training early?

    What was learnt until then is still judged, drawn and reported: only the training is cut short, never the run.
    """

    def __init__(
        self,
        out: str | Path,
        name: str,
        settings: Any,
        on_stage: Callable[[str], None] = lambda stage: None,
        *,
        needs: tuple[str, ...] = (),
        packages: tuple[str, ...] = (),
    ):
        # Before the folder is made, and long before the pictures: hours of work are not to end in a missing package.
        check_requirements(*needs)
        self.out, self.name, self.settings, self.stage = Path(out), name, settings, on_stage
        self.packages = (*PACKAGES, *packages)
        self.interrupted = False
        self.out.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def until_interrupted(self) -> Iterator[None]:
        """Work that Ctrl-C ends early without ending the run."""
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True

    def train(self, train: Callable[[], control.Result]) -> control.Result | None:
        """The result of a training with at least one update; None where Ctrl-C came before the first."""
        trained = None
        with self.until_interrupted():
            self.stage("training")
            trained = train()
            # `control.train` keeps the updates it has made when it is interrupted, and raises nothing then.
            self.interrupted = trained.interrupted
        return trained if trained is not None and len(trained.returns) else None

    def report(self, **figures: Any) -> Path:
        """Writes result.json, with the settings and these figures."""
        settings = asdict(self.settings)
        path = write_report(self.out, self.name, settings, self.interrupted, packages=self.packages, **figures)
        # The page that --all has left beside it, if it has: nothing else outside of the folder is written.
        update_index(self.out.parent)
        return path
