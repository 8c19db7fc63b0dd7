"""What `compare` found: the rows, what they were held against, and what follows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._numbers import join_names
from ._show.json import to_json
from ._show.page import fragment, page
from ._show.table import table
from .rows import Group as Group, Interval as Interval, Row as Row, Truth as Truth


@dataclass(frozen=True)
class Comparison:
    """Bridges of one program, or whole alternatives to it, ranked by their time to a given accuracy.

    - `rows`: one for each candidate, the best first;
    - `truth`: what the bias is measured against;
    - `draws`: gradients of each candidate; `accuracy`: what the time is to, a share of the truth's norm;
    - `ranked`: the leaves that the figures of a row are of, and its rank: those whose gradient the candidates do not all have
      exactly; of the others there is only a bias, by group and by leaf;
    - `recommendation`: one sentence with its reason; `code`: what it recommends, to paste;
    - `warnings`: what a reader should know before believing a row;
    - `histograms`: "coordinates" (the names of up to 4 elements of the gradient), "truth" (their true values), "standard_errors"
      (of these) and "draws" (label -> an array of n <= 2,000 gradients by coordinates), for pictures.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def f(theta, *, key):
    ...     return (sx.sample(key, dist.Bernoulli(logits=theta), name="z") - 0.25) ** 2
    >>> found = sx.compare(f, 0.0, key=jax.random.key(0), vias={"z": [sx.DisARM(), sx.StraightThrough()]}, draws=200)
    >>> [row.label for row in found.rows], found.ranked
    (['z=DisARM()', 'z=StraightThrough()'], ('theta',))
    """

    rows: tuple[Row, ...]
    truth: Truth
    draws: int
    accuracy: float
    ranked: tuple[str, ...]
    recommendation: str
    code: str
    warnings: tuple[str, ...]
    histograms: dict[str, Any]

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def to_text(self, width: int = 100) -> str:
        """The table and the notes, in lines of at most `width` columns."""
        return table(self.rows, self.truth, self.draws, self.accuracy, self.notes(), width)

    def notes(self) -> list[tuple[str, str]]:
        """(what it is, text): the recommendation, the code to paste, which leaves are ranked, and the warnings."""
        notes = [("recommended", self.recommendation)]
        if self.code:
            notes.append(("code", self.code))
        if self.ranked != tuple(self.rows[0].bias_by_leaf):
            others = "no draw depends on the other leaves, or all candidates have them without noise"
            notes.append(("figures and rank", f"of {join_names(self.ranked)}; {others}"))
        return notes + [("warning", text) for text in self.warnings]

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws the bias-variance plane and the histograms into a file (needs matplotlib: `pip install 'spanax[plots]'`)."""
        from .plots import draw

        draw(self, Path(path))

    def to_json(self) -> str:
        """One JSON object: "format" ("spanax.comparison"), "version" (2), and the fields of this class.

        NaN is null, an infinity the string "inf" or "-inf". Of the truth only its norm is kept, and of the histograms the counts
        in 40 bins of equal width that span all candidates' draws of a coordinate.
        """
        return to_json(self.rows, self.truth, self.draws, self.accuracy, self.ranked, self.notes(), self.histograms)

    def to_html(self, path: str | os.PathLike[str]) -> None:
        """Writes one page that needs no other file, no network and no script."""
        Path(path).write_text(page(self._repr_html_()), encoding="utf-8")

    def _repr_html_(self) -> str:
        """What a notebook shows: the page of `to_html` as one element."""
        return fragment(self.rows, self.truth, self.draws, self.accuracy, self.notes(), self.histograms)
