"""What every quantum optimizer must do as an optimizer of torch, on hybrid models and on quantum ones."""

import copy
import gc
import pickle

import pennylane as qml
import pytest
import torch

import qnn
from qnn import QuantumLayer, fit
from qnn.errors import ArgumentError, TrainingError
from qnn.gradients import QUANTUM_OPTIMIZERS, SPSA, NaturalGradient, Rotosolve
from qnn.gradients.optimizers.split import evaluate
from qnn.training.state_file import read_state, write_state

NAMES = sorted(QUANTUM_OPTIMIZERS)


def hybrid(seed: int = 0) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 2), QuantumLayer(2, 2, seed=seed), torch.nn.Linear(2, 2))


def rows(n: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(n, 3, generator=generator)
    return x, (x.sum(dim=1) > 0).long()


def closure_of(model, optimizer, x, y):
    def closure():
        loss = torch.nn.functional.cross_entropy(model(x), y)
        if torch.is_grad_enabled():
            optimizer.zero_grad()
            loss.backward()
        return loss

    return closure


def test_the_public_names() -> None:
    assert (qnn.NaturalGradient, qnn.SPSA, qnn.Rotosolve) == (NaturalGradient, SPSA, Rotosolve)
    kinds = {name: type(make(hybrid(), 0.1, 0)) for name, make in QUANTUM_OPTIMIZERS.items()}
    assert kinds == {"natural-gradient": NaturalGradient, "spsa": SPSA, "rotosolve": Rotosolve}
    assert {name: kind.needs_closure for name, kind in kinds.items()} == {
        "natural-gradient": False,
        "spsa": True,
        "rotosolve": True,
    }


@pytest.mark.parametrize("name", NAMES)
def test_hybrid_models_train_in_the_loop(name: str) -> None:
    model = hybrid()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = QUANTUM_OPTIMIZERS[name](model, 0.1, 0)
    history = fit(model, rows(), epochs=10, optimizer=optimizer, progress=False)
    losses = [epoch["train_loss"] for epoch in history.epochs]
    assert losses[-1] < 0.8 * losses[0]
    assert all(not torch.equal(before[key], value) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_state_goes_on_bit_for_bit(name: str, tmp_path) -> None:
    model = hybrid()
    x, y = rows()
    optimizer = QUANTUM_OPTIMIZERS[name](model, 0.1, 3)
    for _ in range(2):
        optimizer.step(closure_of(model, optimizer, x, y))
    path = write_state(tmp_path / "state", {"model": dict(model.state_dict()), "optimizer": optimizer.state_dict()})
    optimizer.step(closure_of(model, optimizer, x, y))
    saved = read_state(path)  # plain data only
    again = hybrid(seed=1)
    other = QUANTUM_OPTIMIZERS[name](again, 0.7, 4)
    again.load_state_dict(saved["model"])
    other.load_state_dict(saved["optimizer"])
    other.step(closure_of(again, other, x, y))
    for key, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    moments = [state for state in other.state.values() if "exp_avg" in state]
    assert len(moments) == 4 and all(int(state["step"]) == 3 for state in moments)


@pytest.mark.parametrize("name", NAMES)
def test_the_loop_goes_on_from_a_checkpoint_bit_for_bit(name: str, tmp_path) -> None:
    def trained(epochs: int, folder) -> dict:
        model = hybrid()
        if name != "natural-gradient":
            model[1].to_backend("statevector", shots=20)
        optimizer = QUANTUM_OPTIMIZERS[name](model, 0.1, 0)
        fit(model, rows(), epochs=epochs, batch_size=4, optimizer=optimizer, progress=False, checkpoint=folder)
        return model.state_dict()

    trained(1, tmp_path)
    again, whole = trained(2, tmp_path), trained(2, None)
    assert all(torch.equal(again[key], value) for key, value in whole.items())


@pytest.mark.parametrize("again", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
@pytest.mark.parametrize("name", NAMES)
def test_copies_and_pickles_go_on_by_themselves(name: str, again) -> None:
    model = hybrid()
    x, y = rows()
    optimizer = QUANTUM_OPTIMIZERS[name](model, 0.1, 3)
    optimizer.step(closure_of(model, optimizer, x, y))
    start = copy.deepcopy(model.state_dict())
    twin, other = again(again((model, optimizer)))
    assert len(twin[1]._forward_hooks) == len(model[1]._forward_hooks)
    other.step(closure_of(twin, other, x, y))
    for key, value in model.state_dict().items():
        assert torch.equal(value, start[key]) and not torch.equal(value, twin.state_dict()[key]), key
    optimizer.step(closure_of(model, optimizer, x, y))
    for key, value in model.state_dict().items():
        assert torch.equal(value, twin.state_dict()[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_schedulers_reach_both_parts(name: str) -> None:
    model = hybrid()
    x, y = rows()
    optimizer = QUANTUM_OPTIMIZERS[name](model, 0.1, 0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.0)
    optimizer.step(closure_of(model, optimizer, x, y))
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.0]
    before = copy.deepcopy(model.state_dict())
    optimizer.step(closure_of(model, optimizer, x, y))
    for key, value in model.state_dict().items():
        torch.testing.assert_close(value, before[key], atol=0, rtol=0)


def test_classical_parameters_step_as_by_torch() -> None:
    model, same = hybrid(), hybrid()
    x, y = rows()
    optimizer = NaturalGradient(model, lr=0.3, classical=lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9))
    reference = torch.optim.SGD([*same[0].parameters(), *same[2].parameters()], lr=0.2, momentum=0.9)
    for _ in range(2):
        same[1].load_state_dict(model[1].state_dict())
        for net, used in ((model, optimizer), (same, reference)):
            used.step(closure_of(net, used, x, y))
    for mine, theirs in zip(model[2].parameters(), same[2].parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_an_optimizer_may_be_given_and_keeps_its_groups() -> None:
    model = hybrid()
    groups = [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[2].parameters()}]
    classical = torch.optim.AdamW(groups, lr=0.25)
    optimizer = Rotosolve(model, classical=classical)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.5, 0.25]
    assert optimizer.param_groups[1] is classical.param_groups[0]
    assert type(NaturalGradient(hybrid()).classical) is torch.optim.Adam  # by default
    assert NaturalGradient(QuantumLayer(1, 1, seed=0)).classical is None


def test_frozen_layers_stay() -> None:
    model = hybrid()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    x, y = rows()
    optimizer = SPSA(model)
    optimizer.step(closure_of(model, optimizer, x, y))
    assert torch.equal(model[0].weight, before) and model[1].weights.requires_grad


def test_what_cannot_be_split_is_refused() -> None:
    model = hybrid()
    rest = [*model[0].parameters(), *model[2].parameters()]
    with pytest.raises(ArgumentError, match=r"`model` must hold a quantum layer with trainable weights; got none"):
        SPSA(torch.nn.Linear(2, 2))
    with pytest.raises(ArgumentError, match=r"`classical` must be a torch.optim.Optimizer.*got str"):
        SPSA(model, classical=lambda parameters: "adam")
    with pytest.raises(ArgumentError, match=r"`classical` must step by gradients alone; got LBFGS"):
        SPSA(model, classical=torch.optim.LBFGS)
    with pytest.raises(ArgumentError, match=r"`classical` must hold the 4 trainable parameters.*got an .* with 5"):
        SPSA(model, classical=torch.optim.Adam(model.parameters()))
    with pytest.raises(ArgumentError, match=r"`classical` must hold the 4 .*got an optimizer with 3"):
        SPSA(model, classical=torch.optim.Adam(rest[1:]))
    with pytest.raises(ArgumentError, match=r"`lr` must be a number of 0 or more; got -1"):
        SPSA(model, lr=-1)
    tied = torch.nn.Sequential(QuantumLayer(2, 1, seed=0), QuantumLayer(2, 1, seed=1))
    tied[1].weights = tied[0].weights
    for kind in (NaturalGradient, Rotosolve):
        with pytest.raises(ArgumentError, match=r'weights of its own; got layers "0" and "1"'):
            kind(tied)
    assert sum(len(group["params"]) for group in SPSA(tied).param_groups) == 1


@pytest.mark.parametrize("kind", [SPSA, Rotosolve])
def test_closures_are_needed_and_checked(kind) -> None:
    model = QuantumLayer(2, 1, seed=0)
    before = model.weights.detach().clone()
    optimizer = kind(model)
    with pytest.raises(ArgumentError, match=rf"`closure` must be given to {kind.__name__}.step"):
        optimizer.step()

    def always_backward():
        loss = model(torch.ones(2)).sum()
        loss.backward()
        return loss

    with pytest.raises(ArgumentError, match=r"`closure` must compute gradients only where they are wanted"):
        optimizer.step(always_backward)
    values = iter([1.0, float("nan")])
    with pytest.raises(TrainingError, match=r"`closure` must return a finite loss; got nan"):
        optimizer.step(lambda: next(values))
    assert torch.equal(model.weights, before)  # put back
    with pytest.raises(RuntimeError, match="mine"):
        evaluate(lambda: (_ for _ in ()).throw(RuntimeError("mine")))


def test_models_forget_the_optimizer() -> None:
    """Copies of a model, and models whose optimizer is gone, keep no rows."""
    layer = QuantumLayer.from_pennylane(
        lambda w: qml.RX(w[0], wires=0), n_inputs=0, weight_shapes={"w": 1}, observables=qml.Z(0), seed=0
    )
    optimizer = NaturalGradient(layer)
    twin = copy.deepcopy(layer)
    twin().sum().backward()
    (hook,) = twin._forward_hooks.values()
    assert not hook.inputs
    layer().sum().backward()
    assert len(next(iter(layer._forward_hooks.values())).inputs) == 1
    optimizer.zero_grad()
    assert not next(iter(layer._forward_hooks.values())).inputs
    del optimizer
    gc.collect()
    assert not layer._forward_hooks
