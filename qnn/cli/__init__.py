"""The command ``qnn``: one file a verb, dispatch only.

A verb's module has ``add_parser(subparsers)`` and ``run(arguments) -> int``; it is imported only when
its verb is given, so that ``qnn --help`` is quick.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from qnn import __version__
from qnn.errors import QnnError, unknown_name

#: Verb to what it does, as shown by ``qnn --help``; the module is ``qnn.cli.<verb>``.
VERBS = {
    "circuit": "draw, export or run an OpenQASM file",
    "compare": "train quantum and classical models on equal budgets, with a verdict and a report",
    "compress": "prune, quantise or replace by a surrogate what a bundle holds, with a report",
    "doctor": "show what is installed, and which backends and devices are usable here",
    "fakecloud": "run a provider on this machine, with queues, limits and faults",
    "jobs": "list, await, cancel or export the jobs that were submitted to providers",
    "predict": "predict the rows of a table with a trained bundle, and watch for drift",
    "train": "train a quantum neural network on a table or a task, and write a bundle",
}
_ERROR, _INTERRUPTED, _BROKEN_PIPE = 2, 130, 141  # the last two are 128 + the signal, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: arguments after the command's name; None takes those of the process.

    Returns:
        Exit code: 0, or 2 after an error of the user's making (its message is on stderr), or 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        arguments = _parser(_verb(words)).parse_args(words, argparse.Namespace(words=words))
        code: int = arguments.run(arguments)
        sys.stdout.flush()
        return code
    except QnnError as error:
        print(f"qnn: {error}", file=sys.stderr)
        return _ERROR
    except KeyboardInterrupt:
        print("\nqnn: interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE


def _verb(words: Sequence[str]) -> str | None:
    """The verb given, or None for options of `qnn` itself."""
    verb = next((word for word in words if not word.startswith("-")), None)
    if verb is not None and verb not in VERBS:
        raise unknown_name("command", verb, VERBS)
    return verb


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    """The parser, with the options of the wanted verb only."""
    parser = argparse.ArgumentParser(
        prog="qnn", description="Quantum neural network research: honest comparisons, circuits, backends."
    )
    parser.add_argument("--version", action="version", version=f"qnn {__version__}")
    subparsers = parser.add_subparsers(dest="verb", metavar="COMMAND", required=True)
    for verb, summary in VERBS.items():
        if verb == wanted:
            import_module(f"qnn.cli.{verb}").add_parser(subparsers)
        else:
            subparsers.add_parser(verb, help=summary)
    return parser
