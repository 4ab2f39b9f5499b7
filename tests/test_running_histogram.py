"""Tables and pictures of outcomes."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from qnn.running.histogram import histogram_figure, outcome_table


def shares(counts):
    total = sum(counts.values())
    return {bits: count / total for bits, count in counts.items()}, total


def random_shares(n_bits, n_outcomes=None):
    generator = np.random.default_rng(0)
    places = generator.permutation(2**n_bits)[:n_outcomes]
    return shares({f"{i:0{n_bits}b}": int(generator.integers(1, 900)) for i in places})


def test_many_outcomes_are_summed_up():
    counts = {f"{i:06b}": 100 + i for i in range(64)}
    found, shots = shares(counts)
    table = outcome_table(found, shots=shots).split("\n")
    assert len(table) == 1 + 32 + 1
    assert table[1].startswith("100000     132")
    rest = sum(100 + i for i in range(32))
    assert table[-1] == f"… and 32 more outcome(s) with {rest} shot(s), {rest / shots:.1%}"
    exact = outcome_table(found, shots=None).split("\n")
    assert exact[1].startswith(f"100000      {132 / shots:.6f}")
    assert exact[-1] == f"… and 32 more outcome(s) with probability {rest / shots:.6f}"


def test_bars_are_proportional():
    found, shots = shares({"0": 30, "1": 10, "2": 1})
    for table in (outcome_table(found, shots=shots), outcome_table(found, shots=None)):
        lengths = [len(line.split("  ")[-1]) for line in table.split("\n")[1:]]
        assert lengths == [40, 14, 2]  # 13⅓ and 1⅓ of 40 characters, to an eighth


@pytest.mark.parametrize("exact", [False, True], ids=["shots", "exact"])
@pytest.mark.parametrize(
    ("n_bits", "n_outcomes"), [(1, 1), (1, 2), (3, 8), (4, 16), (6, 64), (8, 256), (20, 3), (20, 64)]
)
def test_labels_are_whole_and_apart(n_bits, n_outcomes, exact):
    found, shots = random_shares(n_bits, n_outcomes)
    labels = [f"register[{i}]" for i in range(n_bits)]
    title = "a_rather_long_name_of_a_file.qasm on aer with the noise of fake_manila"
    figure = histogram_figure(found, shots=None if exact else shots, labels=labels, title=title)
    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    axes = figure.axes[0]
    for texts in (axes.get_xticklabels(), axes.texts):
        boxes = [t.get_window_extent(renderer) for t in texts]
        assert all(a.x1 <= b.x0 or a.y1 <= b.y0 or b.y1 <= a.y0 for a, b in pairwise(boxes))
    for text in [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.texts]:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text


def test_heights_units_and_error_bars():
    """The standard deviation of a count is √(n p (1-p))."""
    found = {"00": 0.25, "11": 0.75}
    counted = histogram_figure(found, shots=400, labels=("a", "b"), title="t").axes[0]
    bars, (errors,) = counted.containers[-1], counted.collections
    assert [bar.get_height() for bar in bars] == [100, 0, 0, 300]
    spread = [(line[1, 1] - line[0, 1]) / 2 for line in errors.get_segments()]
    np.testing.assert_allclose(spread, [75**0.5, 0, 0, 75**0.5])
    assert counted.get_ylabel() == "count (400 shots), ± 1 std. dev."
    assert counted.get_xlabel() == "outcome of a b, leftmost bit first"
    assert [t.get_text() for t in counted.texts] == ["100", "0", "0", "300"]
    exact = histogram_figure(found, shots=None, labels=("a", "b"), title="t").axes[0]
    assert [bar.get_height() for bar in exact.containers[-1]] == [0.25, 0, 0, 0.75]
    assert not exact.collections
    assert exact.get_ylabel() == "probability (exact)"
    assert counted.get_ylim()[0] == exact.get_ylim()[0] == 0


def test_what_is_not_shown_is_said():
    found, shots = random_shares(6)
    figure = histogram_figure(found, shots=shots, labels=[f"q[{i}]" for i in range(6)], title="t")
    rest = sum(sorted(found.values())[:32])
    assert figure.axes[0].get_xlabel() == (
        f"outcome of q[0] … q[5], leftmost bit first; 32 others not shown ({rest:.1%})"
    )
    assert len(figure.axes[0].get_xticklabels()) == 32


def test_counts_have_whole_ticks():
    axes = histogram_figure({"0": 0.5, "1": 0.5}, shots=2, labels=("q",), title="t").axes[0]
    assert all(tick == int(tick) for tick in axes.get_yticks())
