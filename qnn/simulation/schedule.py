"""What the compiled sweeps execute: a program rewritten so that little is left to do.

Rotations that commute are gathered into groups. A group is brought into a basis in which all its words are diagonal, by
one quarter turn (additions only) for each independent word; then all its rotations together are one
multiplication by phases, and all their derivatives one Walsh-Hadamard transform of a vector. The basis is
never turned back: what follows is expressed in it. The index of an amplitude is relabelled, at no cost, so that
the first rotations fill the state from its first rows on.

References:
    Bravyi and Maslov, IEEE Trans. Inf. Theory 67, 4546 (2021): Clifford basis changes as quarter turns.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import pi

import numpy as np

from qnn.simulation import gf2
from qnn.simulation.pauli import CliffordFrame, Pauli
from qnn.simulation.program import OutcomeMeasurement, Program, outcome_table

ROTATE, ROTATE_ROWS, TURN, TWO_TURNS, PHASES, RELABEL, SCALE = range(7)
KIND, INSIDE, ACTIVE, X, Z, LANES, G, PLACE, X2, Z2, LANES2, G2, COUNT = range(13)
"""Columns of `Schedule.code`: INSIDE is how many index bits lie inside the lanes of this instruction, 2^ACTIVE rows are
reached, X and Z are in rows of lanes with the bit of the part, LANES is Z within the lanes."""

_WIDE = 7  # qubits from which the number of passes counts more than that of calls


@dataclass(frozen=True)
class Schedule:
    """Instructions for the compiled sweeps.

    Attributes:
        lane_bits: how many of the lowest bits of an amplitude's index lie inside the lanes of every instruction.
        code: shape (I, 13) int64, an instruction a row.
        phases: shape (F, 3) int64: mask, place among shared angles and sign, for each rotation of diagonal groups.
        labels: shape (2·G, n) int64, for each relabelling the index that every bit comes from, and its inverse.
        words: shape (W, 5) int64, for each measured word INSIDE, X, Z, LANES and G of P as a real matrix.
        masks: shape (W,) int64, z of the measured words where all are diagonal.
        outcome: shape (S,) int64, the outcome of each amplitude; empty for expectation values.
    """

    lane_bits: int
    code: np.ndarray
    phases: np.ndarray
    labels: np.ndarray
    words: np.ndarray
    masks: np.ndarray
    outcome: np.ndarray

    @property
    def operands(self) -> tuple[np.ndarray, ...]:
        """What the sweeps take; words that are measured apart, all together, are not among it."""
        return self.code, self.phases, self.labels, self.words[:0] if self.apart else self.words

    @property
    def apart(self) -> bool:
        """Whether outcomes, or diagonal words, are measured all together."""
        return bool(len(self.outcome) or len(self.masks))

    def first_of_interest(self, shared: bool, rows: bool) -> int:
        """The first instruction with a derivative by shared angles or by the rows' own, if those are wanted."""
        return min(self._first[0] if shared else len(self.code), self._first[1] if rows else len(self.code))

    @cached_property
    def _first(self) -> tuple[int, int]:
        kinds = [*self.code[:, KIND].tolist(), ROTATE, ROTATE_ROWS, PHASES]
        return min(kinds.index(ROTATE), kinds.index(PHASES)), kinds.index(ROTATE_ROWS)


@dataclass
class _Rotation:
    """A rotation of the program: its word there, whose angle it has, its place among those."""

    word: Pauli
    per_row: bool
    place: int


@dataclass
class _Group:
    """Rotations that commute with each other."""

    members: list[_Rotation] = field(default_factory=list)


def schedule(program: Program, lane_bits: int = 0, wide_bits: int = 0, *, plain: bool = False) -> Schedule:
    """The instructions for one program.

    Args:
        program: rotations and a measurement.
        lane_bits: index bits inside the lanes of every instruction, at most n - 1: amplitudes are moved to make it so.
        wide_bits: index bits inside the lanes of instructions that do not flip them, at least `lane_bits`.
        plain: execute every rotation as it stands, so that the final state is the program's own.
    """
    writer = _Writer(program.n_wires, lane_bits, max(lane_bits, min(wide_bits, program.n_wires)))
    if plain:
        for rotation in _rotations(program):
            writer.rotation(rotation)
        return writer.finished(program, measure=False)
    writer.relabel_at_start(int(x) for x in program.rotations.x)
    for group in _groups(program):
        if isinstance(group, _Quarter):
            writer.quarter(group)
        else:
            writer.group(group)
    return writer.finished(program, measure=True)


@dataclass
class _Quarter:
    """A constant rotation by a multiple of π/2, which only changes the basis."""

    word: Pauli
    quarters: int


def _rotations(program: Program) -> Iterable[_Rotation]:
    r = program.rotations
    seen = {False: 0, True: 0}
    for k in range(len(r)):
        x, z, per_row = int(r.x[k]), int(r.z[k]), bool(r.per_row[k])
        yield _Rotation(Pauli(x, z, (x & z).bit_count() % 4), per_row, seen[per_row])
        seen[per_row] += 1


