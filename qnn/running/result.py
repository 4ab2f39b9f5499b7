"""What came back from a run, in the words in which people ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from qnn._integers import whole
from qnn.errors import ArgumentError
from qnn.running.histogram import histogram_figure, outcome_table

_DIGITS = 12  # of an exact probability; the rest is rounding
_LEAST = 0.5 * 10**-_DIGITS
_SHOWN = 8  # outcomes or observables in a line


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Counts, probabilities or expectation values of one run.

    Attributes:
        name: file or function that was run.
        backend: name of the backend.
        options: its options.
        shots: shots per executed circuit; None when exact.
        seed: what repeats the run; None when exact, and on backends that draw by a state of their own.
        leading: leading dimensions of the parameters; () for one set.
        wires: measured wires; the first is the leftmost bit of an outcome. () if only observables were measured.
        labels: what the circuit calls these wires.
        observables: what `expectation` holds, written out.
    """

    name: str
    backend: str
    options: Mapping[str, Any]
    shots: int | None
    seed: int | None
    leading: tuple[int, ...]
    wires: tuple[int, ...]
    labels: tuple[str, ...]
    observables: tuple[str, ...]
    _distribution: np.ndarray | None
    _values: np.ndarray | None
    _variance: np.ndarray | None

    @property
    def distribution(self) -> np.ndarray:
        """Probability of every outcome, shape (*leading, 2^k); exact, or the frequencies of the shots."""
        if self._distribution is None:
            raise ArgumentError(
                "`observables` must include probabilities to have outcomes; this run measured "
                f'{", ".join(self.observables[:_SHOWN])}. Leave `observables` out, or add "probs".'
            )
        return self._distribution

    @property
    def probabilities(self) -> Any:
        """{outcome: probability}, a list of these for many sets of parameters; exact, or the frequencies of the shots.

        Rounded to 12 digits (`distribution` is not); outcomes without probability, or never seen, are left out.
        """
        return self._by_outcome(_rounded)

    @property
    def counts(self) -> Any:
        """{outcome: times seen}, a list of these for many sets of parameters."""
        shots = self.shots
        if shots is None:
            raise ArgumentError("`shots` must be given to count outcomes; this run is exact. Use shots=1024.")
        return self._by_outcome(lambda share: round(share * shots))

    @property
    def expectation(self) -> Any:
        """Expectation values of the observables, shape (*leading, M), and variances where ``qml.var`` was asked for.

        For a single observable that was not in a list the last dimension is left out; without leading dimensions
        that is a number.
        """
        return _plain(self._measured(self._values))

    @property
    def variance(self) -> Any:
        """Squared standard error of each value of `expectation`; 0 when exact."""
        values = self._measured(self._values)
        return _plain(np.zeros_like(values) if self._variance is None else self._variance)

    @property
    def standard_error(self) -> Any:
        """Standard error of each value of `expectation`, estimated from the shots; 0 when exact."""
        return _plain(np.sqrt(self.variance))

    def histogram(self, row: int | Sequence[int] | None = None, *, title: str | None = None) -> Figure:
        """The outcomes as a picture: counts with the standard deviation of their shot noise, or exact probabilities.

        Args:
            row: which set of parameters, where there are many.
            title: None says what ran where.

        Returns:
            A figure that pyplot does not know: save it with ``figure.savefig(path)``.

        Raises:
            ArgumentError: the run has no outcomes, or `row` does not name one of its rows.
        """
        return histogram_figure(
            self._row(row), shots=self.shots, labels=self.labels, title=self.title if title is None else title
        )

    @property
    def title(self) -> str:
        """What ran where."""
        options = "".join(f", {name}={value}" for name, value in self.options.items())
        return f"{self.name} on {self.backend}{options}"

    def _row(self, row: int | Sequence[int] | None) -> dict[str, float]:
        """The outcomes of one set of parameters."""
        table = self.distribution
        asked: Any = row
        given = () if row is None else tuple(asked) if isinstance(row, Sequence) or np.ndim(asked) else (asked,)
        index = tuple(i for i in map(whole, given) if i is not None)
        fits = all(-n <= i < n for i, n in zip(index, self.leading, strict=False))
        if not len(given) == len(index) == len(self.leading) or not fits:
            what = f"one of {self.leading} rows" if self.leading else "left out, since there is one row only"
            raise ArgumentError(
                f"`row` must be {what}; got {row}. Use for example histogram({'0' * (self.leading != ())})."
            )
        return _outcomes(table[index], len(self.wires), _rounded)

    def _measured(self, values: np.ndarray | None) -> np.ndarray:
        if values is None:
            raise ArgumentError(
                "`observables` must be given to have expectation values; this run measured outcomes. "
                'Use for example observables="Z".'
            )
        return values

    def _by_outcome(self, number: Callable[[float], Any]) -> Any:
        table = self.distribution
        rows = [_outcomes(line, len(self.wires), number) for line in table.reshape(-1, table.shape[-1])]
        return _nested(iter(rows), self.leading)

    def __repr__(self) -> str:
        """Where it ran, and the most of what was measured that fits a line."""
        how = "exact" if self.shots is None else f"{self.shots} shots"
        seed = "" if self.seed is None else f", seed {self.seed}"
        rows = f", {'×'.join(map(str, self.leading))} rows" if self.leading else ""
        return f"<qnn run on {self.backend}, {how}{seed}{rows}: {self._summary()}>"

    def _summary(self) -> str:
        shown: list[str] = []
        if self.leading:
            shown += [f"outcomes of {', '.join(self.labels)}"] if self.wires else []
            return ", ".join([*shown, *self.observables[:_SHOWN]])
        if self.observables:
            values, errors = np.ravel(self.expectation), np.ravel(self.standard_error)
            shown += [
                f"{name} = {value:.4g}" + ("" if self.shots is None else f" ± {error:.2g}")
                for name, value, error in zip(self.observables, values, errors, strict=True)
            ]
        if self.wires:
            line = self.distribution
            places = np.argsort(-line, kind="stable")[:_SHOWN]
            likely = np.zeros_like(line)
            likely[places] = line[places]
            found = _outcomes(likely, len(self.wires), _rounded)
            shown += [
                f"{bits}: {round(p * self.shots) if self.shots else format(p, '.4g')}" for bits, p in found.items()
            ]
            if more := int(np.count_nonzero(line > _LEAST)) - len(found):
                shown.append(f"{more} more")
        return ", ".join(shown)

    def __str__(self) -> str:
        """A table of one run, with bars; the line of `repr` for many sets of parameters."""
        if self.leading or not self.wires:
            return repr(self)
        return outcome_table(self._row(None), shots=self.shots)

    def _repr_png_(self) -> bytes | None:
        """The histogram in notebooks, of one set of parameters."""
        if self.leading or not self.wires:
            return None
        buffer = BytesIO()
        self.histogram().savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def _rounded(probability: float) -> float:
    return round(probability, _DIGITS)


def _outcomes(line: np.ndarray, width: int, number: Callable[[float], Any]) -> dict[str, Any]:
    places = np.flatnonzero(line > _LEAST).tolist()
    return {format(i, f"0{width}b"): number(float(line[i])) for i in places}


def _nested(items: Iterator[Any], leading: tuple[int, ...]) -> Any:
    return [_nested(items, leading[1:]) for _ in range(leading[0])] if leading else next(items)


def _plain(values: Any) -> Any:
    """A number instead of an array without dimensions."""
    return float(values) if np.ndim(values) == 0 else values
