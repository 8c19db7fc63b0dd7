"""Nothing outside the gallery's folder can be read, and nothing in it that a browser would run."""

import os

import pytest

from .asking import ask

OUT = [
    "/results/../secret.json",
    "/results/../../etc/passwd",
    "/results/%2e%2e/secret.json",
    "/results/sample/..%2f..%2fsecret.json",
    "/results/%252e%252e/secret.json",
    "/results/sample/%252e%252e%252f%252e%252e%252fsecret.json",
    "/results/..%5csecret.json",
    "/results/sample/..\\..\\secret.json",
    "/results/%c0%ae%c0%ae/secret.json",
    "/results//etc/passwd",
    "/results/%2fetc%2fpasswd",
    "/results/{secret}",
    "/results/%2f{secret}",
    "/results/sample/sample.png%00.json",
    "/results/%00",
    "/results/sample/",
    "/results/sample",
    "/results/",
    "/results/sample/" + "a" * 300 + ".png",
    "/results/sample/" + "/".join(["a"] * 3000) + ".png",
    "/toys/../app.py",
    "/toys/..%2fapp.py",
    "/toys/%2e%2e/%2e%2e/trained.py",
    "/toys/",
    "/toys//etc/passwd",
    "/toys/../../gallery/web/app.py",
    "/results/~root/.bashrc",
    "/favicon.ico",
]


@pytest.mark.parametrize("target", OUT)
def test_paths_out_of_the_folder_lead_nowhere(server, target):
    target = target.replace("{secret}", str(server.folder.parent / "secret.json"))
    for method in ("GET", "HEAD"):
        answer = ask(server, target, method=method)
        assert answer.status == 404 and b"secret" not in answer.body and b"root:" not in answer.body


def test_links_lead_out_of_it_no_more_than_paths(server):
    sample, secret = server.folder / "sample", server.folder.parent / "secret.json"
    links = {
        "link.json": secret,
        "up": server.folder.parent,
        "loop.png": sample / "loop.png",
        "gone.png": sample / "no.png",
    }
    for name, to in links.items():
        (sample / name).symlink_to(to)
    (sample / "inside.json").symlink_to(sample / "result.json")
    try:
        for target in ("link.json", "up/secret.json", "loop.png", "gone.png"):
            assert ask(server, f"/results/sample/{target}").status == 404
        assert ask(server, "/results/sample/inside.json").status == 200
    finally:
        for name in (*links, "inside.json"):
            (sample / name).unlink()


def test_what_is_no_picture_and_no_result_is_not_served(server):
    sample = server.folder / "sample"
    names = ["page.html", "script.js", "data.db", "model.npz", ".hidden.json", "noend", "x.PNG.html"]
    (sample / ".git").mkdir()
    (sample / ".git" / "config.json").write_text("{}")
    os.mkfifo(sample / "pipe.png")
    (sample / "folder.png").mkdir()
    for name in names:
        (sample / name).write_text("<script>alert(1)</script>")
    for name in [*names, "pipe.png", "folder.png", ".git/config.json"]:
        assert ask(server, f"/results/sample/{name}").status == 404, name
    for name in names:
        (sample / name).unlink()


def test_pictures_and_results_come_with_their_kind_and_not_twice(server):
    answer = ask(server, "/results/sample/sample.png")
    assert answer.status == 200 and answer.headers["content-type"] == "image/png"
    assert answer.body == (server.folder / "sample" / "sample.png").read_bytes()
    again = ask(server, "/results/sample/sample.png", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status == 304 and again.body == b""
    assert ask(server, "/results/sample/result.json").json["test_accuracy"] == 0.93
    part = ask(server, "/results/sample/sample.png", headers={"Range": "bytes=1-3"})
    assert part.status == 206 and part.body == b"PNG"
    assert ask(server, "/results/sample/sample.png", headers={"Range": "bytes=9-1"}).status in (400, 416)


def test_a_drawing_cannot_run_scripts(server):
    (server.folder / "sample" / "drawing.svg").write_text(
        "<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"
    )
    answer = ask(server, "/results/sample/drawing.svg")
    assert answer.headers["content-type"] == "image/svg+xml" and "sandbox" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    (server.folder / "sample" / "drawing.svg").unlink()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_files_are_only_read(server, method):
    for target in ("/", "/toys/base.css", "/results/sample/result.json"):
        assert ask(server, target, method=method).status == 405
    assert (server.folder / "sample" / "result.json").exists()
