"""Command line ``jwst-fusion``: tools beside the steps."""

import argparse
import os
import sys
from importlib import import_module

__all__ = ["main"]

#: Modules of the commands, in the order of the help. They import what they need when they run.
COMMANDS = (
    "demo",
    "simulate",
    "events",
    "associate",
    "run",
    "compare",
    "psf_cache",
    "report",
    "configs",
    "doctor",
)
# What bad input raises; anything else is a fault of this package and keeps its traceback.
_EXPECTED = (ValueError, OSError, ImportError)


class _Parser(argparse.ArgumentParser):
    """Parser whose errors are the usage and one line."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: error: {message}\n")


class _Version(argparse.Action):
    """Print the version, looked up only when asked for."""

    def __call__(self, parser, namespace, values, option_string=None):
        from importlib.metadata import version

        print(f"jwst-fusion {version('jwst_fusion')}")
        parser.exit()


def main(arguments=None):
    """
    Run the command line.

    Parameters
    ----------
    arguments : list of str, optional
        Words of the command line, by default those given to the process.

    Returns
    -------
    int
        0; 1 if ``doctor`` finds something missing or targets of ``run`` failed; 2 if something was
        wrong with the input, which one line on standard error says.
    """
    parser = _parser()
    if not (sys.argv[1:] if arguments is None else arguments):
        parser.print_help()
        return 0
    options, options.parameters = parser.parse_known_args(arguments)
    if options.parameters and not getattr(options, "takes_parameters", False):
        parser.error(f"unrecognized arguments: {' '.join(options.parameters)}")
    try:
        return options.run(options)
    except BrokenPipeError:
        # The reader, such as head, has seen enough; nothing more must be written at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _EXPECTED as error:
        text = " ".join(str(error).split())
        print(f"{parser.prog}: error: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted", file=sys.stderr)
        return 130


def _parser():
    parser = _Parser(prog="jwst-fusion", description="Tools beside the steps of jwst_fusion.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    subparsers = parser.add_subparsers(required=True, metavar="command", parser_class=_Parser)
    for name in COMMANDS:
        import_module(f"jwst_fusion.command.{name}").add_parser(subparsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
