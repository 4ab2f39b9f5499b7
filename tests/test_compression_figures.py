"""Pictures of reports: axes do not zoom into noise."""

from dataclasses import replace

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


def test_what_differs_by_much_is_on_a_logarithmic_scale():
    shown = panels(BEFORE, replace(BEFORE, bytes=100))
    assert shown["size at rest (bytes)"].get_xscale() == "log"
