"""Entry point of the command `kit` and of `python -m kit`.

It imports nothing itself, so that Ctrl-C while the rest is imported is no traceback.
"""

import sys


def run_command() -> None:
    """Run the command `kit`."""
    try:
        from kit import cli

        cli.run_command()
    except KeyboardInterrupt as exc:  # before `kit.cli.run`, which catches it, or after it
        sys.stderr.write("\nkit: interrupted\nhint: nothing half-written was left behind\n")
        sys.exit(exc.args[0] if exc.args else 130)


if __name__ == "__main__":
    run_command()
