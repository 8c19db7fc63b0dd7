"""Names that are not this machine's (DNS rebinding), and pages of other sites."""

import pytest

from spanax.gallery.web._server.hosts import Hosts, is_loopback

from .asking import JSON, ask


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}", "LOCALHOST", "localhost:9"])
def test_names_of_loopback_are_answered(server, host):
    assert ask(server, "/", host=host.format(port=server.port)).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}",
        "127.0.0.1.evil.example:{port}",
        "localhost.evil.example",
        "evil.example@localhost:{port}",
        "localhost:{port}@evil.example",
        "localhost:{port}:80",
        "localhost/evil",
        "localhost:",
        "0.0.0.0:{port}",
        "10.0.0.1:{port}",
        "[::ffff:7f00:1]x",
        " ",
        "xn--localhost-.example",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_any_other_name_is_not(server, host, method):
    answer = ask(
        server, "/api/test/square", method=method, headers=JSON, body=b'{"x": 3}', host=host.format(port=server.port)
    )
    assert answer.status == 421 and b"9" not in answer.body


def test_a_request_without_a_name_or_with_two_is_refused(server):
    assert ask(server, "/", host=()).status == 400
    assert ask(server, "/", host="localhost", headers={"Host": "evil.example"}).status == 400


def test_who_listens_for_others_answers_to_addresses_and_to_its_own_name():
    every = Hosts.of("0.0.0.0")
    assert every.know("192.168.1.7:8000") and every.know("[fe80::1]:8000") and every.know("localhost")
    assert not every.know("evil.example") and not every.know("192.168.1.7.evil.example")
    assert Hosts.of("gallery.home").know("GALLERY.home:8000")
    assert is_loopback("127.0.0.2") and is_loopback("::1") and not is_loopback("0.0.0.0") and not is_loopback("a.home")


OWN = "http://127.0.0.1:{port}"
POSTS = [
    ({}, 200),  # another program, such as curl
    ({"Origin": OWN}, 200),
    ({"Origin": OWN, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}, 200),
    ({"Origin": "http://evil.example"}, 403),
    ({"Origin": "null"}, 403),  # a sandboxed frame; a file
    ({"Origin": "https://127.0.0.1:{port}"}, 403),
    ({"Origin": "https://127.0.0.1:{port}", "X-Forwarded-Proto": "https"}, 403),  # anybody can write that
    ({"Origin": "http://127.0.0.1:1"}, 403),  # another program's page on this machine
    ({"Origin": "http://localhost:{port}"}, 403),  # not the name that was asked
    ({"Origin": ""}, 403),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 403),  # a form there, sent as a navigation
    ({"Sec-Fetch-Site": "same-site"}, 403),
    ({"Origin": OWN, "Sec-Fetch-Site": "cross-site"}, 403),
]


@pytest.mark.parametrize(("headers", "status"), POSTS)
def test_only_a_page_of_this_server_may_post(server, headers, status):
    headers = {name: value.format(port=server.port) for name, value in headers.items()}
    answer = ask(server, "/api/test/square", method="POST", headers={**JSON, **headers}, body=b'{"x": 3}')
    assert answer.status == status and (status == 200) == (answer.json == {"square": 9.0})


def test_a_link_elsewhere_may_lead_here_but_a_picture_there_may_not_show_ours(server):
    cross = {"Sec-Fetch-Site": "cross-site"}
    assert ask(server, "/", headers={**cross, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}).status == 200
    assert ask(server, "/results/sample/sample.png", headers={**cross, "Sec-Fetch-Mode": "no-cors"}).status == 403
    assert ask(server, "/results/sample/result.json", headers=cross).status == 403


@pytest.mark.parametrize(
    "target", ["/", "/toys/base.css", "/results/sample/sample.png", "/nothing", "/api/test/square"]
)
def test_every_answer_binds_the_browser(server, target):
    for host in ("localhost", "evil.example"):
        headers = ask(server, target, host=host).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy.partition("script-src")[2].partition(";")[0] and "unsafe-eval" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin" and "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_a_preflight_gets_no_permission(server):
    headers = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    answer = ask(server, "/api/test/square", method="OPTIONS", headers=headers)
    assert answer.status == 403 and not any(name.startswith("access-control") for name in answer.headers)
