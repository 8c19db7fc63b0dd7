"""One command of `spanax`, in a process that ends with the one that started it: what `spanax gallery --all` runs.

Its standard input is a pipe of which only the parent holds the other end: once that is closed, however the parent ended, this
process is told to end as by SIGTERM, so that it writes what it has, and is ended soon after if it does not.
"""

import os
import signal
import threading
import time

GRACE = 10.0  # seconds


def _watch() -> None:
    while os.read(0, 64):
        continue
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    # The main thread may be inside a compiler that hears no signal.
    os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_watch, name="spanax-parent", daemon=True).start()
    from spanax.cli import main

    main()
