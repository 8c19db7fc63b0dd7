"""The toys: what the page's figures are computed by, as plain functions of a request's JSON object.

`ACTIONS["toy/action"](body) -> dict` answers `POST /api/toy/action`. `STREAMS["toy/action"](body, cancelled) -> Iterator[dict]`
answers with one JSON object a line, for as long as the page listens; `cancelled()` says whether it still does.
"""

from .registry import ACTIONS as ACTIONS, FIRST as FIRST, STREAMS as STREAMS, warm_up as warm_up
