"""`python -m graphnas` is the `graphnas` command."""

from graphnas.cli.main import main

if __name__ == "__main__":
    main()
