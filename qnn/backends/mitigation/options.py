"""What `mitigation=` may be, and as what it is written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import isfinite
from typing import Any

from qnn._integers import whole
from qnn.backends.mitigation.extrapolation import degree_of
from qnn.circuits.folding import KINDS
from qnn.errors import ArgumentError, unknown_name

SCALES = (1.0, 3.0, 5.0)
_MOST = 100  # scales, and the largest
_METHODS = ("readout", "zne")
_OF_ZNE = ("extrapolation", "folding", "asymptote")
_OF_READOUT = ("calibration_shots", "clip")


@dataclass(frozen=True)
class Options:
    """Options of `qnn.backends.Mitigated`, checked; see there.

    Raises:
        ArgumentError: an option that cannot be used, or one of a method that is off.
        UnknownNameError: no such folding or extrapolation.
    """

    readout: bool = False
    zne: bool | Sequence[float] | None = None
    extrapolation: str | None = None
    folding: str | None = None
    asymptote: float | None = None
    calibration_shots: int | None = None
    clip: bool | None = None

    def __post_init__(self) -> None:
        for name in ("readout", "clip"):
            if getattr(self, name) not in (None, True, False):
                raise ArgumentError(f"`{name}` must be True or False; got {getattr(self, name)!r}. Use True.")
        self._check_belonging("zne", bool(self.scales), _OF_ZNE)
        self._check_belonging("readout", self.readout, _OF_READOUT)
        if self.scales:
            self._check_zne()
        shots = self.calibration_shots
        if shots is not None and (whole(shots) or 0) < 1:
            raise ArgumentError(f"`calibration_shots` must be a positive integer; got {shots!r}. Use 10000.")

    def check_any(self) -> None:
        """Refuse options that do nothing.

        Raises:
            ArgumentError: neither `readout` nor `zne` is on.
        """
        if not self.readout and self.zne in (None, False):
            raise ArgumentError(
                "`mitigation` must switch something on; got neither `readout` nor `zne`. "
                'Use mitigation="readout", "zne" or "readout+zne".'
            )

    def without_readout(self) -> Options:
        """What is left where the provider mitigates readout."""
        return replace(self, readout=False)

    def refuse_ours(self, name: str) -> None:
        """Refuse options of our readout mitigation where it is the provider's.

        Raises:
            ArgumentError: one is given.
        """
        given = [option for option in _OF_READOUT if getattr(self, option) is not None]
        if given:
            raise ArgumentError(
                f"`{given[0]}` must be left out for {name}, whose provider mitigates readout by itself; got "
                f"{getattr(self, given[0])!r}. Set what the provider's options offer."
            )

    def _check_belonging(self, method: str, on: bool, names: Sequence[str]) -> None:
        given = [name for name in names if getattr(self, name) is not None]
        if given and not on:
            raise ArgumentError(
                f"`{given[0]}` must come with `{method}`, which is off; got {getattr(self, given[0])!r}. "
                f"Add {method}=True, or leave it out."
            )

    def _check_zne(self) -> None:
        if self.folding not in (None, *KINDS):
            raise unknown_name("folding", self.folding, KINDS)
        degree_of(self.curve, len(self.scales))
        asymptote = self.asymptote
        if asymptote is None:
            return
        if self.curve != "exponential":
            raise ArgumentError(
                f'`asymptote` must come with extrapolation="exponential"; got "{self.curve}". Leave it out.'
            )
        if isinstance(asymptote, bool) or not isinstance(asymptote, int | float) or not isfinite(asymptote):
            raise ArgumentError(f"`asymptote` must be a finite number; got {asymptote!r}. Use 0.0.")

    @property
    def scales(self) -> tuple[float, ...]:
        """Scales of noise that are executed; none where nothing is extrapolated."""
        zne = self.zne
        if zne is None or isinstance(zne, bool):
            return SCALES if zne else ()
        several = isinstance(zne, Sequence) and not isinstance(zne, str) and 1 < len(zne) <= _MOST
        if not several or not all(map(_is_scale, zne)) or len(set(zne)) < len(zne):
            raise ArgumentError(
                f"`zne` must be True or at least two different scales of noise, from 1 to below {_MOST}; got {zne!r}. "
                "Use (1, 3, 5)."
            )
        return tuple(float(scale) for scale in zne)

    @property
    def curve(self) -> str:
        """Name of the extrapolation."""
        return "richardson" if self.extrapolation is None else self.extrapolation

    @property
    def kind(self) -> str:
        """Name of the folding."""
        return KINDS[0] if self.folding is None else self.folding

    @property
    def linear(self) -> bool:
        """Whether values stay linear in outcome distributions."""
        return not self.clip and not (self.scales and self.curve == "exponential")

    def plain(self) -> str | dict[str, Any]:
        """The shortest plain data from which `read` makes equal options."""
        found: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value is not False:
                found[field.name] = value
        if self.scales:
            found["zne"] = True if self.scales == SCALES else [int(s) if s == int(s) else s for s in self.scales]
        for name, default in (("extrapolation", "richardson"), ("folding", KINDS[0])):
            if found.get(name) == default:
                del found[name]
        short = all(name in _METHODS and value is True for name, value in found.items())
        return "+".join(name for name in _METHODS if name in found) if short else found


def _is_scale(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value < _MOST


def read(mitigation: object) -> dict[str, Any]:
    """Keyword arguments of `Mitigated` from the option `mitigation`.

    Raises:
        ArgumentError: it is neither a name nor a dictionary of options.
    """
    if isinstance(mitigation, str):
        names = [name.strip() for name in mitigation.split("+")]
        for name in names:
            if name not in _METHODS or names.count(name) > 1:
                raise unknown_name(
                    "mitigation", name if name not in _METHODS else mitigation, (*_METHODS, "readout+zne")
                )
        return dict.fromkeys(names, True)
    known = [field.name for field in fields(Options)]
    if isinstance(mitigation, Mapping):
        foreign = [name for name in mitigation if name not in known]
        if not foreign:
            return dict(mitigation)
        raise unknown_name("option of `mitigation`", foreign[0], known)
    raise ArgumentError(
        f'`mitigation` must be "readout", "zne", "readout+zne" or a dictionary of options; got {mitigation!r}. '
        'Use "readout".'
    )
