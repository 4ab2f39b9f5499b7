"""Layers on CUDA tensors: the torch engine against the compiled one; here, the same code on the CPU."""

import pytest
import torch

from qnn import QuantumLayer
from qnn.gradients import operator

F64 = torch.float64
DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")]
    ),
]


def made(**options) -> QuantumLayer:
    return QuantumLayer(3, 2, seed=0, reupload=True, **options)


def rows(n: int, dtype=F64) -> torch.Tensor:
    return torch.rand(n, 3, generator=torch.Generator().manual_seed(n), dtype=F64).to(dtype) * 2 - 1


def values_and_gradients(layer, inputs: torch.Tensor, *, by_torch: bool) -> list[torch.Tensor]:
    """Values and gradients; `by_torch` as where tensors are not on the CPU."""
    leaf = inputs.clone().requires_grad_()
    if by_torch and leaf.device.type == "cpu":
        shared, sources = layer._sources(leaf)
        values = operator._differentiable(shared, sources, layer.plan.key)
    else:
        values = layer(leaf)
    return [values.detach(), *torch.autograd.grad(values.pow(2).sum(), (leaf, *layer.parameters()))]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(F64, 1e-10), (torch.float32, 1e-4)])
@pytest.mark.parametrize("observables", ["Z", "probs"])
def test_values_and_gradients_are_those_of_the_compiled_engine(device, dtype, tolerance, observables) -> None:
    layer = made(dtype=dtype, observables=observables)
    expected = values_and_gradients(layer, rows(5, dtype), by_torch=False)
    found = values_and_gradients(layer.to(device), rows(5, dtype).to(device), by_torch=True)
    for one, other in zip(found, expected, strict=True):
        assert one.device.type == device and one.dtype == dtype
        torch.testing.assert_close(one.cpu(), other, atol=tolerance, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("gradient", ["adjoint", "backprop"])
def test_second_derivatives_and_transforms(device, gradient) -> None:
    layer = made(dtype=F64, gradient=gradient).to(device)
    row = rows(1)[0].to(device)
    assert torch.autograd.gradgradcheck(layer, (row.clone().requires_grad_(),))
    forward, reverse = torch.func.jacfwd(layer)(row), torch.func.jacrev(layer)(row)
    torch.testing.assert_close(forward, reverse, atol=1e-10, rtol=0)
    torch.testing.assert_close(torch.vmap(layer)(rows(4).to(device)), layer(rows(4).to(device)), atol=1e-10, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_constants_made_inside_a_transform_serve_later(device) -> None:
    """Kept tables are no tensors of a transform that has ended, wherever they live."""
    from qnn.simulation import torch_engine

    torch_engine._constants.clear()
    layer = made(dtype=F64, gradient="backprop").to(device)
    inputs = rows(2).to(device)
    torch.func.jacrev(layer)(inputs[0])
    layer(inputs).sum().backward()
    assert torch_engine._constants and bool(layer.weights.grad.any())
    assert not any(
        torch._C._functorch.is_functorch_wrapped_tensor(t) for kept in torch_engine._constants.values() for t in kept
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("options", [{"shots": 50}, {"backend": "aer", "shots": 50}, {"gradient": "parameter-shift"}])
def test_what_samples_or_shifts_comes_back_to_the_device(device, options) -> None:
    expected = values_and_gradients(made(**options), rows(4, torch.float32), by_torch=False)
    found = values_and_gradients(made(**options).to(device), rows(4, torch.float32).to(device), by_torch=False)
    for one, other in zip(found, expected, strict=True):
        assert one.device.type == device
        torch.testing.assert_close(one.cpu(), other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("device", DEVICES)
def test_training_and_moving_back(device) -> None:
    net = torch.nn.Sequential(torch.nn.Linear(3, 3), made(), torch.nn.Linear(3, 1)).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.1)
    inputs = rows(16, torch.float32).to(device)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = (net(inputs) - inputs[:, :1]).pow(2).mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 2
    with torch.no_grad():
        torch.testing.assert_close(net(inputs).cpu(), net.cpu()(inputs.cpu()), atol=1e-5, rtol=0)
