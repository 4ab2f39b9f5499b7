"""Pictures of reports: axes do not zoom into noise."""

from dataclasses import replace

import pytest

from qnn.compression import Measurement
from qnn.compression.measurement.figures import draw

BEFORE = Measurement("before", 0.9, 0.85, 0.93, 0.3, 100, 40, 9, 2000, 0.1503, 32)


def panels(*measurements):
    return {panel.get_xlabel(): panel for panel in draw(measurements, "a method").axes}


def test_what_is_almost_equal_looks_equal():
    shown = panels(BEFORE, replace(BEFORE, label="after", latency_ms=0.1501, bytes=1900))
    assert list(shown) == ["size at rest (bytes)", "latency (s per batch)"]
    for panel, largest in zip(shown.values(), (2000, 0.1503e-3), strict=True):
        low, high = panel.get_xlim()
        assert low == 0 and largest < high < 1.3 * largest and panel.get_xscale() == "linear"


def test_losses_start_from_nothing_even_where_one_is_not_finite():
    before, nothing = (replace(BEFORE, accuracy=None, loss=loss) for loss in (0.3001, float("nan")))
    (first, *_) = panels(before, replace(before, loss=0.3, bytes=1000), nothing).values()
    assert first.get_ylim()[0] == 0 and 0.3001 < first.get_ylim()[1] < 0.4


def test_what_pruning_changes_of_circuits_has_its_panels():
    circuits = replace(BEFORE, gates=90, depth=40, two_qubit_gates=12, circuits_per_step=320, device="fake_manila")
    pruned = replace(circuits, label="after", gates=60, depth=30, circuits_per_step=160, bytes=1900)
    assert [*panels(circuits, pruned)] == [
        "size at rest (bytes)", "gates on the device", "depth on the device", "circuits per training step",
    ]  # fmt: skip
    written = [replace(m, device=None, latency_ms=m.gates / 1000) for m in (circuits, pruned)]
    figure = draw(written, "five panels")
    assert [panel.get_xlabel() for panel in figure.axes][2:4] == ["gates as written", "depth as written"]
    assert len({panel.get_position().y0 for panel in figure.axes}) == 2, "two rows, so that they can be read"


@pytest.mark.parametrize(
    ("part", "label"),
    [("test", "test {}"), ("train", "training {}"), ("data", "{} on the rows given"), ("validation", "validation {}")],
)
def test_the_axis_says_which_rows_the_scores_are_of(part, label):
    for accuracy, name in ((0.9, "accuracy"), (None, "loss")):
        first = draw([replace(BEFORE, accuracy=accuracy, part=part)], "a method").axes[0]
        assert first.get_ylabel().split(",")[0] == label.format(name)


def test_what_differs_by_much_is_on_a_logarithmic_scale():
    shown = panels(BEFORE, replace(BEFORE, bytes=100))
    assert shown["size at rest (bytes)"].get_xscale() == "log"
