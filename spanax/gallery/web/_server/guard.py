"""Who may ask: the names of this machine, and pages that it served itself. Every answer gets the headers that bind a browser."""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .hosts import Hosts
from .replies import refusal

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-cache",  # a picture is drawn again, a script is updated
}
READING = ("GET", "HEAD")


class Guard:
    """Refuses a request that another site's page makes, or that comes under a name that is not this machine's."""

    def __init__(self, app: ASGIApp, hosts: Hosts):
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = _with_headers(send)
        if reason := self._wrong_host(scope) or _cross_site(scope):
            status, text = reason
            await refusal(status, text)(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _wrong_host(self, scope: Scope) -> tuple[int, str] | None:
        hosts = Headers(scope=scope).getlist("host")
        if len(hosts) == 1 and self.hosts.know(hosts[0]):
            return None
        return 421, "this server does not answer under that name: use the address that `spanax serve` shows"


def _cross_site(scope: Scope) -> tuple[int, str] | None:
    """A browser says who asks: in Origin with every POST, in Sec-Fetch-Site with every request. Other programs say nothing."""
    headers = Headers(scope=scope)
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    own = f"{scope['scheme']}://{headers.get('host', '')}".lower()
    if origin is not None and origin.lower() != own:
        return 403, "this request comes from another site's page"
    # A link on another page may lead here; a script or a form there may not ask.
    is_link = scope["method"] in READING and headers.get("sec-fetch-mode") == "navigate"
    if site not in (None, "same-origin", "none") and not is_link:
        return 403, "this request comes from another site's page"
    return None


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return with_headers
