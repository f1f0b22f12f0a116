"""`python -m metarl` is the command line."""

from metarl.experiments.cli import main

if __name__ == "__main__":
    main()
