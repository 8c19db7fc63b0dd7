"""The first page: the gallery's results as HTML. Every text of a report is escaped; nothing in it is trusted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from itertools import groupby
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from ...problems import BY_NAME
from ...results import Record, Scalar, Table, collect, shown

PLACE = "<!--results-->"
MOST_FIGURES = 8  # in sight; the others are one click away
OTHER = "Other runs"
NOTHING = (
    '<p class="note">There are no results here yet. <code>spanax gallery tour</code> makes the first, in a minute and a half, '
    "and <code>spanax gallery --all --quick</code> all of them. Load this page again then.</p>"
)


def render(page: str, folder: str | Path) -> str:
    """The page with the results of `folder` in their place. Its links to them are relative: `results/PROBLEM/FILE`."""
    records = collect(folder)
    groups = groupby(records, key=lambda record: BY_NAME[record.name].group if record.name in BY_NAME else OTHER)
    sections = [
        f'<h2>{escape(group)}</h2>\n<div class="results">{_join(map(_article, found))}</div>' for group, found in groups
    ]
    return page.replace(PLACE, _join(sections) if records else NOTHING)


def _article(record: Record) -> str:
    name, ident = escape(record.name), escape(quote(record.name, safe=""))  # an identifier has no spaces
    parts = [f'<article class="card result" id="result-{ident}" aria-labelledby="title-{ident}">']
    parts.append(f'<h3 id="title-{ident}">{escape(record.title)}</h3>')
    parts.append(f'<p class="quiet"><code>spanax gallery {name}</code></p>' if record.name in BY_NAME else "")
    if record.problem:
        parts.append(f'<p class="note is-bad">{escape(record.problem)}</p>')
    if record.interrupted:
        parts.append('<p class="note">Interrupted: these are the results so far.</p>')
    parts += [_picture(path, record.title) for path in record.pictures]
    parts.append(_figures(record.figures))
    parts += [_table(table, record.title) for table in record.tables]
    parts.append(_folded("Settings", _list(record.settings.items())) if record.settings else "")
    return _join([*parts, "</article>"])


def _picture(path: str, title: str) -> str:
    where, stem = f"results/{quote(path)}", PurePosixPath(path).stem
    return f'<a href="{escape(where)}"><img src="{escape(where)}" alt="{escape(f"{title}: {_words(stem)}")}" loading="lazy"></a>'


def _figures(figures: Mapping[str, Scalar]) -> str:
    items = list(figures.items())
    rest = (
        _folded(f"{len(items) - MOST_FIGURES} more figures", _list(items[MOST_FIGURES:]))
        if items[MOST_FIGURES:]
        else ""
    )
    return (_list(items[:MOST_FIGURES]) if items else "") + rest


def _list(items: Iterable[tuple[str, Scalar]]) -> str:
    rows = [f"<dt>{escape(_words(name))}</dt><dd>{escape(shown(value))}</dd>" for name, value in items]
    return f'<dl class="figures">{_join(rows)}</dl>'


def _table(table: Table, title: str) -> str:
    heads = [f'<th scope="col">{escape(_words(head))}</th>' for head in table.heads]
    rows = [f"<tr>{''.join(f'<td>{escape(shown(cell))}</td>' for cell in row)}</tr>" for row in table.rows]
    name = escape(f"{title}: {_words(table.name)}")
    # A region that scrolls has to be reached by the keyboard, and named.
    inside = f"<table><thead><tr>{''.join(heads)}</tr></thead><tbody>{_join(rows)}</tbody></table>"
    return _folded(
        _words(table.name), f'<div class="scroll" role="region" tabindex="0" aria-label="{name}">{inside}</div>'
    )


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def _words(name: str) -> str:
    return name.replace("_", " ").replace(".", ": ")


def _join(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)
