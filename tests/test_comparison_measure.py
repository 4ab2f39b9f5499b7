"""What a cell cost, measured on itself."""

import platform

import numpy as np
import pytest
import torch

from qnn.comparison.measure import PeakMemory, device_name, training_device, versions

CPU = torch.device("cpu")


@pytest.mark.parametrize("mebibytes", [32, 128])
def test_peak_memory_is_what_was_allocated_even_when_it_is_freed_again(mebibytes):
    """The kernel counts pages in batches of up to 64 per core: a megabyte or so is lost."""
    memory = PeakMemory(CPU)
    np.ones(mebibytes * 2**20 // 8).sum()
    assert (mebibytes - 2) * 2**20 <= memory.read() < (mebibytes + 16) * 2**20


@pytest.mark.skipif(platform.system() != "Linux", reason="only Linux can reset the high-water mark")
def test_earlier_peaks_of_the_same_process_do_not_count():
    np.ones(256 * 2**20 // 8).sum()
    memory = PeakMemory(CPU)
    np.ones(8 * 2**20 // 8).sum()
    assert memory.read() < 32 * 2**20


def test_without_the_reset_growth_beyond_the_lifetime_peak_is_seen(monkeypatch):
    monkeypatch.setattr("qnn.comparison.measure._reset_high_water_mark", lambda: False)
    memory = PeakMemory(CPU)
    np.ones(2**30 // 8).sum()
    assert 0 < memory.read() <= 1100 * 2**20


def test_devices_are_never_called_what_they_are_not():
    assert device_name(CPU).startswith("cpu (")
    assert training_device(quantum=True) == "cpu"
    assert training_device(quantum=False) == ("cuda" if torch.cuda.is_available() else "cpu")


def test_classical_models_use_cuda_when_present(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training_device(quantum=False) == "cuda"
    assert training_device(quantum=True) == "cpu"


def test_versions_are_those_that_are_imported():
    found = versions()
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__
    assert found["numpy"] == np.__version__
    assert {"python", "qiskit", "qiskit-aer", "pennylane", "qnn"} <= set(found)
