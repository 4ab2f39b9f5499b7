"""Any backend, with readout mitigation and zero-noise extrapolation around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from qnn.backends import registry
from qnn.backends.base import Backend, Capabilities
from qnn.backends.compiled import CompilingBackend
from qnn.backends.mitigation.executable import MitigatedExecutable
from qnn.backends.mitigation.options import Options
from qnn.circuits.circuit import Circuit
from qnn.errors import CapabilityError
from qnn.jobs.service import Service


class Mitigated(CompilingBackend):
    """Values with less of the backend's errors, at the price of more circuits and more variance.

    *Readout mitigation* inverts the detectors' confusion matrices on the histograms
    (`qnn.backends.mitigation.readout`). They are measured in two circuits on the same qubits, when a training, or
    another run (`qnn.jobs.run_scope`), first needs them, once for each seed. On IBM's Estimator, which returns no
    histograms, it is IBM's own. *Zero-noise extrapolation* executes each circuit at several scales of noise, made by
    folding its gates (after transpiling, so that nothing can cancel the copies), and extrapolates to none
    (`qnn.backends.mitigation.extrapolation`). Machines of Amazon Braket, whose compilers would undo that, get native
    gates on qubits of their own (`verbatim`).

    Values may leave the range of an observable, such as [-1, 1]. Estimates have no counts, since a histogram of
    true outcomes is not observed. Gradients follow by the backend's other methods than adjoint. The shift rule
    extrapolates the derivative at each scale, and so has the derivative without noise as its limit; it is the
    derivative of the mitigated value, too, with ``folding="two-qubit"`` where transpiled two-qubit gates have no
    angles. An exponential or `clip` is not linear, and needs ``gradient="finite-difference"``.

    Args:
        backend: name, or `Backend`.
        readout: whether to mitigate readout.
        zne: scales of noise, 1 being the circuit as it is; True for (1, 3, 5).
        extrapolation: "richardson", "linear", "polynomial:<degree>" or "exponential". None: "richardson".
        folding: "two-qubit" repeats gates on two or more qubits in their place; "global" the whole circuit, gates
            on one qubit included. None: "two-qubit".
        asymptote: of the exponential. None: the value in the maximally mixed state, 0 for Pauli words.
        calibration_shots: shots of each of the two calibration circuits. None: 10,000, or those of the run where more.
        clip: whether histograms of true outcomes with negative entries become the nearest probability distribution.
            Values are then in range and biased, but with `zne`, which extrapolates clipped values beyond it; variances
            are those without clipping, mostly too large. Exact values are not clipped.

    Raises:
        ArgumentError: an option that cannot be used.
        CapabilityError: the backend mitigates already, may change circuits behind `compile`, or returns no counts.

    Cost:
        Circuits times the number of scales, each scale a job of its own; shots for an equal error times Σ c_k² K of the
        extrapolation (16 for (1, 3, 5) by Richardson, 5 for (1, 3)), and about (1 - e0 - e1)⁻² for each measured wire.

    Example:
        >>> Mitigated("statevector", readout=True, zne=(1, 3))
        <qnn backend statevector with readout mitigation and zero-noise extrapolation>
    """

    def __init__(
        self,
        backend: str | Backend = "aer",
        readout: bool = False,
        zne: bool | Sequence[float] | None = None,
        extrapolation: str | None = None,
        folding: str | None = None,
        asymptote: float | None = None,
        calibration_shots: int | None = None,
        clip: bool | None = None,
    ) -> None:
        super().__init__()
        self.mitigation = Options(readout, zne, extrapolation, folding, asymptote, calibration_shots, clip)
        self.mitigation.check_any()
        self.given = registry.resolve(backend)
        self.name = self.given.name
        self._refuse_twice(isinstance(self.given, Mitigated), "mitigates already")
        self.inner = self.given.verbatim()
        self._refuse_twice(
            bool(self.mitigation.scales) and self.inner.capabilities.extrapolates, "mitigates gates already"
        )
        self._theirs = self.mitigation.readout and not self.inner.capabilities.counts
        if self._theirs:
            self.inner = self._with_their_readout()

    def _refuse_twice(self, already: bool, what: str) -> None:
        if already:
            raise CapabilityError(
                f"`mitigation` must be for a backend that does not mitigate by itself; got {self.given!r}, which "
                f"{what}. Leave `mitigation` out."
            )

    def _with_their_readout(self) -> Backend:
        """The inner backend, whose provider mitigates readout."""
        found = self.inner.with_readout_mitigation()
        if found is None:
            raise CapabilityError(
                f"`readout` must have counts to mitigate; {self.given!r} returns none. "
                'Use mitigation="zne", or leave `mitigation` out.'
            )
        self.mitigation.refuse_ours(self.name)
        return found

    @property
    def capabilities(self) -> Capabilities:
        """Those of the inner backend, without amplitudes and counts."""
        return replace(
            self.inner.capabilities, vjp=False, differentiable=False, counts=False, linear=self.mitigation.linear
        )

    def service(self) -> Service | None:
        """That of the inner backend."""
        return self.inner.service()

    def specification(self) -> dict[str, Any] | None:
        """That of the given backend, with `mitigation`; None where that has none."""
        given = self.given.specification()
        return None if given is None else given | {"mitigation": self.mitigation.plain()}

    def __repr__(self) -> str:
        """The given backend's, with what is mitigated."""
        options = self.mitigation
        names = ["readout mitigation"] * options.readout + ["zero-noise extrapolation"] * bool(options.scales)
        return f"{repr(self.given)[:-1]} with {' and '.join(names)}>"

    def _compile(self, circuit: Circuit) -> MitigatedExecutable:
        options = self.mitigation.without_readout() if self._theirs else self.mitigation
        return MitigatedExecutable(circuit, self, self.inner, options)
