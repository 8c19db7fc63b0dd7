"""A server in a thread, for the length of a test."""

import contextlib
import threading
from types import SimpleNamespace

from spanax.gallery.web.app import make_app
from spanax.gallery.web.serve import listen, make_server


@contextlib.contextmanager
def running(folder, *, allow_code=False, patience=None):
    """Serves `folder` on a free port of loopback. `patience`: the seconds that a client may take, instead of 10."""
    app, answers = make_app(folder, allow_code=allow_code), threading.Event()
    server, listener = make_server(app, answers.set), listen("127.0.0.1", 0)
    if patience is not None:
        server.config.timeout_keep_alive = patience
        server.config.http = type("Hasty", (server.config.http,), {"patience": patience})
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="test-server")
    thread.start()
    try:
        assert answers.wait(60), "the server does not start"
        port = listener.getsockname()[1]
        yield SimpleNamespace(url=f"http://127.0.0.1:{port}/", port=port, app=app, folder=folder, uvicorn=server)
    finally:
        app.state.work.stop()
        server.should_exit = True
        thread.join(30)
        listener.close()
        assert not thread.is_alive(), "the server does not end"
