"""A client that sends nothing, or too slowly, or does not read, is not waited for. With half a second instead of 10."""

import socket
import time

import pytest

from spanax.gallery.web._server.protocol import PATIENCE, PatientProtocol

from .asking import post, raw, read_all
from .running import running

PATIENT = 0.5
HEAD = b"POST /api/test/square HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
BIG = 40_000_000  # bytes of a picture: more than the system keeps for a reader


@pytest.fixture(scope="module")
def hasty(folder, examples):
    (folder / "sample" / "big.png").write_bytes(b"\0" * BIG)
    with running(folder, patience=PATIENT) as server:
        yield server
    (folder / "sample" / "big.png").unlink()


def test_the_limit_is_ten_seconds():
    assert PatientProtocol.patience == PATIENCE == 10.0


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: localhost\r\n", HEAD, HEAD + b'{"x":'])
def test_half_a_request_is_closed(hasty, sent):
    received = raw(hasty, sent)  # comes back only because the server closes
    assert received == b"" and post(hasty, "test/square", {"x": 2}).status == 200


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", HEAD])
def test_a_byte_now_and_then_buys_no_time(hasty, sent):
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=30) as connection:
        connection.sendall(sent)
        with pytest.raises(OSError):  # a broken pipe, or a reset
            for _ in range(200):
                connection.sendall(b"a")
                time.sleep(PATIENT / 5)


@pytest.mark.parametrize("half", [b"GET / HTT", HEAD, HEAD + b'{"x":'])
def test_half_a_second_request_on_a_connection_is_closed_too(hasty, half):
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=30) as connection:
        connection.sendall(b"GET /toys/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n" + half)
        received = read_all(connection)
    assert received.startswith(b"HTTP/1.1 200") and received.count(b"HTTP/1.1") == 1


def test_who_does_not_read_is_not_waited_for(hasty):
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", hasty.port))
        connection.settimeout(30)
        connection.sendall(b"GET /results/sample/big.png HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _until(lambda: not hasty.uvicorn.server_state.connections)
        # What the system had taken over may still arrive, and is not all.
        assert len(read_all(connection)) < BIG


def test_many_who_say_nothing_keep_nobody_else_waiting(hasty):
    silent = [socket.create_connection(("127.0.0.1", hasty.port)) for _ in range(200)]
    assert post(hasty, "test/square", {"x": 2}).json == {"square": 4.0}
    _until(lambda: not hasty.uvicorn.server_state.connections)
    for connection in silent:
        connection.close()


def test_a_long_answer_that_is_read_is_not_cut_off(hasty):
    answer = post(hasty, "test/count", {"to": 60, "pause": PATIENT / 20})
    assert answer.status == 200 and len(answer.body.splitlines()) == 60


def test_connections_are_limited(folder, examples):
    with running(folder) as server:
        server.uvicorn.config.http_protocol_class.connections_at_once = 5
        try:
            silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(5)]
            _until(lambda: len(server.uvicorn.server_state.connections) == 5)
            assert raw(server, b"") == b""
            silent.pop().close()
            _until(lambda: len(server.uvicorn.server_state.connections) == 4)
            assert post(server, "test/square", {"x": 2}).status == 200
        finally:
            server.uvicorn.config.http_protocol_class.connections_at_once = 500
            for connection in silent:
                connection.close()


def _until(holds):
    last = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < last, "it does not happen"
        time.sleep(0.02)
