"""Options of modules in forged bundles that torch itself refuses only when the module is used."""

import pytest
import torch
from bundle_samples import forge

from qnn import load, save
from qnn.errors import BundleError
from qnn.layers import Int8Conv2d


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, padding=1), torch.nn.MaxPool2d(2), Int8Conv2d(2, 4, (3, 2)))
    return save(model, tmp_path_factory.mktemp("kinds") / "b")


@pytest.mark.parametrize(
    ("child", "options", "message"),
    [
        (2, {"padding": "same"}, "options that make a Int8Conv2d; got ArgumentError: `padding` must be a pair"),
        (2, {"stride": [0, 1]}, r"stride\[0\]` must be an integer from 1"),
        (2, {"stride": None}, "`stride` must be a pair of whole numbers; got None"),
        (2, {"padding": [-1, 0]}, r"padding\[0\]` must be an integer from 0"),
        (2, {"kernel_size": [3, 2, 1]}, "`kernel_size` must be a pair"),
        (2, {"groups": 3}, 'must have no entries but .*; got "groups"'),
        (0, {"stride": [0, 1]}, r"stride\[0\]` must be an integer from 1"),
        (0, {"groups": 0}, "groups` must be an integer from 1"),
        (0, {"groups": 2}, "options that make a Conv2d; got ValueError"),
        (1, {"stride": 0}, "stride` must be an integer from 1"),
    ],
)
def test_options_that_no_forward_could_use_are_refused_when_the_bundle_is_loaded(
    bundle, tmp_path, child, options, message
):
    def change(files):
        files["bundle.json"]["model"]["children"][child][1]["options"] |= options

    with pytest.raises(BundleError, match=message):
        load(forge(bundle, tmp_path / "forged", change))


def test_the_bundle_as_it_is_loads(bundle):
    assert load(bundle)(torch.zeros(1, 1, 6, 6)).shape == (1, 4, 1, 2)
