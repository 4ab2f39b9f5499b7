from itertools import chain, combinations

import numpy as np
from scipy.stats import norm

from qnn.tasks import synthetic


def test_parity_labels_follow_from_the_signs():
    raw = synthetic.load_parity()
    bits = (raw.x > 0).astype(int)
    flipped = raw.y != bits.sum(axis=1) % 2
    # A sign flips with probability Phi(-1/noise), four signs a row.
    expected = len(raw.y) * synthetic.PARITY_BITS * norm.cdf(-1 / synthetic.PARITY_NOISE)
    assert flipped.sum() < expected + 5 * np.sqrt(expected)


def test_no_proper_subset_of_bits_says_anything():
    raw = synthetic.load_parity()
    corners = np.arange(synthetic.PARITY_ROWS) % 16
    bits = (corners[:, None] >> np.arange(4)) & 1
    sign = 1 - 2 * raw.y
    for subset in chain.from_iterable(combinations(range(4), size) for size in range(4)):
        assert np.sum(sign * np.prod(1 - 2 * bits[:, subset], axis=1)) == 0  # uncorrelated exactly
    assert np.sum(sign * np.prod(1 - 2 * bits, axis=1)) == synthetic.PARITY_ROWS


def test_circles_have_the_documented_radii():
    raw = synthetic.load_circles()
    radius = np.hypot(*raw.x.T)
    for label, expected in ((0, 1.0), (1, synthetic.CIRCLES_FACTOR)):
        found = radius[raw.y == label]
        # Noise across the circle adds noise²/(2 r) to the mean radius; 5 standard errors.
        error = synthetic.CIRCLES_NOISE / np.sqrt(len(found))
        assert abs(found.mean() - expected - synthetic.CIRCLES_NOISE**2 / (2 * expected)) < 5 * error


def test_generators_repeat_and_do_not_touch_the_global_state():
    np.random.seed(7)  # noqa: NPY002 - the global generator is what must stay as it is
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    for load in (synthetic.load_moons, synthetic.load_circles, synthetic.load_parity):
        np.testing.assert_array_equal(load().x, load().x)
    np.testing.assert_array_equal(np.random.random(3), expected)  # noqa: NPY002
