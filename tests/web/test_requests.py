"""What is sent to the toys: too much, malformed, of the wrong kind, at once."""

import concurrent.futures
import json

import pytest

from spanax.gallery.web.requests import BadRequest, choice, number, numbers, text, whole

from .asking import JSON, ask, post, raw
from .running import running

LIMIT = 1_000_000


def test_an_action_answers(server):
    answer = post(server, "test/square", {"x": 3})
    assert (
        answer.status == 200 and answer.json == {"square": 9.0} and answer.headers["content-type"] == "application/json"
    )


NO_OBJECTS = [
    b"",
    b"{",
    b"[1, 2]",
    b"3",
    b"null",
    b'{"x": NaN}',
    b'{"x": 1}}',
    b"\xff\xfe",
    b'{"x": "\xc3"}',
    b"x=1",
    b"\x00" * 100,
]
NO_OBJECTS += [b"[" * 200_000, b'{"x":' * 90_000, b'{"x": ' + b"9" * 9000 + b"}", '{"x": 1}'.encode("utf-16")]


@pytest.mark.parametrize("body", NO_OBJECTS)
def test_what_is_no_json_object_is_a_bad_request(server, body):
    answer = post(server, "test/square", body)
    assert answer.status == 400 and set(answer.json) == {"error"} and len(answer.body) < 300


@pytest.mark.parametrize("x", ["3", None, True, [3], {"a": 1}, 1e300, -(10**400), 10**400, "<script>" * 99])
def test_wrong_values_are_refused_in_words(server, x):
    answer = post(server, "test/square", {"x": x} if x is not None else {})
    assert answer.status == 422 or (answer.status == 400 and abs(x) > 1e308)
    assert len(answer.body) < 300


def test_the_kind_has_to_be_json(server):
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "application/jsonx",
    ):
        answer = ask(server, "/api/test/square", method="POST", headers={"content-type": kind}, body=b'{"x": 1}')
        assert answer.status == 415
    kind = {"content-type": "Application/JSON; charset=utf-8"}
    assert ask(server, "/api/test/square", method="POST", headers=kind, body=b'{"x": 1}').status == 200


def test_methods_and_names_that_are_not_there(server):
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        answer = ask(server, "/api/test/square", method=method)
        assert answer.status == 405 and answer.headers["allow"] == "POST"
    for name in ("test/none", "none/square", "test/count%2f..", "test", "test/square/more", "__class__/x"):
        assert post(server, name, {}).status in (404, 405)


def test_a_body_may_have_a_million_bytes_and_no_more(server):
    def body(size):
        return b'{"x": 2, "rest": "' + b"a" * (size - 20) + b'"}'

    assert len(body(LIMIT)) == LIMIT and post(server, "test/square", body(LIMIT)).status == 200
    assert post(server, "test/square", body(LIMIT + 1)).status == 413
    head = (
        b"POST /api/test/square HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
    )
    # One that only says so, and sends nothing of it: answered at once.
    assert raw(server, head + b"Content-Length: 2000000\r\n\r\n").startswith(b"HTTP/1.1 413")
    assert raw(server, head + b"Content-Length: 99999999999999999999\r\n\r\n").startswith(b"HTTP/1.1 413")
    # One that does not say: in chunks.
    chunks = b"".join(b"%x\r\n%b\r\n" % (50_000, b"a" * 50_000) for _ in range(21)) + b"0\r\n\r\n"
    assert raw(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks).startswith(b"HTTP/1.1 413")
    small = b"b\r\n" + b'{"x": 30.0}' + b"\r\n0\r\n\r\n"
    assert b'{"square":900.0}' in raw(server, head + b"Transfer-Encoding: chunked\r\n\r\n" + small)


MALFORMED = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"\r\n\r\n\r\n",
    b"GET\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nA: " + b"a" * 70_000 + b"\r\n\r\n",
    b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\x00: 1\r\n\r\n",
    b"GET / HTTP/1.1\nHost: localhost\n\n\xff",
    b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"\xff" * 1000 + b"\r\n\r\n",
]


@pytest.fixture(scope="module")
def hasty(folder, examples):
    with running(folder, patience=0.5) as server:
        yield server


@pytest.mark.parametrize("sent", MALFORMED)
def test_what_is_no_http_gets_an_error_or_nothing_and_the_server_goes_on(hasty, sent):
    status = raw(hasty, sent).split(b" ")[1:2]
    assert status in ([], [b"400"], [b"404"], [b"405"], [b"431"], [b"501"], [b"505"], [b"200"])
    assert post(hasty, "test/square", {"x": 1}).status == 200


def test_an_upgrade_to_a_websocket_is_not_granted(server):
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "YQ==",
        "Sec-WebSocket-Version": "13",
    }
    assert ask(server, "/", headers=headers).status == 200  # as an ordinary request


def test_errors_of_a_toy_do_not_say_what_they_hold(server, caplog):
    answer = post(server, "test/fail", {})
    assert answer.status == 500 and b"secret" not in answer.body and "a secret" in caplog.text


def test_200_requests_at_once_are_all_answered(server):
    mixed = [
        (lambda i: post(server, "test/square", {"x": i}), 200),
        (lambda i: post(server, "test/square", {"x": "a"}), 422),
        (lambda i: post(server, "test/none", {}), 404),
        (lambda i: ask(server, "/"), 200),
        (lambda i: ask(server, "/results/sample/sample.png"), 200),
        (lambda i: ask(server, "/", host="evil.example"), 421),
        (lambda i: post(server, "test/square", b"{"), 400),
        (lambda i: ask(server, "/results/../secret.json"), 404),
    ]
    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        answers = [pool.submit(mixed[i % 8][0], i) for i in range(200)]
        for i, answer in enumerate(answers):
            assert answer.result().status == mixed[i % 8][1]
            if i % 8 == 0:
                assert json.loads(answer.result().body) == {"square": float(i * i)}


def test_readers_of_arguments():
    body = {"a": 1, "b": 2.5, "c": "x", "d": [1, 2], "e": True, "f": 3.0}
    assert number(body, "a", 0, 1) == 1.0 and whole(body, "f", 0, 9) == 3 and choice(body, "c", ("x", "y")) == "x"
    assert (
        numbers(body, "d", 2, 0, 2) == [1.0, 2.0] and text(body, "c", 1) == "x" and number(body, "z", 0, 1, 0.5) == 0.5
    )
    for wrong in (
        lambda: number(body, "b", 0, 1),
        lambda: number(body, "e", 0, 1),
        lambda: number({"n": float("nan")}, "n", 0, 1),
        lambda: whole(body, "b", 0, 9),
        lambda: whole({"n": float("inf")}, "n", 0, 9),
        lambda: choice(body, "a", ("x",)),
        lambda: numbers(body, "d", 3, 0, 2),
        lambda: numbers({"d": [1, "2"]}, "d", 2, 0, 2),
        lambda: text(body, "c", 0),
        lambda: number(body, "missing", 0, 1),
    ):
        with pytest.raises(BadRequest):
            wrong()


def test_json_of_the_answer_has_no_nan(server):
    import numpy as np

    from spanax.gallery.web._server.replies import line

    content = {
        "a": float("nan"),
        "b": [float("inf"), np.float32(1.5)],
        "c": np.array([1.0, np.nan]),
        "d": np.int64(3),
        "e": True,
    }
    assert json.loads(line(content)) == {"a": None, "b": [None, 1.5], "c": [1.0, None], "d": 3, "e": True}
    assert JSON["content-type"] == "application/json"
