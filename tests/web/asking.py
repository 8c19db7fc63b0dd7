"""Requests as they are written, which a client library would tidy up."""

import http.client
import json
import socket
from typing import NamedTuple

JSON = {"content-type": "application/json"}


class Answer(NamedTuple):
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def ask(server, target, *, method="GET", headers=None, body=None, host=None):
    """One request on a connection of its own; `host` is what its Host says, () for no Host."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    try:
        connection.putrequest(method, target, skip_host=host is not None, skip_accept_encoding=True)
        if host:
            connection.putheader("host", host)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None and "content-length" not in (headers or {}):
            connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def post(server, action, content, **headers):
    """`POST /api/action` with a JSON body."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return ask(server, f"/api/{action}", method="POST", headers={**JSON, **headers}, body=body)


def raw(server, sent, *, timeout=30.0):
    """All that the server answers to these bytes until it closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as connection:
        connection.sendall(sent)
        return read_all(connection)


def read_all(connection):
    received = b""
    while True:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            return received
        if not part:
            return received
        received += part
