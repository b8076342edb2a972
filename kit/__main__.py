"""Entry point of `python -m kit`, which is the command `kit`."""

from kit.cli import entry

if __name__ == "__main__":
    entry()
