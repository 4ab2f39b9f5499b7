"""The examples of docs/devices.md are run."""

import re
from pathlib import Path

import pytest
import torch

TEXT = (Path(__file__).parent.parent / "docs" / "devices.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("code", EXAMPLES, ids=["statevector", "aer"])
def test_examples(code):
    names = {}
    exec(code, names)
    trained = names["w"] if "w" in names else names["layer"].w
    assert torch.isfinite(trained.grad).all() and trained.grad.abs().sum() > 0


def test_both_devices_have_an_example():
    assert len(EXAMPLES) == 2
