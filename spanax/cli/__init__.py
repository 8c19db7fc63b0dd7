"""The command `spanax`: one file for each subcommand. Needs `pip install 'spanax[cli]'`.

Its statuses: 0, done; 1, what `find` and `compare --fail-on-bias` are asked to report; 2, the command cannot do it, and says why;
130 and 143, ended by Ctrl-C and by SIGTERM.
"""

import sys

from .._errors import diagnosis, installing
from .._interrupts import finish, install

UNUSABLE = 2


def main() -> None:
    """Runs the command line, or says what to install if the packages it is written with are missing."""
    install()
    try:
        from ._app import app
    except ModuleNotFoundError as error:
        # Only what the shell itself is written with: any other missing module is a bug, or the user's.
        if error.name is None or error.name.split(".")[0] not in ("typer", "rich"):
            raise
        needs = diagnosis(f"the command line needs {error.name}", *installing("cli"), where="")
        sys.stderr.write(f"spanax: {needs}\n")
        finish(UNUSABLE)
    try:
        # typer ends by SystemExit; the status goes through `finish`, which tells a signal from an error.
        app(prog_name="spanax")
    except SystemExit as end:
        finish(end.code if isinstance(end.code, int) else 0 if end.code is None else UNUSABLE)
