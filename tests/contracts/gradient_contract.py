"""What every gradient method must do; its test class subclasses this and names the method."""

import numpy as np
import oracles
import pennylane as qml
import pytest
import torch
from random_circuits import random_circuit

from qnn import QuantumLayer, _meter
from qnn.backends.base import Angles
from qnn.backends.statevector import Statevector
from qnn.circuits.circuit import Circuit
from qnn.gradients import operator

F64 = torch.float64


def plan_for(circuit: Circuit, method: str, shots: int | None = None) -> operator.Plan:
    """A plan whose sources are the angles themselves."""
    shared, rows = tuple(range(circuit.n_shared)), tuple(range(circuit.n_rows))
    return operator.Plan(circuit, Statevector(), method, shots, shared, rows, circuit.n_rows)


def no_keys() -> torch.Tensor:
    return torch.empty((0, 5), dtype=torch.int64)


class GradientContract:
    """Subclass, and set `method`; what a method cannot do is declared."""

    method: str
    tolerance = 1e-6
    circuits_per_angle = 0  # executed besides the row itself
    second_derivatives = False

    def layer(self, *args: int, **options) -> QuantumLayer:
        return QuantumLayer(*args, **{"seed": 2, "dtype": F64, "gradient": self.method, **options})

    def oracle(self, circuit: Circuit, angles: Angles, cotangent: torch.Tensor, step: float = 1e-5) -> Angles:
        """Central differences of the dense truth."""

        def value(shared: np.ndarray, rows: np.ndarray) -> float:
            return float((oracles.values(circuit, shared, rows) * cotangent.numpy()).sum())

        found = []
        for block in (angles.shared.numpy(), angles.rows.numpy()):
            gradient = np.zeros_like(block)
            for place in np.ndindex(*block.shape):
                kept = block[place]
                block[place] = kept + step
                above = value(angles.shared.numpy(), angles.rows.numpy())
                block[place] = kept - step
                below = value(angles.shared.numpy(), angles.rows.numpy())
                block[place] = kept
                gradient[place] = (above - below) / (2 * step)
            found.append(torch.from_numpy(gradient))
        return Angles(*found)

    @pytest.mark.parametrize("seed", range(4))
    def test_gradients_are_those_of_the_dense_truth(self, seed: int) -> None:
        circuit = random_circuit(40 + seed, 1 + seed, 10)
        rng = np.random.default_rng(seed)
        angles = Angles(
            torch.tensor(rng.uniform(-3, 3, circuit.n_shared)), torch.tensor(rng.uniform(-3, 3, (2, circuit.n_rows)))
        )
        cotangent = torch.tensor(rng.uniform(-1, 1, (2, circuit.n_outputs)))
        expected = self.oracle(circuit, angles, cotangent)
        leaves = angles.shared.clone().requires_grad_(), angles.rows.clone().requires_grad_()
        values = operator.execute(plan_for(circuit, self.method), *leaves, no_keys())
        np.testing.assert_allclose(
            values.detach(), oracles.values(circuit, *map(np.asarray, (angles.shared, angles.rows))), atol=1e-10
        )
        found = torch.autograd.grad((values * cotangent).sum(), leaves, materialize_grads=True)
        torch.testing.assert_close(found[0], expected.shared, atol=self.tolerance, rtol=0)
        torch.testing.assert_close(found[1], expected.rows, atol=self.tolerance, rtol=0)

    def test_values_do_not_depend_on_the_method(self) -> None:
        inputs = torch.rand(3, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
        expected = self.layer(2, 2, gradient="adjoint")(inputs)
        torch.testing.assert_close(self.layer(2, 2)(inputs), expected, atol=1e-12, rtol=0)
        with torch.no_grad():
            torch.testing.assert_close(self.layer(2, 2)(inputs), expected.detach(), atol=1e-12, rtol=0)

    def test_only_what_needs_a_gradient_is_computed(self) -> None:
        """Circuits by the meter: shifted ones for inputs alone, weights alone, both, or none."""
        layer = self.layer(2, 3)  # 2 angles of inputs, 6 of weights
        for with_inputs in (False, True):
            for with_weights in (False, True):
                layer.weights.requires_grad_(with_weights)
                inputs = torch.rand(5, 2, dtype=F64).requires_grad_(with_inputs)
                with _meter.measure() as usage:
                    outputs = layer(inputs)
                    if outputs.requires_grad:
                        outputs.sum().backward()
                n_angles = 2 * with_inputs + 6 * with_weights
                shifted = self.shifted(n_angles)
                assert usage == _meter.Usage(circuits=5 * (1 + shifted), jobs=1), (with_inputs, with_weights)
                assert (inputs.grad is not None) == with_inputs
                layer.zero_grad()
        layer.weights.requires_grad_(True)
        with torch.no_grad(), _meter.measure() as usage:
            layer(torch.rand(5, 2, dtype=F64))
        assert usage.circuits == 5

    def shifted(self, n_angles: int) -> int:
        return self.circuits_per_angle * n_angles

    @pytest.mark.parametrize("batch_size", [1, 4])
    def test_the_explanation_is_what_the_meter_counts(self, batch_size: int) -> None:
        def function(inputs, w):
            qml.RX(inputs[0], 0)
            qml.RY(inputs[1] * w[0], 1)
            qml.CRX(w[1], [0, 1])
            qml.RY(w[2], 0)
            qml.SingleExcitation(w[3], [0, 1])
            return [qml.expval(qml.Z(0)), qml.expval(qml.X(0) @ qml.Y(1)), qml.probs(wires=[1])]

        layer = QuantumLayer.from_pennylane(
            function, n_inputs=2, weight_shapes={"w": 4}, gradient=self.method, seed=0, dtype=F64
        )
        plan = layer.explain(batch_size)
        with _meter.measure() as usage:
            layer(torch.rand(batch_size, 2, dtype=F64, requires_grad=True)).sum().backward()
        assert (usage.circuits, usage.shots, usage.jobs) == (
            plan.circuits_per_step,
            plan.shots_per_step,
            plan.jobs_per_step,
        )
        assert plan.gradient == self.method and plan.batch_size == batch_size and plan.measurement_bases == 2

    def test_second_derivatives_are_right_or_refused(self) -> None:
        layer = self.layer(2, 1)
        inputs = torch.tensor([0.4, 1.1], dtype=F64, requires_grad=True)
        (first,) = torch.autograd.grad(layer(inputs).sum(), inputs, create_graph=True)
        if self.second_derivatives:
            step = torch.tensor([1e-4, 0.0], dtype=F64)
            (second,) = torch.autograd.grad(first.sum(), inputs)
            slopes = []
            for sign in (1, -1):
                moved = (inputs.detach() + sign * step).requires_grad_()
                slopes.append(torch.autograd.grad(layer(moved).sum(), moved)[0].sum())
            assert float(second[0]) == pytest.approx(float(slopes[0] - slopes[1]) / 2e-4, abs=1e-6)
        else:
            from qnn.errors import CapabilityError

            with pytest.raises(
                CapabilityError, match=f'`gradient="{self.method}"` .*first derivatives in reverse only'
            ):
                first.sum().backward()

    def test_a_hybrid_net_trains(self) -> None:
        """Classical → quantum → classical on a batch: the loss falls by more than half in a few steps."""
        torch.manual_seed(0)
        net = torch.nn.Sequential(
            torch.nn.Linear(3, 2), self.layer(2, 2, dtype=torch.float32), torch.nn.Tanh(), torch.nn.Linear(2, 1)
        )
        x = torch.randn(8, 3)
        y = x[:, :1].sign() * 0.5
        optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
        losses = []
        for _ in range(30):
            optimizer.zero_grad()
            loss = torch.nn.functional.mse_loss(net(x), y)
            loss.backward()
            assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in net.parameters())
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[-1] < losses[0] / 2
        alone = net(x[0])
        assert alone.shape == (1,)
        alone.sum().backward()
