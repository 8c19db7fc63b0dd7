"""Trainings: line by line, a few at a time, and over when nobody listens."""

import json
import socket
import threading
import time

import pytest

from spanax.gallery.web._server.work import TRAININGS

from .asking import ask, post

ENDLESS = {"to": 100_000, "pause": 0.005}


def start(server, content):
    """A training that is being read: the connection, and its first lines."""
    body = json.dumps(content).encode()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = "POST /api/test/count HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    connection.sendall(head.format(len(body)).encode() + body)
    received = b""
    while b'{"i":2}\n' not in received and b"error" not in received:
        received += connection.recv(4096)
    return connection, received


def running_trainings():
    return [thread for thread in threading.enumerate() if thread.name == "spanax-training"]


def until_none_runs():
    last = time.monotonic() + 30
    while running_trainings():
        assert time.monotonic() < last, "a training goes on"
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def nothing_left_over():
    yield
    until_none_runs()


def test_each_item_is_a_line(server):
    answer = post(server, "test/count", {"to": 50, "pause": 0})
    assert answer.headers["content-type"] == "application/x-ndjson" and answer.headers["cache-control"] == "no-store"
    assert [json.loads(line) for line in answer.body.splitlines()] == [{"i": i} for i in range(50)]
    assert "content-security-policy" in answer.headers


def test_lines_come_as_they_are_made(server):
    connection, received = start(server, ENDLESS)
    with connection:
        assert received.startswith(b"HTTP/1.1 200") and running_trainings()


def test_a_client_that_goes_ends_its_training(server, examples):
    before = len(examples)
    connection, _ = start(server, ENDLESS)
    assert len(running_trainings()) == 1 and len(examples) == before
    connection.close()
    until_none_runs()
    assert len(examples) == before + 1  # the iterator's own `finally` has run


def test_a_wrong_argument_has_a_status_and_a_later_error_is_the_last_line(server, caplog):
    assert post(server, "test/count", {"to": 0}).status == 422
    answer = post(server, "test/count", {"to": 2, "pause": 0, "then": "fail"})
    *lines, last = [json.loads(line) for line in answer.body.splitlines()]
    assert answer.status == 200 and len(lines) == 2 and "failed" in last["error"] and "secret" not in last["error"]
    assert "a secret" in caplog.text


def test_one_too_many_is_told_to_wait_and_a_place_becomes_free(server, monkeypatch):
    monkeypatch.setattr("spanax.gallery.web._server.work.PATIENCE", 0.1)
    started = [start(server, ENDLESS)[0] for _ in range(TRAININGS)]
    answer = post(server, "test/count", {"to": 1})
    assert answer.status == 503 and "retry-after" in answer.headers and "trainings" in answer.json["error"]
    # Pages and short actions are served all the same.
    assert post(server, "test/square", {"x": 2}).status == 200 and ask(server, "/").status == 200
    monkeypatch.setattr("spanax.gallery.web._server.work.PATIENCE", 20.0)
    started.pop().close()  # as a page that is loaded again
    assert post(server, "test/count", {"to": 1}).status == 200
    started.pop().close()


def test_one_that_hangs_keeps_only_its_own_place(server, monkeypatch):
    """cancelled() is not polled in a long step: the place is taken until the step ends, and then free."""
    monkeypatch.setattr("spanax.gallery.web._server.work.PATIENCE", 20.0)
    body = json.dumps({"to": 9, "pause": 1.0}).encode()
    for _ in range(TRAININGS):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(
                b"POST /api/test/count HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            assert connection.recv(10)
    assert post(server, "test/count", {"to": 1}).status == 200


def test_a_client_that_goes_before_the_first_line_ends_its_training_too(server, examples):
    before = len(examples)
    body = json.dumps({"to": 9, "wait": True}).encode()
    head = b"POST /api/test/count HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        last = time.monotonic() + 30
        while not running_trainings():
            assert time.monotonic() < last
            time.sleep(0.01)
    until_none_runs()
    assert len(examples) == before + 1


def test_many_that_are_not_wanted_any_more(server):
    body = json.dumps(ENDLESS).encode()
    head = b"POST /api/test/count HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    assert post(server, "test/square", {"x": 2}).status == 200
