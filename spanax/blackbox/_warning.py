"""A warning at the user's line, from wherever it is found."""

import re
import warnings

from .._errors import SpanaxWarning


def warn(message: str, where: str) -> None:
    place = re.match(r"(.*?):(\d+)(:\d+)? \(", where)  # a path may hold colons of its own
    file, line = (place[1], int(place[2])) if place else ("<unknown>", 0)
    warnings.warn_explicit(message, SpanaxWarning, file, line)