def _groups(program: Program) -> list[_Group | _Quarter]:
    """Each rotation in the earliest group that it can reach by moving past what it commutes with."""
    r = program.rotations
    groups: list[_Group | _Quarter] = []
    for k, rotation in enumerate(_rotations(program)):
        quarters = r.constant[k] / (pi / 2)
        if r.column[k] < 0 and abs(quarters - round(quarters)) < 1e-9:
            groups.append(_Quarter(rotation.word, round(quarters)))
            continue
        place = len(groups)
        while place and not _blocks(groups[place - 1], rotation):
            place -= 1
        if place == len(groups):
            groups.insert(place, _Group())
        group = groups[place]
        assert isinstance(group, _Group)
        group.members.append(rotation)
    return groups


def _blocks(group: _Group | _Quarter, rotation: _Rotation) -> bool:
    if isinstance(group, _Quarter):
        return True
    return any(member.word.anticommutes(rotation.word) for member in group.members)


class _Writer:
    """Writes instructions and knows in which basis the state is after them."""

    def __init__(self, n_wires: int, lane_bits: int, wide_bits: int) -> None:
        self.n, self.lane_bits, self.wide_bits = n_wires, lane_bits, wide_bits
        self.frame = CliffordFrame(self.n)
        self.code: list[list[int]] = []
        self.phases: list[tuple[int, int, int]] = []
        self.labels: list[list[int]] = []
        self._active = lane_bits  # index bits beyond which all amplitudes are still zero
        self._unscaled = 0  # quarter turns since the last normalisation
        self._turns: list[Pauli] = []  # executed, but not yet written: two make one pass
        self._low = (1 << lane_bits) - 1

    def relabel_at_start(self, masks: Iterable[int]) -> None:
        """Name the bits so that the first independent masks are single bits, those above the lanes first."""
        targets = [*range(self.lane_bits, self.n), *range(self.lane_bits)]
        basis = gf2.completed(masks, self.n)
        self._rename([basis[targets.index(t)] for t in range(self.n)])

    def _rename(self, sources: list[int]) -> list[int]:
        """Express words in the index whose bit t stands for the old index sources[t]; returns the inverse map."""
        columns = gf2.inverse(sources)
        self.frame.rename(lambda p: Pauli(gf2.image(columns, p.x), gf2.transposed_image(sources, p.z), p.e))
        return columns

    def quarter(self, quarter: _Quarter) -> None:
        """Change the basis of what follows instead of the state."""
        self.frame.absorb(quarter.word, quarter.quarters)

    def group(self, group: _Group) -> None:
        """Execute a group: diagonally where that is cheaper, one by one otherwise."""
        shared = [m for m in group.members if not m.per_row]
        rank = len(gf2.independent(self.frame.image(m.word).x for m in shared))
        rest = group.members
        if 0.4 * rank + 0.8 < len(shared):
            self.diagonalise([m.word for m in shared])
            words = [self.frame.image(m.word) for m in shared]
            self._write(PHASES, place=len(self.phases), count=len(shared), g=self._unscaled)
            self.phases += [(w.z, m.place, w.sign) for w, m in zip(words, shared, strict=True)]
            self._unscaled = 0
            rest = [m for m in group.members if m.per_row]
        while rest:  # those first whose words keep out of the lanes
            waiting = []
            for member in rest:
                word = self.frame.image(member.word)
                if word.x & self._low:
                    waiting.append(member)
                else:
                    self.rotation(member)
            if waiting:
                self._clear_lanes([self.frame.image(m.word).x for m in waiting])
            rest = waiting

    def rotation(self, member: _Rotation) -> None:
        """Execute one rotation."""
        word = self.frame.image(member.word)
        self._reach(word.x)
        self._write(ROTATE_ROWS if member.per_row else ROTATE, word, place=member.place)

    def diagonalise(self, words: Sequence[Pauli]) -> None:
        """Turn the basis until the images of these commuting words are diagonal."""
        while True:
            images = [self.frame.image(w) for w in words]
            if all(w.x == 0 for w in images):
                return
            word = self._outside_lanes(images)
            if word is None:
                self._clear_lanes([w.x for w in images])
                continue
            turn = (Pauli(0, word.x & -word.x, 0) * word).times_i(1)
            self.frame.execute_quarter(turn)
            self._reach(turn.x)
            self._turns.append(turn)
            self._unscaled += 1
            if len(self._turns) == 2:
                self._write_turns()

    def _outside_lanes(self, words: Sequence[Pauli]) -> Pauli | None:
        """A product of the words, not diagonal, that flips no bits within the lanes, and if possible no low ones."""
        rows, low = [w for w in words if w.x], None
        for bit in range(self.wide_bits):
            pivot = next((w for w in rows if w.x >> bit & 1), None)
            if pivot is not None:
                rows = [pivot * w if w.x >> bit & 1 else w for w in rows if w is not pivot]
                low = pivot if bit >= self.lane_bits else low
        return min((w for w in rows if w.x), key=lambda w: w.x, default=low)

    def _clear_lanes(self, masks: Sequence[int]) -> None:
        """Move amplitudes so that as many as possible of these masks keep out of the lanes."""
        chosen = gf2.independent(masks)[: self.n - self.lane_bits]
        sources: dict[int, int] = {}
        free = lambda bits: [b for b in bits if b not in sources]
        high = range(self.n - 1, self.lane_bits - 1, -1)
        for mask in chosen:
            own = [b for b in free(high) if mask >> b & 1]
            sources[(own or free(high))[0]] = mask
        for unit in gf2.completed(chosen, self.n)[len(chosen) :]:
            own = [b for b in free(range(self.n)) if unit >> b & 1]
            sources[(own or free(range(self.n)))[0]] = unit
        ordered = [sources[t] for t in range(self.n)]
        self._write_turns()
        self._active = self.n
        columns = self._rename(ordered)
        self._write(RELABEL, place=len(self.labels))
        self.labels += [ordered, columns]

    def _reach(self, x: int) -> None:
        self._active = max(self._active, x.bit_length())

    def _write_turns(self) -> None:
        turns, self._turns = self._turns, []
        if turns:
            self._write(TURN if len(turns) == 1 else TWO_TURNS, *turns)

    def _write(
        self,
        kind: int,
        word: Pauli | None = None,
        second: Pauli | None = None,
        *,
        place: int = 0,
        count: int = 0,
        g: int = 0,
    ) -> None:
        if kind not in (TURN, TWO_TURNS):
            self._write_turns()
        inside = self.lane_bits
        if word is not None:
            flips = word.x | (0 if second is None else second.x) | 1 << self.wide_bits
            inside = (flips & -flips).bit_length() - 1
        active = max(0, self._active - inside)
        line = [kind, inside, active, 0, 0, 0, g, place, 0, 0, 0, 0, count]
        if word is not None:
            line[X : G + 1] = _masks(word, inside, active, hermitian=False)
        if second is not None:
            line[X2 : G2 + 1] = _masks(second, inside, active, hermitian=False)
        self.code.append(line)

    def finished(self, program: Program, *, measure: bool) -> Schedule:
        """The schedule, with the measurement in the basis at the end."""
        measured: list[Pauli] = []
        m = program.measurement
        if measure:
            measured = list(m.words) if isinstance(m, OutcomeMeasurement) else [
                Pauli(int(x), int(z), int(x & z).bit_count() % 4) for x, z in zip(m.x, m.z, strict=True)
            ]  # fmt: skip
            many = self.n >= _WIDE and len(measured) > self.n // 2  # one transform for all, against a pass for each
            if isinstance(m, OutcomeMeasurement) or ((self.lane_bits or many) and _commute(measured)):
                self.diagonalise(measured)
        self._write_turns()
        if self._unscaled:
            self._write(SCALE, count=self._unscaled)
        words = [self.frame.image(w) for w in measured]
        table = np.array([self._measured(w) for w in words], dtype=np.int64).reshape(-1, 5)
        outcome = outcome_table(words, self.n) if isinstance(m, OutcomeMeasurement) else np.zeros(0, dtype=np.int64)
        diagonal = all(w.x == 0 for w in words)
        return Schedule(
            self.lane_bits,
            np.array(self.code, dtype=np.int64).reshape(-1, COUNT + 1),
            np.array(self.phases, dtype=np.int64).reshape(-1, 3),
            np.array(self.labels, dtype=np.int64).reshape(-1, self.n),
            table,
            np.array([w.z for w in words] if diagonal else [], dtype=np.int64),
            outcome,
        )

    def _measured(self, word: Pauli) -> list[int]:
        flips = word.x | 1 << self.wide_bits
        inside = (flips & -flips).bit_length() - 1
        return [inside, *_masks(word, inside, self.n - inside, hermitian=True)]


def _commute(words: Sequence[Pauli]) -> bool:
    return not any(a.anticommutes(b) for a in words for b in words)


def _masks(word: Pauli, inside: int, active: int, *, hermitian: bool) -> list[int]:
    """X and Z in rows, Z in the lanes, and the factor g of P (Hermitian) or -iP (antisymmetric) as a real matrix."""
    n_y = (word.x & word.z).bit_count()
    crosses = n_y % 2 if hermitian else 1 - n_y % 2  # from real to imaginary parts
    g = word.sign * (1 - 2 * (n_y // 2 % 2))
    if crosses and not hermitian:
        g = -g
    part = crosses << active
    z = (word.z >> inside) & ((1 << active) - 1)  # bits beyond meet amplitudes that are zero
    return [word.x >> inside | part, z | part, word.z & ((1 << inside) - 1), g]
