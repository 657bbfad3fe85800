"""The command line: `python -m skmetaad compare`."""

import argparse
import os
import sys

from skmetaad import __version__
from skmetaad._compare._command import add_parser
from skmetaad._compare._data import InputError


class _Parser(argparse.ArgumentParser):
    # One message instead of usage and message; `main` turns it into exit code 2.
    def error(self, message):
        raise InputError(f"{message} (see {self.prog} --help).")


def main(argv=None):
    """Run a command and return its exit code: 0, 1 (a detector failed), 2 (bad input).

    Parameters
    ----------
    argv : list of str, default=None
        Arguments after the program's name; None takes the process's own.

    Returns
    -------
    code : int
        The exit code.
    """
    parser = _Parser(
        prog="python -m skmetaad",
        description="Meta-learning anomaly detection in the shape of scikit-learn.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    add_parser(commands)
    try:
        options = parser.parse_args(argv)
        options.given = sys.argv[1:] if argv is None else argv
        return options.command(options)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever reads has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
