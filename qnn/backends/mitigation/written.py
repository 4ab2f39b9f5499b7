"""`mitigation=` as text: what command lines take, and what records of a comparison keep."""

from __future__ import annotations

import json
from typing import Any

from qnn.backends.mitigation.options import Options, read
from qnn.errors import ArgumentError


def from_text(text: str) -> str | dict[str, Any]:
    """The option that a text is: a name as it stands, or the dictionary that JSON describes; the backend checks it.

    Raises:
        ArgumentError: neither.

    Example:
        >>> from_text("readout+zne"), from_text('{"zne": [1, 3]}')
        ('readout+zne', {'zne': [1, 3]})
    """
    if not text.lstrip().startswith("{"):
        return text
    try:
        found: dict[str, Any] = json.loads(text)
    except json.JSONDecodeError as error:
        raise ArgumentError(
            f"`mitigation` must be JSON after a brace; got {text}: {error}. "
            'Quote the keys: {"readout": true, "zne": [1, 3]}.'
        ) from error
    return found


def to_text(mitigation: object) -> str:
    """The shortest text from which `from_text` makes equal options; equal texts for equal options.

    Args:
        mitigation: as for a backend, or such a text.

    Raises:
        ArgumentError, UnknownNameError: options that cannot be used.

    Example:
        >>> to_text("zne + readout"), to_text({"zne": (1, 3)})
        ('readout+zne', '{"zne": [1, 3]}')
    """
    options = Options(**read(from_text(mitigation) if isinstance(mitigation, str) else mitigation))
    options.check_any()
    plain = options.plain()
    return plain if isinstance(plain, str) else json.dumps(plain)


def methods_of(text: str) -> str:
    """The methods that such a text switches on, "readout", "zne" or "readout+zne", without their options."""
    options = Options(**read(from_text(text)))
    return "+".join(["readout"] * options.readout + ["zne"] * bool(options.scales))
