"""Under which names the server may be asked: what keeps a stranger's domain from pointing at it (DNS rebinding)."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9][a-z0-9.-]{0,252}))(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class Hosts:
    """The names that a request's `Host` may say; with `any_address`, any IP address as well.

    A rebound request carries the attacker's domain in `Host`, never an address: addresses are safe where the machine has many.
    """

    names: frozenset[str] = LOOPBACK
    any_address: bool = False

    @classmethod
    def of(cls, host: str) -> Hosts:
        """For a server that listens on `host`: only loopback's names where that is loopback."""
        if is_loopback(host):
            return cls(LOOPBACK | {host.lower()})
        own = {name.lower() for name in (host, socket.gethostname(), socket.getfqdn()) if name}
        return cls(LOOPBACK | own, any_address=True)

    def know(self, authority: str) -> bool:
        """Is `authority`, such as localhost:8000, one of these names, with any port?"""
        name = name_of(authority)
        return name is not None and (name in self.names or (self.any_address and _is_address(name)))


def name_of(authority: str) -> str | None:
    """The host of `host:port`, in lower case and without brackets; None where it is not of that form."""
    match = _AUTHORITY.fullmatch(authority.lower())
    return (match[1] or match[2]) if match else None


def is_loopback(host: str) -> bool:
    """Does `host` name this machine to itself alone?"""
    return host.lower() == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
