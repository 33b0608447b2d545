"""`python -m kdsnn`: the command line, for launchers that want a module."""

from kdsnn.cli.main import main

if __name__ == "__main__":
    main()
