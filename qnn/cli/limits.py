"""Limits of what a command may use: refused before anything beyond them is executed or submitted."""

from __future__ import annotations

import argparse
from typing import Any

LIMITS: dict[str, tuple[Any, str, str]] = {
    "max_jobs": (int, "N", "jobs at a provider, or calls to a simulator, of the whole run"),
    "max_shots": (int, "N", "shots of all circuits together"),
    "max_seconds": (float, "S", "estimated seconds on machines that bill them"),
}


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Add them to a verb."""
    limits = parser.add_argument_group("limits", "refused before anything of it is executed or submitted")
    for name, (kind, metavar, text) in LIMITS.items():
        limits.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=metavar, help=text)


def given_limits(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those that were given, as `qnn.budget` takes them."""
    return {name: getattr(arguments, name) for name in LIMITS if getattr(arguments, name) is not None}
