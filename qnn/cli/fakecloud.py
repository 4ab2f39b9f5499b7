"""`qnn fakecloud`: a provider on this machine, to try out jobs and what becomes of them on bad days."""

from __future__ import annotations

import argparse

from qnn.fakecloud import command


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb `fakecloud` to the command line."""
    parser = subparsers.add_parser(
        "fakecloud",
        help="run a provider on this machine, with queues, limits and faults",
        description=(
            "Serve jobs on 127.0.0.1 like a provider, until Ctrl-C; prints its URL. Use it as backend "
            '"fakecloud:URL". Everything from --seed on can be changed while it runs by POST /faults.'
        ),
    )
    command.add_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb, until Ctrl-C."""
    return command.run(arguments)
