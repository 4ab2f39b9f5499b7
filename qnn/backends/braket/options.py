"""Which devices of Amazon Braket there are by name, and which options fit them; found without asking anybody."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from qnn._integers import whole
from qnn.backends.transpiling import LEVEL, check_transpiler
from qnn.errors import ArgumentError, CapabilityError, unknown_name

_SAMPLERS = ("exact", "braket")
_ARN = re.compile(r"arn:aws[\w-]*:braket:[\w-]*:\d*:device/(qpu|quantum-simulator)/[\w-]+/[\w.-]+")
_AMAZON = "arn:aws:braket:::device/quantum-simulator/amazon/"
TRANSPILER = {"optimization_level": LEVEL, "seed_transpiler": 0}
_STRONGEST = 0.75  # the depolarizing probability that leaves nothing of a qubit


class Simulator(NamedTuple):
    """What is known of a simulator beforehand."""

    n_qubits: int
    exact: bool = True  # expectation values without shots
    density: bool = False
    distributions: bool = False  # probabilities without shots


_LOCAL = {"local": Simulator(26, distributions=True), "local_dm": Simulator(13, density=True, distributions=True)}
_AT_AWS = {"sv1": Simulator(34), "dm1": Simulator(17, density=True), "tn1": Simulator(50, exact=False)}


def arn_of(device: object) -> str | None:
    """The ARN of a device; None for those of this machine.

    Raises:
        UnknownNameError: neither a known name nor an ARN of Amazon Braket.
    """
    if isinstance(device, str):
        if device in _LOCAL:
            return None
        if device in _AT_AWS:
            return _AMAZON + device
        if _ARN.fullmatch(device):
            return device
    raise unknown_name("Amazon Braket device", device, [*_LOCAL, *_AT_AWS, "<arn>"])


def simulator_of(device: str) -> Simulator | None:
    """What is known of a device; None where that must be asked of AWS."""
    return _LOCAL.get(device) or _AT_AWS.get(device.removeprefix(_AMAZON))


def sampler_for(simulator: Simulator | None, sampler: str | None, name: str) -> str:
    """The sampler asked for, or the best that the device has.

    Raises:
        UnknownNameError: no such sampler.
        CapabilityError: the device returns no exact distributions.
    """
    possible = simulator is not None and simulator.distributions
    if sampler is None:
        return "exact" if possible else "braket"
    if sampler not in _SAMPLERS:
        raise unknown_name("sampler", sampler, _SAMPLERS)
    if sampler == "exact" and not possible:
        raise CapabilityError(
            f'`sampler="exact"` needs exact distributions, which {name} does not return. Use sampler="braket".'
        )
    return sampler


def check_remote(options: Mapping[str, Any], name: str, *, is_remote: bool) -> None:
    """Refuse options for AWS on this machine, and values that cannot be used.

    Args:
        options: `s3_folder`, `max_parallel`, and those that `qnn.jobs.Policy` checks; None where not given.
        name: of the backend.
        is_remote: whether the device is at AWS.
    """
    for option, value in options.items():
        if value is None:
            continue
        if not is_remote:
            raise ArgumentError(
                f"`{option}` must be left out for {name}, which runs on this machine; got {value!r}. "
                'It is for devices at AWS, such as "braket:sv1".'
            )
        if option == "s3_folder":
            bucket_and_prefix(value)
        elif option == "max_parallel" and ((number := whole(value)) is None or number < 1):
            raise ArgumentError(f"`max_parallel` must be a positive integer; got {value!r}. Use None for the default.")


def check_noisy(simulator: Simulator | None, noise: object, name: str) -> None:
    """Refuse noise where there are no density matrices."""
    if simulator is None or not simulator.density:
        raise CapabilityError(
            f"`noise` needs a simulator of density matrices, which {name} is not; got {noise!r}. "
            'Use backend="braket:local_dm" or "braket:dm1".'
        )


def check_verbatim(verbatim: object, transpiler: Mapping[str, object], name: str, *, is_machine: bool) -> None:
    """Refuse to transpile for a simulator, and options of a transpiler that is not used.

    Args:
        verbatim: whether circuits are transpiled here, to native gates.
        transpiler: `optimization_level` and `seed_transpiler`.
        name: of the backend.
        is_machine: whether the device is a machine, and has native gates.

    Raises:
        ArgumentError: a value cannot be used, or has no meaning.
    """
    if not isinstance(verbatim, bool):
        raise ArgumentError(f"`verbatim` must be True or False; got {verbatim!r}. Use True.")
    if verbatim and not is_machine:
        raise ArgumentError(
            f"`verbatim` must be left out for {name}, a simulator, which executes circuits as they are; got True. "
            "It is for machines."
        )
    check_transpiler(**transpiler)
    given = [(option, value) for option, value in transpiler.items() if value != TRANSPILER[option]]
    if given and not verbatim:
        raise ArgumentError(
            f"`{given[0][0]}` must come with `verbatim`, without which the machine's own compiler is used; got "
            f"{given[0][1]!r}. Add verbatim=True, or leave it out."
        )


def is_probability(noise: object) -> bool:
    """Whether `noise` is a number.

    Raises:
        ArgumentError: a number that is no probability of depolarizing.
    """
    if isinstance(noise, bool) or not isinstance(noise, int | float):
        return False
    if not 0 <= noise <= _STRONGEST:
        raise ArgumentError(f"`noise` must be a probability of 0 to {_STRONGEST}; got {noise}. Try noise=0.01.")
    return True


def bucket_and_prefix(folder: object) -> tuple[str, str]:
    """The two parts of "bucket/prefix" or "s3://bucket/prefix".

    Raises:
        ArgumentError: a part is missing.
    """
    parts = folder.removeprefix("s3://").strip("/").partition("/") if isinstance(folder, str) else ("", "", "")
    if not parts[0] or not parts[2]:
        raise ArgumentError(
            f'`s3_folder` must be a bucket and a folder in it; got {folder!r}. Write "amazon-braket-mine/qnn".'
        )
    return parts[0], parts[2]
