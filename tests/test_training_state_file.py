"""The file of a checkpoint: everything comes back as it was, and nothing else is accepted."""

import pickle
import random

import pytest
import safetensors.torch
import torch

from qnn.errors import CheckpointError
from qnn.training.state_file import read_state, write_state

STATE = {
    "tensors": [torch.arange(3.0), torch.tensor(2, dtype=torch.int64), torch.zeros(0, 2), torch.tensor([True])],
    "optimizer": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"betas": (0.9, 0.999), "lr": 0.1}]},
    "numbers": [1, 0.1, float("inf"), True, None, "text"],
}


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


def test_everything_comes_back_as_it_was(tmp_path):
    assert equal(read_state(write_state(tmp_path / "a", STATE)), STATE)


def test_any_flipped_bit_and_any_cut_is_noticed(tmp_path):
    content = write_state(tmp_path / "a", STATE).read_bytes()
    draw, path = random.Random(0), tmp_path / "b"
    for _ in range(150):
        place = draw.randrange(len(content))
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << draw.randrange(8)]) + content[place + 1 :])
        try:
            assert equal(read_state(path), STATE)  # padding of the header is no content
        except CheckpointError as error:
            assert f'"{path}" must be a checkpoint that fits' in str(error)
    for _ in range(50):
        path.write_bytes(content[: draw.randrange(len(content))])
        with pytest.raises(CheckpointError, match="it is damaged"):
            read_state(path)


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (pickle.dumps(Bomb()), "is damaged"),
        (b"", "is damaged"),
        (safetensors.torch.save({"a": torch.zeros(1)}), "is damaged"),
        (safetensors.torch.save({"a": torch.zeros(1)}, {"kind": "other"}), "of another kind"),
        (safetensors.torch.save({}, {"kind": "qnn-checkpoint", "version": "99"}), "is version '99', this qnn reads 1"),
    ],
    ids=["pickle", "empty", "plain", "kind", "version"],
)
def test_other_files_are_refused_and_nothing_is_executed(tmp_path, content, match):
    path = tmp_path / "last.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=match):
        read_state(path)


def test_a_missing_file_and_data_that_is_not_plain_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"`checkpoint` must be a readable file; reading .* failed: No such file"):
        read_state(tmp_path / "none")
    with pytest.raises(CheckpointError, match=r"got Bomb at state\.a\[0\]"):
        write_state(tmp_path / "a", {"a": [Bomb()]})
    assert not (tmp_path / "a").exists()
