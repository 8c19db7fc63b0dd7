"""`python -m spanax` is `spanax`."""

from spanax.cli import main

if __name__ == "__main__":
    main()
