"""`qnn doctor`: what is installed, and which backends and devices are usable here."""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import sys
import tempfile
import textwrap
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

_UNASKED_EXTRAS = ("test", "docs")  # for those who work on qnn itself
_NARROWEST = 88  # columns that the text takes at least
_NOTE = 5  # columns of "yes" or "no" before a note
_CPU_ONLY = "no CUDA device: classical models run on CPU"


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the verb `doctor` to the command line."""
    parser = subparsers.add_parser(
        "doctor",
        help="show what is installed, and which backends and devices are usable here",
        description="Show versions, backends and devices as found here, and how to get what is missing.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the verb; what is missing is shown, not an error."""
    facts = survey()
    print(json.dumps(facts, indent=2) if arguments.json else describe(facts))
    return 0


def survey() -> dict[str, Any]:
    """All facts, as plain data."""
    return {
        "python": {"version": platform.python_version(), "executable": sys.executable, "system": platform.platform()},
        "packages": _packages(),
        "backends": _backends(),
        "torch": _torch(),
        "aer": _aer(),
        "threads": _threads(),
        "numba_cache": _numba_cache(),
    }


def _packages() -> list[dict[str, Any]]:
    """Versions of qnn and of what it declares to need (None if missing), and the extra that brings each."""
    try:
        requirements = metadata.requires("qnn") or []
    except metadata.PackageNotFoundError:
        requirements = []
    found = [{"name": "qnn", "version": _version("qnn"), "extra": None}]
    for requirement in requirements:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        extra = re.search(r"extra == [\"']([^\"']+)[\"']", requirement)
        if name and not (extra and extra.group(1) in _UNASKED_EXTRAS):
            found.append(
                {"name": name.group(), "version": _version(name.group()), "extra": extra.group(1) if extra else None}
            )
    return found


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _backends() -> list[dict[str, Any]]:
    try:
        from qnn.backends.registry import list_backends

        return [{"name": b.name, "usable": b.usable, "note": b.note} for b in list_backends()]
    except ImportError as error:
        return [{"name": "all", "usable": False, "note": f"a package is missing: {error}"}]


def _torch() -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        return {"error": str(error), "devices": [], "note": ""}
    devices = [f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    return {"devices": ["cpu", *devices], "note": "classical models run on CUDA" if devices else _CPU_ONLY}


def _aer() -> dict[str, Any]:
    try:  # by name: this is a question about the installation, not a use of Qiskit
        simulator = import_module("qiskit_aer").AerSimulator()
    except ImportError as error:
        return {"error": str(error), "methods": [], "devices": []}
    return {"methods": list(simulator.available_methods()), "devices": list(simulator.available_devices())}


def _threads() -> dict[str, Any]:
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found: dict[str, Any] = {"cores": affinity, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")}
    if "torch" in sys.modules:
        found["torch"] = sys.modules["torch"].get_num_threads()
    return found


def _numba_cache() -> dict[str, Any]:
    """Where compiled kernels are kept: Numba takes the first of these folders that it can write to."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    beside = Path(__file__).parent.parent / "simulation" / "__pycache__"
    personal = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "numba"
    folders = [Path(chosen)] if chosen else [beside, personal]
    usable = next((folder for folder in folders if _is_writable(folder)), None)
    return {"folder": str(usable or folders[0]), "writable": usable is not None}


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in `folder`, or in the nearest parent that exists; nothing is left behind."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def describe(facts: dict[str, Any]) -> str:
    """The facts as aligned text."""
    python, threads, cache = facts["python"], facts["threads"], facts["numba_cache"]
    sections = [
        ("Python", [(python["version"], python["system"])]),
        ("Packages", [_package_line(p) for p in facts["packages"]]),
        (
            "Backends usable here",
            [(b["name"], ("yes  " if b["usable"] else "no   ") + b["note"]) for b in facts["backends"]],
        ),
        ("Devices of torch", _device_lines(facts["torch"])),
        ("Qiskit Aer", _aer_lines(facts["aer"])),
        ("Threads", [(name, str(value if value is not None else "not set")) for name, value in threads.items()]),
        ("Compiled kernels", [("cache", cache["folder"]), ("writable", _writable_note(cache["writable"]))]),
    ]
    return "\n\n".join(_section(title, lines) for title, lines in sections)


def _section(title: str, lines: list[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in lines), default=0)
    columns = max(_NARROWEST, shutil.get_terminal_size().columns)
    shown = [title]
    for name, text in lines:
        first = f"  {name:<{width}}  "
        shown += textwrap.wrap(first + text, columns, subsequent_indent=" " * (len(first) + _NOTE)) or [first.rstrip()]
    return "\n".join(shown)


def _package_line(package: dict[str, Any]) -> tuple[str, str]:
    name, version, extra = package["name"], package["version"], package["extra"]
    of = f"(extra: {extra})" if extra else ""
    if version is not None:
        return name, f"{version:<10} {of}"
    return (
        name,
        f'missing    get it with: pip install "qnn[{extra}]"' if extra else "missing    get it with: pip install qnn",
    )


def _device_lines(torch_facts: dict[str, Any]) -> list[tuple[str, str]]:
    if "error" in torch_facts:
        return [("torch", f"cannot be imported: {torch_facts['error']}")]
    return [*((device, "") for device in torch_facts["devices"]), (torch_facts["note"], "")]


def _aer_lines(aer: dict[str, Any]) -> list[tuple[str, str]]:
    if "error" in aer:
        return [("qiskit-aer", f"cannot be imported: {aer['error']}")]
    return [("devices", ", ".join(aer["devices"])), ("methods", ", ".join(aer["methods"]))]


def _writable_note(is_writable: bool) -> str:
    if is_writable:
        return "yes"
    return "no: kernels are compiled anew in every process. Set NUMBA_CACHE_DIR to a folder that can be written to."
