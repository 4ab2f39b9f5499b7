"""Every gradient method keeps the contract; which one is chosen is a function of what is asked and possible."""

import gc
import json

import pytest
import torch
from contracts.gradient_contract import GradientContract, no_keys, plan_for
from random_circuits import random_angles, random_circuit

from qnn import QuantumLayer
from qnn.backends.base import Capabilities
from qnn.backends.statevector import Statevector
from qnn.errors import CapabilityError, NotFiniteError, UnknownNameError
from qnn.gradients import methods, operator
from qnn.gradients import plan as plans

STATEVECTOR = Statevector().capabilities


class TestAdjoint(GradientContract):
    method = "adjoint"
    second_derivatives = True


class TestBackprop(GradientContract):
    method = "backprop"
    second_derivatives = True


class TestParameterShift(GradientContract):
    method = "parameter-shift"
    circuits_per_angle = 2


class TestFiniteDifference(GradientContract):
    method = "finite-difference"
    circuits_per_angle = 2


class TestSPSA(GradientContract):
    method = "spsa"
    test_gradients_are_those_of_the_dense_truth = None  # right on average only: test_gradients_agreement.py

    def shifted(self, n_angles: int) -> int:
        return 2 if n_angles else 0


# choosing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "capabilities", "shots", "expected"),
    [
        ("auto", STATEVECTOR, None, "adjoint"),
        ("auto", STATEVECTOR, 100, "parameter-shift"),
        ("auto", Capabilities(), None, "parameter-shift"),
        ("backprop", STATEVECTOR, None, "backprop"),
        ("spsa", Capabilities(), 10, "spsa"),
        ("finite-difference", STATEVECTOR, 10, "finite-difference"),
        ("parameter-shift", STATEVECTOR, None, "parameter-shift"),
    ],
)
def test_the_method_follows_from_request_capabilities_and_shots(request_, capabilities, shots, expected) -> None:
    method, why = methods.choose(request_, capabilities, shots, "here")
    assert method == expected and why


@pytest.mark.parametrize("request_", ["adjoint", "backprop"])
def test_amplitudes_are_needed_where_they_are(request_: str) -> None:
    with pytest.raises(
        CapabilityError, match=rf'`gradient="{request_}"` needs amplitudes, which backend "there" cannot'
    ):
        methods.choose(request_, Capabilities(), None, "there")
    with pytest.raises(CapabilityError, match=rf'`gradient="{request_}"` needs exact amplitudes; got shots\. Use grad'):
        methods.choose(request_, STATEVECTOR, 100, "here")


def test_a_misspelt_method_gets_a_suggestion() -> None:
    with pytest.raises(
        UnknownNameError, match=r'No gradient method named "parameter_shift"\. Did you mean "parameter-s'
    ):
        methods.choose("parameter_shift", STATEVECTOR, None, "here")


# plans -----------------------------------------------------------------------------------------------------------


def test_a_plan_is_rebuilt_from_its_name() -> None:
    circuit = random_circuit(3, 2)
    plan = plan_for(circuit, "parameter-shift")
    name = json.dumps({**json.loads(plan.key), "shots": 12345}, sort_keys=True, separators=(",", ":"))
    again = operator.plan_of(name)
    assert again.circuit == circuit and again.shots == 12345 and again.method == "parameter-shift"
    assert operator.plan_of(name) is again and operator.plan_of(plan.key) is not again


class Live(Statevector):
    """A backend that cannot be written down."""

    def specification(self) -> None:
        return None


def test_a_plan_with_live_objects_is_found_while_it_lives_and_not_kept() -> None:
    layer = QuantumLayer(2, 1, seed=0, backend=Live())
    key = layer.plan.key
    assert operator.plan_of(key) is layer.plan
    inputs = torch.rand(2, 2, requires_grad=True)
    layer(inputs).sum().backward()
    del layer
    gc.collect()
    assert key not in plans._living
    twin = QuantumLayer(2, 1, seed=0, backend=Live())
    total = twin(inputs).sum()
    del twin
    gc.collect()
    total.backward()  # the graph keeps what it needs


def test_equal_layers_share_what_is_compiled() -> None:
    one, other = QuantumLayer(2, 1, seed=0), QuantumLayer(2, 1, seed=1)
    assert one.plan is other.plan
    assert QuantumLayer(2, 1, seed=1, shots=5).plan is not one.plan


@pytest.mark.parametrize("method", methods.METHODS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_angles_that_are_not_finite_are_named(method: str, bad: float) -> None:
    circuit = random_circuit(5, 3)
    angles = random_angles(circuit, 3)
    plan = plan_for(circuit, method)
    rows = angles.rows.clone()
    rows[2, 1] = bad
    for grad in (False, True):
        with pytest.raises(NotFiniteError, match=rf"`inputs` must be finite; got {bad} at row 2, feature 1\. Check"):
            operator.execute(plan, angles.shared, rows.clone().requires_grad_(grad), no_keys())
    shared = angles.shared.clone()
    shared[0] = bad
    with pytest.raises(NotFiniteError, match=rf"`weights` must be finite; got {bad} at position 0"):
        operator.execute(plan, shared, angles.rows, no_keys())


def test_large_finite_numbers_are_no_infinity() -> None:
    layer = QuantumLayer(2, 1, seed=0)
    assert bool(torch.isfinite(layer(torch.full((4, 2), 3e38))).all())
