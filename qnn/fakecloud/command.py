"""The options of `qnn fakecloud` and `python -m qnn.fakecloud`, and serving."""

from __future__ import annotations

import argparse
import os
import secrets
from pathlib import Path
from typing import Any

from qnn import _worker_process
from qnn.errors import ArgumentError, StorageError
from qnn.fakecloud.faults import FAULTS
from qnn.fakecloud.requests import Cloud
from qnn.fakecloud.server import HOST, Server
from qnn.fakecloud.settings import KINDS, Settings
from qnn.fakecloud.store import Store

TOKEN_VARIABLE = "QNN_FAKECLOUD_TOKEN"
_READERS = {"int": int, "float": float, "str": str}


def add_options(parser: argparse.ArgumentParser) -> None:
    """All options of the service."""
    parser.add_argument("--port", type=int, default=8137, metavar="N", help="0 takes a free one (default: 8137)")
    parser.add_argument(
        "--token", help=f"what clients must show (default: that of {TOKEN_VARIABLE}, or one drawn and printed)"
    )
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="write the token here, for the owner only")
    parser.add_argument("--store", type=Path, metavar="FILE", help="keep jobs here: they outlive the service")
    parser.add_argument(
        "--end-with-parent", action="store_true", help="end with the process that started it, and leave Ctrl-C to it"
    )
    for name, default in Settings().as_json().items():
        flag, text = f"--{name.replace('_', '-')}", Settings.__dataclass_fields__[name].metadata["text"]
        kind = KINDS[name].removesuffix(" | None")
        if kind == "bool":
            parser.add_argument(flag, action="store_true", help=text)
        else:
            shown = "none" if default is None else default
            reader = _READERS[kind]
            parser.add_argument(flag, type=reader, metavar="X", default=default, help=f"{text} (default: {shown})")
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="NAME=WHEN",
        help="a probability (submit_429=0.2) or a script (submit_429=1,0,1); again for more. Names: "
        + ", ".join(FAULTS),
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until the process is ended."""
    settings = Settings().changed({name: getattr(arguments, name) for name in KINDS})
    cloud = Cloud(settings, dict(map(_fault, arguments.fault)), Store(arguments.store))
    token = _token(arguments.token)
    server = _bound(cloud, token, arguments.port)
    told = "" if arguments.token or os.environ.get(TOKEN_VARIABLE) else f"  token: {token}"
    if arguments.token_file is not None:
        _write_secret(arguments.token_file, token)
        told = f"  token in {arguments.token_file}" if told else ""
    if arguments.end_with_parent:
        _worker_process.prepare(os.getppid())
    path = "/unkeyed" if settings.own_randomness else ""  # by which a client knows that it sends no sampling keys
    print(f"{server.url}{path}{told}", flush=True)
    try:
        server.serve_forever(poll_interval=0.1)
    finally:
        server.server_close()
    return 0


def _bound(cloud: Cloud, token: str, port: int) -> Server:
    try:
        return Server(cloud, token, port)
    except (OSError, OverflowError) as error:
        raise ArgumentError(
            f"`--port` must be free on {HOST}; got {port}: {error}. Use --port 0, which takes a free one."
        ) from error


def _fault(text: str) -> tuple[str, Any]:
    """Name and value of NAME=WHEN."""
    name, _, when = text.partition("=")
    try:
        return name, [int(step) for step in when.split(",") if step] if "," in when else float(when)
    except ValueError as error:
        raise ArgumentError(f"`--fault` must be NAME=WHEN; got {text!r}. Write submit_429=0.2.") from error


def _token(given: str | None) -> str:
    """What clients must show.

    Raises:
        ArgumentError: a token that HTTP cannot carry.
    """
    token = given or os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(24)
    if not all("!" <= letter <= "~" for letter in token):
        raise ArgumentError("`token` must be printable ASCII without blanks; got one that is not. Leave it out.")
    return token


def _write_secret(path: Path, token: str) -> None:
    """Write a file that only its owner can read."""
    try:
        path.unlink(missing_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(token)
    except OSError as error:
        raise StorageError(
            f'`--token-file` must be a file that can be written; "{path}" cannot: {error.strerror}. Choose another one.'
        ) from error
