"""The HTML of the page. Whatever a report holds is text in it: nothing of it becomes an element or an attribute of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from pathlib import PurePosixPath
from urllib.parse import quote

from ..problems import BY_NAME, Problem
from ..results import Record, Scalar, Table, shown
from .style import STYLE

GENERATOR = '<meta name="generator" content="spanax gallery">'
OPEN_ROWS = 12  # a longer table is folded
MOTION = ".gif"


def page(records: Sequence[Record], problems: Sequence[Problem]) -> str:
    """The whole page: what was run, and the commands of what was not."""
    body = "\n".join([_contents(records, problems), *map(_article, records)])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{GENERATOR}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Spanax: the gallery</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>Spanax: the gallery</h1>
<p class="quiet">Worked problems, their pictures, and what was measured.</p>
{body}
</main>
</body>
</html>
"""


def _contents(records: Sequence[Record], problems: Sequence[Problem]) -> str:
    links = [f'<li><a href="#{quote(one.name)}">{escape(one.title)}</a></li>' for one in records]
    there = {record.name for record in records}
    left = [
        f"<li>{escape(p.title)}: <code>spanax gallery {p.name}</code></li>" for p in problems if p.name not in there
    ]
    text = (
        f'<nav aria-label="Results"><h2>Results</h2><ul>{"".join(links)}</ul></nav>'
        if links
        else "<p>No results yet.</p>"
    )
    # A page that shows three of eighteen says what the others are.
    return text + (
        f"<details><summary>Not run yet: {len(left)}</summary><ul>{''.join(left)}</ul></details>" if left else ""
    )


def _article(record: Record) -> str:
    parts = [
        f'<h3 id="{quote(record.name)}">{escape(record.title)}</h3>',
        f'<p class="quiet">{" · ".join(_facts(record))}</p>',
        f'<p class="bad">No figures: {escape(record.problem)}.</p>' if record.problem else "",
        '<p class="bad">Interrupted: these are the results up to then.</p>' if record.interrupted else "",
        *(_picture(record, path) for path in record.pictures if not path.endswith(MOTION)),
        # Folded: a motion that runs by itself cannot be stopped.
        *(_folded("In motion", _picture(record, path)) for path in record.pictures if path.endswith(MOTION)),
        _pairs(record.figures),
        *map(_table, record.tables),
        _folded("Settings", _pairs(record.settings)) if record.settings else "",
    ]
    return "<article>" + "\n".join(part for part in parts if part) + "</article>"


def _facts(record: Record) -> Iterable[str]:
    if record.name in BY_NAME:
        yield f"<code>spanax gallery {escape(record.name)}</code>"
    else:
        yield f"in {escape(record.name)}"
    if record.when is not None:
        yield f"{datetime.fromtimestamp(record.when):%Y-%m-%d %H:%M}"


def _picture(record: Record, path: str) -> str:
    name = PurePosixPath(path).stem.replace("-", " ")
    text = escape(f"{record.title}: {name}", quote=True)
    return f'<a href="{quote(path)}"><img src="{quote(path)}" alt="{text}" loading="lazy"></a>'


def _folded(summary: str, content: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def _words(name: str) -> str:
    return escape(name.replace("_", " ").replace(".", ": "))


def _pairs(values: dict[str, Scalar]) -> str:
    rows = "".join(f"<dt>{_words(name)}</dt><dd>{escape(shown(value))}</dd>" for name, value in values.items())
    return f"<dl>{rows}</dl>" if rows else ""


def _table(table: Table) -> str:
    heads = "".join(f'<th scope="col">{_words(head)}</th>' for head in table.heads)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(shown(value))}</td>' for value in row)}</tr>" for row in table.rows)
    name = _words(table.name)
    # Can be focused, so that the keyboard can scroll it.
    region = f'<div class="wide" role="region" aria-label="{name}" tabindex="0">'
    whole = f"{region}<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    if len(table.rows) > OPEN_ROWS:
        return f"<details><summary>{name}: {len(table.rows)} rows</summary>{whole}</details>"
    return f"<h4>{name}</h4>{whole}"
