"""The command line, started by `python -m metarl`."""

from metarl.experiments.cli import main

if __name__ == "__main__":
    main()
