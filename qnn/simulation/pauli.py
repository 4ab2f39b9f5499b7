"""Pauli words as bit masks, and the Clifford frame that moves through a circuit.

A Pauli is (x, z, e) and means i^e X^x Z^z. Bit n-1-w of a mask belongs to wire w, as in the index
of an amplitude, so that wire 0 is the leftmost bit.

References:
    Aaronson and Gottesman, Phys. Rev. A 70, 052328 (2004): images of generators as a tableau.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Pauli(NamedTuple):
    """The operator i^e X^x Z^z."""

    x: int
    z: int
    e: int

    def __mul__(self, other: Pauli) -> Pauli:  # type: ignore[override]
        """Operator product."""
        swaps = (self.z & other.x).bit_count()
        return Pauli(self.x ^ other.x, self.z ^ other.z, (self.e + other.e + 2 * swaps) % 4)

    def times_i(self, power: int) -> Pauli:
        """The operator times i^power."""
        return Pauli(self.x, self.z, (self.e + power) % 4)

    def anticommutes(self, other: Pauli) -> bool:
        """Whether the two operators anticommute."""
        return ((self.x & other.z).bit_count() + (self.z & other.x).bit_count()) % 2 == 1

    @property
    def sign(self) -> int:
        """+1 or -1 in front of the plain word of X, Y and Z letters."""
        power = (self.e - (self.x & self.z).bit_count()) % 4
        assert power % 2 == 0, "a Hermitian Pauli has a real sign"
        return 1 - power

    @classmethod
    def from_letters(cls, letters: Iterable[tuple[int, str]], n_wires: int) -> Pauli:
        """The word with `letters` ((wire, "X" | "Y" | "Z" | "I"), ...)."""
        x = z = 0
        for wire, letter in letters:
            bit = 1 << (n_wires - 1 - wire)
            x |= bit * (letter in "XY")
            z |= bit * (letter in "YZ")
        return cls(x, z, (x & z).bit_count() % 4)


class CliffordFrame:
    """A Clifford unitary F by its images F†PF, grown gate by gate.

    Clifford factors of a circuit need not be executed: pushed to the end they turn each later
    rotation about P into a rotation about F†PF, and each observable likewise.
    """

    def __init__(self, n_wires: int) -> None:
        bits = [1 << (n_wires - 1 - wire) for wire in range(n_wires)]
        self._x = {bit: Pauli(bit, 0, 0) for bit in bits}
        self._z = {bit: Pauli(0, bit, 0) for bit in bits}

    def image(self, pauli: Pauli) -> Pauli:
        """F†PF."""
        result = Pauli(0, 0, pauli.e)
        for mask, images in ((pauli.x, self._x), (pauli.z, self._z)):
            while mask:
                bit = mask & -mask
                result = result * images[bit]
                mask ^= bit
        return result

    def absorb(self, pauli: Pauli, quarters: int) -> None:
        """F ← exp(-i π/4 · quarters · P) F, a rotation by quarters·π/2."""
        quarters %= 4
        if quarters == 0:
            return
        generator = self.image(pauli)
        # A generator g that anticommutes with P goes to i P g, -g, -i P g for 1, 2, 3 quarters.
        for images, mask in ((self._x, pauli.z), (self._z, pauli.x)):
            while mask:
                bit = mask & -mask
                mask ^= bit
                if quarters == 2:
                    images[bit] = images[bit].times_i(2)
                else:
                    images[bit] = (generator * images[bit]).times_i(quarters)

    def execute_quarter(self, turn: Pauli) -> None:
        """Images as they are after a state has been turned by exp(-i π/4 · turn), with `turn` among the images."""
        for images in (self._x, self._z):
            for bit, image in images.items():
                if image.anticommutes(turn):
                    images[bit] = (turn * image).times_i(3)

    def rename(self, relabelled: Callable[[Pauli], Pauli]) -> None:
        """Images with the bits of the index named anew."""
        for images in (self._x, self._z):
            for bit in images:
                images[bit] = relabelled(images[bit])
