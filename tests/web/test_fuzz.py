"""Requests that are nearly right, by the hundred: each is answered or closed in time, and none is an error of ours."""

import collections
import concurrent.futures
import logging
import random
import socket

import pytest

from .asking import read_all
from .running import running

SEEDS = [
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b'GET /results/sample/result.json HTTP/1.1\r\nHost: localhost\r\nRange: bytes=0-3,5-9\r\nIf-None-Match: "a"\r\n\r\n',
    b"POST /api/test/square HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n"
    b'{"x": 2.0}',
    b"POST /api/find/look HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n',
    b"POST /api/test/count HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 23\r\n\r\n"
    b'{"to": 3, "pause": 0.0}',
    b"HEAD /toys/base.css HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\nIf-Range: x\r\nIf-Modified-Since: Mon\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nOrigin: x\r\n\r\n",
    b"GET /toys/%ff%fe%00%2e HTTP/1.0\r\nHost: localhost\r\nUpgrade: h2c\r\nConnection: upgrade\r\nExpect: 100-continue\r\n"
    b"Content-Length: 5\r\n\r\nabc",
]
PIECES = [
    b"\r\n",
    b"..",
    b"%2e",
    b"%00",
    b"\0",
    b"//",
    b": ",
    b"Host: evil\r\n",
    b"\xff",
    b"0",
    b"-1",
    b"\\",
    b"{",
    b"?",
    b"#",
]


def mutated(rng):
    request = bytearray(rng.choice(SEEDS))
    for _ in range(rng.choice([0, 1, 1, 2, 3, 8])):
        at = rng.randrange(len(request) + 1)
        match rng.randrange(5):
            case 0:
                request[at : at + 1] = rng.randbytes(1)
            case 1:
                request[at:at] = rng.randbytes(rng.randrange(1, 5))
            case 2:
                del request[at : at + rng.randrange(1, 10)]
            case 3:
                request[at:at] = rng.choice(PIECES)
            case 4:
                request += rng.choice(SEEDS)
    return bytes(request)


@pytest.mark.parametrize("count", [300, pytest.param(2000, marks=pytest.mark.slow)])
def test_none_is_an_error_of_ours_and_none_stays_open(folder, examples, caplog, count):
    rng = random.Random(count)
    requests = [mutated(rng) for _ in range(count)]
    with running(folder, patience=0.5) as server, concurrent.futures.ThreadPoolExecutor(16) as pool:

        def status(request):
            with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
                try:
                    connection.sendall(request)
                    return read_all(connection).partition(b" ")[2][:3]
                except (BrokenPipeError, ConnectionResetError):
                    return b""

        found = dict(zip(requests, pool.map(status, requests), strict=True))
        assert not server.app.state.work._running
    statuses = collections.Counter(found.values())
    assert not {request: s for request, s in found.items() if s.startswith(b"5")}
    assert {b"200", b"400", b"403", b"404", b"415", b"421"} <= set(statuses)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
