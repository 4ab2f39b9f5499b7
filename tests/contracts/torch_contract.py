"""The torch contract: what torch does with modules must work on a quantum layer, whatever runs its circuits."""

import copy
import gc
import io
import multiprocessing
import os
import pickle
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import torch
from contracts import processes
from torch.nn.utils import parametrize, prune

from qnn import QuantumLayer, _seeding
from qnn.errors import ArgumentError, CapabilityError, DtypeError

F64 = torch.float64


class TorchContract:
    """Subclass, and define `make`, which builds equal layers; what a kind cannot do is declared."""

    exact = True  # no sampling noise
    every_derivative = False  # of any order, in reverse and in forward mode
    exportable = False  # as arithmetic
    differentiable_by = 1e-6  # step of numerical differentiation in gradcheck
    every_transform = False  # compiled one by one; otherwise those that contain the others
    window = 900  # steps of each of two counts of memory, after 200 to warm up; fewer where a step takes long

    def make(self, dtype: torch.dtype = torch.float32, observables=None) -> QuantumLayer:
        raise NotImplementedError

    @pytest.fixture
    def layer(self) -> QuantumLayer:
        return self.make()

    def inputs(self, *leading: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.rand(*leading, self.make().n_inputs, generator=generator, dtype=F64).to(dtype) * 2 - 1

    def name(self, layer: QuantumLayer) -> str:
        return next(iter(dict(layer.named_parameters())))

    def run(self, function, *args):
        """Call inside one step, so that equal layers draw equal shots."""
        with _seeding.step_scope(3):
            return function(*args)

    def gradients(self, layer, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        leaf = inputs.clone().requires_grad_()
        values = self.run(layer, leaf)
        by = torch.autograd.grad((values * values.detach()).sum(), (leaf, *layer.parameters()))
        return (values.detach(), *by)

    def same(self, one, other, inputs: torch.Tensor, tolerance: float = 0.0) -> None:
        for a, b in zip(self.gradients(one, inputs), self.gradients(other, inputs), strict=True):
            torch.testing.assert_close(a, b, atol=tolerance, rtol=0)

    # copies and storage -----------------------------------------------------------------------------------------

    def test_deepcopy_and_pickle(self, layer) -> None:
        inputs = self.inputs(4)
        self.run(layer, inputs)
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), copy.deepcopy(copy.deepcopy(layer))):
            self.same(twin, layer, inputs)
            with torch.no_grad():
                next(twin.parameters()).add_(0.5)
            assert not torch.equal(self.run(twin, inputs), self.run(layer, inputs))  # memory is not shared

    def test_copies_go_on_drawing_where_the_original_is(self, layer) -> None:
        inputs = self.inputs(2)
        layer(inputs)
        twin = copy.deepcopy(layer)
        assert torch.equal(twin(inputs), layer(inputs))

    def test_torch_save_and_load(self, layer) -> None:
        file = io.BytesIO()
        torch.save(layer, file)
        file.seek(0)
        self.same(torch.load(file, weights_only=False), layer, self.inputs(3))

    def test_state_dict_is_tensors_and_comes_back(self, layer) -> None:
        state = layer.state_dict()
        assert set(state) == set(dict(layer.named_parameters()))
        assert all(isinstance(v, torch.Tensor) for v in state.values())
        file = io.BytesIO()
        torch.save(state, file)
        file.seek(0)
        loaded = torch.load(file, weights_only=True)
        for assign in (False, True):
            other = self.make()
            with torch.no_grad():
                next(other.parameters()).zero_()
            other.load_state_dict(loaded, assign=assign)
            self.same(other, layer, self.inputs(3))

    def test_built_on_meta_and_assigned(self, layer) -> None:
        twin = copy.deepcopy(layer).to("meta")
        twin.load_state_dict(layer.state_dict(), assign=True)
        self.same(twin, layer, self.inputs(2))

    # functional transforms --------------------------------------------------------------------------------------

    def test_functional_call(self, layer) -> None:
        inputs, name = self.inputs(3), self.name(layer)
        weights = {n: p.detach() + 0.3 for n, p in layer.named_parameters()}
        found = self.run(lambda x: torch.func.functional_call(layer, weights, (x,)), inputs)
        other = self.make()
        other.load_state_dict(weights)
        torch.testing.assert_close(found, self.run(other, inputs).detach(), atol=1e-6, rtol=0)
        gradient = torch.func.grad(
            lambda w: torch.func.functional_call(layer, {**weights, name: w}, (inputs,)).pow(2).sum()
        )(weights[name])
        assert gradient.shape == weights[name].shape and bool((gradient != 0).any())

    def test_vmap_over_rows_and_over_an_ensemble(self, layer) -> None:
        inputs = self.inputs(4)
        rows = self.run(torch.vmap(layer), inputs)
        stacked = {n: torch.stack([p.detach(), p.detach() + 0.2]) for n, p in layer.named_parameters()}
        members = self.run(
            torch.vmap(lambda w, x: torch.func.functional_call(layer, w, (x,)), in_dims=(0, None)), stacked, inputs
        )
        assert rows.shape == (4, layer.n_outputs) and members.shape == (2, 4, layer.n_outputs)
        if self.exact:
            torch.testing.assert_close(rows, layer(inputs), atol=1e-6, rtol=0)
            torch.testing.assert_close(members[0], layer(inputs).detach(), atol=1e-6, rtol=0)
            with torch.no_grad():
                for name, p in layer.named_parameters():
                    p.copy_(stacked[name][1])
            torch.testing.assert_close(members[1], layer(inputs).detach(), atol=1e-6, rtol=0)

    def test_members_of_an_ensemble_draw_their_own_shots(self, layer) -> None:
        row = self.inputs().expand(6, -1)
        values = self.run(torch.vmap(layer), row)
        assert (len(torch.unique(values, dim=0)) == 1) == self.exact

    def test_jacrev_is_the_jacobian(self) -> None:
        layer = self.make(F64)
        row = self.inputs(dtype=F64)
        jacobian = self.run(torch.func.jacrev(layer), row)
        by_rows = []
        for column in range(layer.n_outputs):
            leaf = row.clone().requires_grad_()
            by_rows.append(torch.autograd.grad(self.run(layer, leaf)[column], leaf)[0])
        torch.testing.assert_close(jacobian, torch.stack(by_rows), atol=1e-12, rtol=0)
        if self.exact:
            batch = torch.vmap(torch.func.jacrev(layer))(self.inputs(3, dtype=F64))
            assert batch.shape == (3, layer.n_outputs, layer.n_inputs)

    def test_second_derivatives_are_right_or_refused(self) -> None:
        layer = self.make(F64)
        row = self.inputs(dtype=F64).requires_grad_()
        if self.every_derivative:
            assert torch.autograd.gradgradcheck(layer, (row,))
            return
        (first,) = torch.autograd.grad(self.run(layer, row).pow(2).sum(), row, create_graph=True)
        with pytest.raises(CapabilityError, match=r"first derivatives in reverse only; a second derivative was asked"):
            first.sum().backward()
        with pytest.raises(CapabilityError, match=r"first derivatives in reverse only; a .* was asked"):
            self.run(torch.func.hessian(lambda x: layer(x).sum()), row.detach())

    def test_hessians_by_every_mixture(self) -> None:
        layer = self.make(F64)
        row = self.inputs(dtype=F64)
        if not self.every_derivative:
            return

        def function(x):
            return layer(x).pow(2).sum()

        hessian = torch.func.hessian(function)(row)
        torch.testing.assert_close(hessian, hessian.T, atol=1e-10, rtol=0)
        for other in (torch.func.jacrev(torch.func.jacrev(function)), torch.func.jacrev(torch.func.jacfwd(function))):
            torch.testing.assert_close(other(row), hessian, atol=1e-10, rtol=0)
        rows = self.inputs(2, dtype=F64)
        torch.testing.assert_close(
            torch.vmap(torch.func.hessian(function))(rows)[1], torch.func.hessian(function)(rows[1])
        )

    def test_forward_mode_is_right_or_refused(self) -> None:
        layer = self.make(F64)
        row = self.inputs(dtype=F64)
        if self.every_derivative:
            torch.testing.assert_close(torch.func.jacfwd(layer)(row), torch.func.jacrev(layer)(row), atol=1e-10, rtol=0)
            with torch.autograd.forward_ad.dual_level():
                dual = torch.autograd.forward_ad.make_dual(row, torch.ones_like(row))
                tangent = torch.autograd.forward_ad.unpack_dual(layer(dual)).tangent
            torch.testing.assert_close(tangent, torch.func.jacrev(layer)(row).sum(dim=1), atol=1e-10, rtol=0)
        else:
            with pytest.raises(
                CapabilityError, match=r"first derivatives in reverse only; a derivative in forward mode"
            ):
                self.run(torch.func.jacfwd(layer), row)

    def test_gradcheck(self) -> None:
        layer = self.make(F64)
        row = self.inputs(2, dtype=F64).requires_grad_()
        weights = tuple(p.detach().clone().requires_grad_() for p in layer.parameters())
        names = [n for n, _ in layer.named_parameters()]

        def function(x, *w):
            return torch.func.functional_call(layer, dict(zip(names, w, strict=True)), (x,))

        if self.exact:
            assert torch.autograd.gradcheck(function, (row, *weights), eps=self.differentiable_by)
        else:
            assert function(row, *weights).requires_grad

    # what modules go through --------------------------------------------------------------------------------------

    def test_hooks(self, layer) -> None:
        seen = []
        layer.register_forward_pre_hook(lambda module, args: seen.append("pre"))
        layer.register_forward_hook(lambda module, args, output: seen.append("forward"))
        layer.register_full_backward_hook(lambda module, gi, go: seen.append("backward"))
        leaf = self.inputs(2).requires_grad_()
        layer(leaf).sum().backward()
        assert seen == ["pre", "forward", "backward"]

    def test_prune(self, layer) -> None:
        name = self.name(layer)
        prune.l1_unstructured(layer, name, amount=1)
        inputs = self.inputs(3)
        pruned = self.run(layer, inputs)
        assert int((getattr(layer, name) == 0).sum()) == 1 and f"{name}_mask" in layer.state_dict()
        pruned.sum().backward()
        assert getattr(layer, f"{name}_orig").grad is not None
        prune.remove(layer, name)
        torch.testing.assert_close(self.run(layer, inputs), pruned, atol=0, rtol=0)

    def test_parametrize(self, layer) -> None:
        class Shift(torch.nn.Module):
            def forward(self, weight):
                return weight + 0.25

        name, inputs = self.name(layer), self.inputs(3)
        expected = self.make()
        with torch.no_grad():
            getattr(expected, name).add_(0.25)
        parametrize.register_parametrization(layer, name, Shift())
        torch.testing.assert_close(self.run(layer, inputs), self.run(expected, inputs), atol=1e-6, rtol=0)
        layer(inputs).sum().backward()
        assert layer.parametrizations[name].original.grad is not None
        parametrize.remove_parametrizations(layer, name)
        torch.testing.assert_close(self.run(layer, inputs), self.run(expected, inputs), atol=1e-6, rtol=0)

    def test_dtypes(self, layer) -> None:
        assert layer(self.inputs(2)).dtype == torch.float32
        assert layer(self.inputs(2, dtype=F64)).dtype == F64
        assert layer.to(F64)(self.inputs(2)).dtype == torch.float32
        assert layer(self.inputs(2, dtype=F64)).dtype == F64
        assert layer(torch.ones(2, layer.n_inputs, dtype=torch.int64)).dtype == F64
        assert next(layer.parameters()).dtype == F64

    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_precision_inputs_are_computed_in_float32(self, layer, half) -> None:
        inputs = self.inputs(3).to(half)
        outputs = self.run(layer, inputs)
        assert outputs.dtype == half
        expected = self.run(layer, inputs.float())
        torch.testing.assert_close(outputs.float(), expected.to(half).float(), atol=0, rtol=0)

    @pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
    def test_half_precision_weights_are_refused(self, layer, half) -> None:
        with pytest.raises(
            DtypeError, match=rf"The weights of a quantum layer must be float32 or float64; got {half!s}"
        ):
            layer.to(half)(self.inputs(2))

    def test_autocast_leaves_the_layer_in_float32(self, layer) -> None:
        net = torch.nn.Sequential(torch.nn.Linear(3, layer.n_inputs), layer, torch.nn.Linear(layer.n_outputs, 2))
        inputs = torch.rand(4, 3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = net[0](inputs)
            values = self.run(layer, hidden)
            outputs = net(inputs)
        assert hidden.dtype == torch.bfloat16 and values.dtype == torch.bfloat16
        expected = self.run(layer, hidden.float()).bfloat16()
        torch.testing.assert_close(values, expected, atol=0, rtol=0)
        outputs.float().sum().backward()
        assert all(p.grad is not None for p in net.parameters())

    def test_strides_do_not_matter(self, layer) -> None:
        inputs = self.inputs(4)
        expected = self.run(layer, inputs)
        strided = torch.stack([inputs, inputs + 1], dim=-1)[..., 0]
        transposed = inputs.T.contiguous().T
        for view in (strided, transposed, inputs.flip(0).flip(0)):
            assert torch.equal(self.run(layer, view), expected)
        single = inputs[:1].expand(4, -1)
        assert self.run(layer, single).shape == expected.shape
        leaf = inputs[:1].clone().requires_grad_()
        layer(leaf.expand(4, -1)).sum().backward()
        assert leaf.grad.shape == leaf.shape

    def test_leading_dimensions(self, layer) -> None:
        for leading in ((), (1,), (2, 3), (0,), (2, 0, 1)):
            assert layer(self.inputs(*leading)).shape == (*leading, layer.n_outputs)

    def test_inference_mode_then_training(self, layer) -> None:
        with torch.inference_mode():
            values = self.run(layer, self.inputs(2))
        torch.testing.assert_close(self.gradients(layer, self.inputs(2))[0], values, atol=1e-6, rtol=0)

    def test_frozen_layers_still_pass_gradients_to_inputs(self, layer) -> None:
        layer.requires_grad_(False)
        leaf = self.inputs(2).requires_grad_()
        layer(leaf).pow(2).sum().backward()
        assert bool((leaf.grad != 0).any()) and all(p.grad is None for p in layer.parameters())
        assert not layer(self.inputs(2)).requires_grad

    def test_a_layer_is_collected(self) -> None:
        with of_new_objects():
            layer = self.make()
            layer(self.inputs(2)).sum().backward()
            gone = weakref.ref(layer)
            del layer
            gc.collect()
            assert gone() is None

    def test_repr_says_the_main_facts(self, layer) -> None:
        text = repr(layer)
        assert f"{layer.n_inputs} inputs -> {layer.n_outputs} outputs" in text and layer.backend.name in text

    def test_gradients_of_each_row_alone(self, layer) -> None:
        """Per-sample gradients, as private or natural-gradient training needs them."""
        name, inputs = self.name(layer), self.inputs(3)
        weights = {n: p.detach() for n, p in layer.named_parameters()}

        def loss(w, x):
            return torch.func.functional_call(layer, {**weights, name: w}, (x,)).sum()

        found = self.run(torch.vmap(torch.func.grad(loss), in_dims=(None, 0)), weights[name], inputs)
        assert found.shape == (3, *weights[name].shape)
        if self.exact:
            expected = torch.autograd.grad(layer(inputs).sum(), getattr(layer, name))[0]
            torch.testing.assert_close(found.sum(dim=0), expected, atol=1e-5, rtol=0)

    def test_checkpointing(self, layer) -> None:
        from torch.utils.checkpoint import checkpoint

        leaf = self.inputs(2).requires_grad_()
        checkpoint(layer, leaf, use_reentrant=False).sum().backward()
        assert leaf.grad is not None
        if self.exact:
            other = self.inputs(2).requires_grad_()
            layer(other).sum().backward()
            torch.testing.assert_close(leaf.grad, other.grad, atol=0, rtol=0)

    # bad input ------------------------------------------------------------------------------------------------------

    def test_tensors_elsewhere_are_refused(self, layer) -> None:
        with pytest.raises(ArgumentError, match=r"`inputs` must be on the device of the weights, cpu; got meta"):
            layer(self.inputs(2).to("meta"))
        with pytest.raises(ArgumentError, match=r"`inputs` must be on the device of the weights, meta; got cpu"):
            copy.deepcopy(layer).to("meta")(self.inputs(2))

    def test_shapes_follow_without_values(self, layer) -> None:
        """Everything on meta: the shapes and dtypes of a run, and no run."""
        leaf = self.inputs(2, 3).to("meta").requires_grad_()
        values = layer.to("meta")(leaf)
        assert values.is_meta and values.shape == (2, 3, layer.n_outputs) and values.dtype == leaf.dtype
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        assert gradient.is_meta and gradient.shape == leaf.shape

    def test_empty_batches_have_gradients(self, layer) -> None:
        leaf = self.inputs(0).requires_grad_()
        layer(leaf).sum().backward()
        assert leaf.grad.shape == leaf.shape
        assert all(p.grad is None or not p.grad.any() for p in layer.parameters())

    def test_gradients_through_views(self, layer) -> None:
        """A slice of a leaf, a row seen many times and a transposed matrix get the gradients of their copies."""
        width = layer.n_inputs
        views = (
            lambda leaf: leaf[1:, :width],
            lambda leaf: leaf[:1, :width].expand(3, -1),
            lambda leaf: leaf[:width, :2].T,
            lambda leaf: leaf.flatten()[1 : 1 + 2 * width].as_strided((2, width), (1, 2)),
        )
        base = torch.rand(4, width + 3, generator=torch.Generator().manual_seed(2), dtype=F64).float()
        for view in views:
            found = []
            for copied in (False, True):
                leaf = base.clone().requires_grad_()
                taken = view(leaf).contiguous() if copied else view(leaf)
                self.run(layer, taken).pow(2).sum().backward()
                found.append(leaf.grad)
            torch.testing.assert_close(*found, atol=0, rtol=0)

    def test_inputs_changed_in_place_after_forward_are_noticed_or_do_not_matter(self, layer) -> None:
        def gradient(change: bool) -> torch.Tensor:
            leaf = self.inputs(2).requires_grad_()
            inputs = leaf * 1.0
            values = self.run(layer, inputs)
            if change:
                with torch.no_grad():
                    inputs.add_(1.0)
            return torch.autograd.grad(values.sum(), leaf)[0]

        expected = gradient(False)
        try:
            found = gradient(True)
        except RuntimeError as error:
            assert "modified by an inplace operation" in str(error)
        else:
            torch.testing.assert_close(found, expected, atol=0, rtol=0)

    # exporting and replicas -----------------------------------------------------------------------------------------

    def test_export_is_arithmetic_or_refused(self, layer) -> None:
        inputs = self.inputs(3)
        if not self.exportable:
            with pytest.raises(CapabilityError, match=r"cannot be exported, since an exported network has nothing but"):
                torch.export.export(layer, (inputs,))
            return
        program = torch.export.export(layer, (inputs,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        for n in (1, 5):
            torch.testing.assert_close(program.module()(self.inputs(n)), layer(self.inputs(n)), atol=1e-6, rtol=0)

    def test_data_parallel_without_gpus_is_the_layer(self, layer) -> None:
        self.same(torch.nn.DataParallel(layer), layer, self.inputs(3))

    @pytest.mark.slow
    def test_replicas_of_two_processes_have_the_gradients_of_one(self, replicas) -> None:
        """Equal shares: the gradients of the whole batch. Unequal: the mean of the processes' means, as DDP has it."""
        layer = self.make()
        inputs, everyone = processes.rows(layer), torch.arange(4)
        net = processes.hybrid(layer)
        whole = processes.gradients(net, inputs, everyone)
        shares = everyone.split(processes.UNEQUAL)
        each = [processes.gradients(net, inputs[share], share) for share in shares]
        means = [torch.stack(parts).mean(dim=0) for parts in zip(*each, strict=True)]
        for rank in range(2):
            found = replicas[rank][type(self).__name__]
            for kind, expected in (("equal", whole), ("unequal", means)):
                for one, other in zip(found[kind], expected, strict=True):
                    torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)

    @pytest.mark.slow
    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_workers_of_a_data_loader(self, workers, start, layer) -> None:
        with torch.no_grad(), _seeding.step_scope(5):
            expected = layer(processes.rows(layer))
        torch.testing.assert_close(workers[start][type(self).__name__], expected, atol=0, rtol=0)

    # processes, threads, time ---------------------------------------------------------------------------------------

    def test_a_forked_process(self, layer) -> None:
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        try:
            inputs = self.inputs(4)
            expected = self.gradients(layer, inputs)
            context = multiprocessing.get_context("fork")
            receiver, sender = context.Pipe(duplex=False)

            def forked() -> None:
                torch.set_num_threads(1)  # as in a DataLoader's worker: torch's own threads do not survive a fork
                sender.send_bytes(pickle.dumps([t.numpy() for t in self.gradients(layer, inputs)]))

            child = context.Process(target=forked)
            child.start()
            arrived = receiver.poll(60)
            found = pickle.loads(receiver.recv_bytes()) if arrived else child.kill()
            child.join(10)
            assert arrived, "the forked process hangs"
        finally:
            torch.set_num_threads(before)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(torch.from_numpy(one), other, atol=0, rtol=0)

    def test_two_layers_in_two_threads(self, layer) -> None:
        other = self.make()
        with torch.no_grad():
            next(other.parameters()).add_(0.5)
        inputs = self.inputs(3)
        alone = [self.gradients(one, inputs) for one in (layer, other)]
        with ThreadPoolExecutor(2) as pool:
            jobs = [
                pool.submit(lambda one: [self.gradients(one, inputs) for _ in range(10)], x) for x in (layer, other)
            ]
            for job, expected in zip(jobs, alone, strict=True):
                for found in job.result(timeout=120):
                    for a, b in zip(found, expected, strict=True):
                        torch.testing.assert_close(a, b, atol=0, rtol=0)

    def test_one_layer_in_two_threads(self, layer) -> None:
        """The outputs of one thread; with shots each call draws for itself, whichever thread makes it."""
        inputs = self.inputs(3)
        twin = copy.deepcopy(layer)
        expected = [twin(inputs).detach() for _ in range(20)]
        with ThreadPoolExecutor(2) as pool:
            found = [job.result(timeout=120).detach() for job in [pool.submit(layer, inputs) for _ in range(20)]]
        assert sorted(v.tolist() for v in found) == sorted(v.tolist() for v in expected)

    @pytest.mark.slow
    def test_memory_does_not_grow_over_two_thousand_steps(self, layer) -> None:
        """Less than one object in two steps, and 4 MB of the process: a leak of anything per step is more.

        Objects are counted in Python's own allocator. The quieter half counts: freed objects are kept for the next of
        their kind, so that a count after other work drifts at first.
        """
        net = processes.hybrid(layer)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
        inputs = self.inputs(2)

        def grown_by(steps: int) -> tuple[int, int]:
            gc.collect()
            before = sys.getallocatedblocks(), _resident_bytes()
            for _ in range(steps):
                optimizer.zero_grad()
                net(inputs).sum().backward()
                optimizer.step()
            gc.collect()
            return sys.getallocatedblocks() - before[0], _resident_bytes() - before[1]

        with of_new_objects():
            grown_by(200)
            halves = [grown_by(self.window) for _ in range(2)]
        assert min(blocks for blocks, _ in halves) < self.window / 2
        assert min(resident for _, resident in halves) < 4e6


@contextmanager
def of_new_objects() -> Iterator[None]:
    """Garbage is collected among the objects made from here on: a pass over those of all packages takes a second."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class CompileContract(TorchContract):
    """The layer under torch.compile: no graph breaks, the same values and gradients, for every batch size."""

    def test_compile_without_graph_breaks(self, layer) -> None:
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
        for n in (3, 5):
            self.same(compiled, layer, self.inputs(n), tolerance=1e-6)

    def test_two_compiled_calls_are_two_calls(self, layer) -> None:
        """torch.compile may merge equal operators; two calls on equal rows must not share their shots."""
        torch._dynamo.reset()
        twice = torch.compile(lambda x: (layer(x), layer(x)), fullgraph=True, backend="aot_eager")
        with torch.no_grad():
            first, second = self.run(twice, self.inputs(4))
        assert torch.equal(first, second) == self.exact

    def test_compiled_transforms(self) -> None:
        layer = self.make(F64)
        inputs = self.inputs(3, dtype=F64)

        def total(x):
            return layer(x).sum()

        transforms = [torch.func.jacrev(layer), torch.vmap(torch.func.grad(total))]
        if self.every_transform:
            transforms += [torch.vmap(layer), torch.func.grad(total)]
        for transform in transforms:
            torch._dynamo.reset()
            compiled = torch.compile(transform, fullgraph=True, backend="aot_eager")
            found, expected = (self.run(f, inputs) for f in (compiled, transform))
            assert found.shape == expected.shape
            if self.exact:
                torch.testing.assert_close(found, expected, atol=1e-10, rtol=0)

    @pytest.mark.slow
    def test_compile_by_inductor(self, layer) -> None:
        torch._dynamo.reset()
        compiled = torch.compile(layer, fullgraph=True)
        self.same(compiled, layer, self.inputs(4), tolerance=1e-6)
