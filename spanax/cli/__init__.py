"""The command `spanax`: one file for each subcommand. Needs `pip install 'spanax[cli]'`."""

import sys


def main() -> None:
    """Runs the command line, or says what to install if the packages it is written with are missing."""
    try:
        from ._app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("typer", "rich"):
            raise
        sys.exit(f"spanax: the command line needs {error.name}: pip install 'spanax[cli]'")
    app(prog_name="spanax")
