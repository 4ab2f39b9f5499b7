"""What every task must hold to; a new task's test is a subclass that names it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from qnn.errors import ArgumentError
from qnn.tasks import TaskData, load_task


class TaskContract:
    name: str
    n_rows: int
    n_inputs: int
    n_classes: int
    image_shape: tuple[int, int, int] | None = None

    def load(self, **options: Any) -> TaskData:
        return load_task(self.name, **options)

    def test_describes_itself(self):
        task = self.load()
        assert task.name == self.name
        assert (task.n_inputs, task.n_classes, task.image_shape) == (self.n_inputs, self.n_classes, self.image_shape)
        assert len(set(task.class_names)) == self.n_classes
        assert task.source and "\n" not in task.source
        if task.image_shape is not None:
            assert math.prod(task.image_shape) == task.n_inputs

    def test_parts_have_the_promised_tensors(self):
        task = self.load()
        for part in (task.train, task.validation, task.test):
            x, y = part
            assert x.shape == (len(part), self.n_inputs) and x.dtype == torch.float32
            assert y.shape == (len(part),) and y.dtype == torch.int64
            assert torch.isfinite(x).all()
            assert set(y.tolist()) == set(range(self.n_classes))

    def test_shares_are_64_16_20(self):
        task = self.load()
        sizes = [len(part) for part in (task.train, task.validation, task.test)]
        assert sum(sizes) == self.n_rows
        assert sizes == pytest.approx([0.64 * self.n_rows, 0.16 * self.n_rows, 0.20 * self.n_rows], abs=2)

    def test_every_part_is_stratified(self):
        task = self.load(seed=3)
        whole = torch.cat([task.train.y, task.validation.y, task.test.y]).bincount()
        for part in (task.train, task.validation, task.test):
            expected = whole * len(part) / self.n_rows
            assert (part.y.bincount() - expected).abs().max() <= 2  # rounding, once per split

    def test_seed_fixes_the_split(self):
        first, again, other = self.load(seed=1), self.load(seed=1), self.load(seed=2)
        for name in ("train", "validation", "test"):
            assert torch.equal(getattr(first, name).x, getattr(again, name).x)
            assert torch.equal(getattr(first, name).y, getattr(again, name).y)
            assert not torch.equal(getattr(first, name).x, getattr(other, name).x)

    def test_scaling_is_fitted_on_the_training_rows_left(self):
        x = self.load(n_train=10 * self.n_classes).train.x.double()
        axes = (0,) if self.image_shape is None else (0, 1)  # the tasks' images have one channel
        assert x.mean(axes).abs().max() < 1e-6
        assert torch.allclose(x.std(axes, correction=0), torch.ones(1, dtype=torch.float64), atol=1e-5)

    def test_fewer_training_rows_are_a_part_of_more(self):
        small, large, whole = self.load(n_train=2 * self.n_classes), self.load(n_train=4 * self.n_classes), self.load()
        assert len(small.train) == 2 * self.n_classes and len(large.train) == 4 * self.n_classes
        assert torch.equal(small.train.y, large.train.y[: len(small.train)])
        assert torch.equal(large.train.y, whole.train.y[: len(large.train)])
        for name in ("validation", "test"):
            assert torch.equal(getattr(small, name).y, getattr(whole, name).y)
        assert not torch.equal(small.test.x, whole.test.x)  # the same rows, scaled by fewer

    def test_one_row_per_class_is_enough(self):
        task = self.load(n_train=self.n_classes, n_test=self.n_classes)
        assert sorted(task.train.y.tolist()) == sorted(task.test.y.tolist()) == list(range(self.n_classes))
        assert torch.isfinite(task.test.x).all()

    def test_n_test_reduces_the_test_part_alone(self):
        task, whole = self.load(n_test=2 * self.n_classes), self.load()
        assert torch.equal(task.test.x, whole.test.x[: 2 * self.n_classes])
        assert torch.equal(task.train.x, whole.train.x)

    @pytest.mark.parametrize("argument", ["n_train", "n_test"])
    def test_impossible_sizes_are_refused(self, argument):
        part = self.load().train if argument == "n_train" else self.load().test
        for wrong in (self.n_classes - 1, len(part) + 1):
            with pytest.raises(
                ArgumentError, match=rf"`{argument}` must lie between {self.n_classes} .* {len(part)} .*; got {wrong}\."
            ):
                self.load(**{argument: wrong})

    def test_shuffled_labels_are_permuted_where_models_learn_alone(self):
        task, shuffled = self.load(), self.load(shuffle_labels=True)
        for name in ("train", "validation"):
            plain, control = getattr(task, name), getattr(shuffled, name)
            assert torch.equal(plain.x, control.x)
            assert torch.equal(plain.y.bincount(), control.y.bincount())
            shares = plain.y.bincount().double() / len(plain)
            agree, chance = float((plain.y == control.y).double().mean()), float((shares**2).sum())
            # A permutation keeps a label with probability sum(shares²); 5 sigma.
            assert abs(agree - chance) < 5 * math.sqrt(chance * (1 - chance) / (len(plain) - 1))
        assert torch.equal(task.test.x, shuffled.test.x) and torch.equal(task.test.y, shuffled.test.y)
