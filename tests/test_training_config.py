from typing import Any

import numpy as np
import pytest
import torch

from qnn.errors import ArgumentError, DtypeError, NoEffectWarning, QnnError, UnknownNameError
from qnn.training import FitConfig, fit


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, ArgumentError, r"`epochs` must be an integer of at least 1, below 2\^63; got 0\. Use epochs=1"),
        ({"epochs": 2.5}, DtypeError, r"`epochs` must be an integer; got 2\.5 \(float\)"),
        ({"epochs": True}, DtypeError, r"`epochs` must be an integer; got True \(bool\)"),
        ({"batch_size": 0}, ArgumentError, r"`batch_size` must be .* at least 1.*; got 0\. Use batch_size=None"),
        ({"seed": -1}, ArgumentError, r"`seed` must be an integer of at least 0.*; got -1"),
        ({"seed": None}, DtypeError, r"`seed` must be an integer; got None"),
        ({"learning_rate": 0}, ArgumentError, r"`learning_rate` must be finite, above 0; got 0\. Try"),
        ({"learning_rate": float("nan")}, ArgumentError, r"`learning_rate` must be finite, above 0; got nan"),
        ({"learning_rate": "0.1"}, DtypeError, r"`learning_rate` must be a number; got '0\.1' \(str\)"),
        ({"momentum": 1.0}, ArgumentError, r"`momentum` must be finite, at least 0 and below 1; got 1\.0"),
        ({"momentum": -0.1}, ArgumentError, r"`momentum` must be finite, at least 0 and below 1; got -0\.1"),
        ({"weight_decay": -1}, ArgumentError, r"`weight_decay` must be finite, at least 0; got -1"),
        (
            {"optimizer": "adan"},
            UnknownNameError,
            r'No optimizer named "adan"\. Did you mean "adam"\? Known: adam, adamw',
        ),
        ({"loss": "crossentropy"}, UnknownNameError, r'No loss named "crossentropy"\. Did you mean "cross_entropy"\?'),
        ({"restore_best": 1}, DtypeError, r"`restore_best` must be True or False; got 1"),
        ({"progress": "no"}, DtypeError, r"`progress` must be True or False; got 'no'"),
        ({"device": "gpu"}, ArgumentError, r'`device` must be a torch device usable here \(cpu.*\); got "gpu"'),
        ({"device": torch.device("cpu")}, DtypeError, r"`device` must be a string such as"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(options, error, message):
    with pytest.raises(error, match=message) as caught:
        FitConfig(**options)
    assert isinstance(caught.value, QnnError)


def test_misspelt_option_gets_a_suggestion_before_training():
    model = torch.nn.Linear(2, 2)
    before = model.weight.clone()
    with pytest.raises(
        UnknownNameError, match=r'No training option named "learning_rates"\. Did you mean "learning_rate"'
    ):
        fit(model, (torch.zeros(4, 2), torch.tensor([0, 1, 0, 1])), learning_rates=0.1)
    assert torch.equal(model.weight, before)


def test_config_of_another_kind_is_refused():
    with pytest.raises(DtypeError, match=r"`config` must be a FitConfig; got dict\. Write FitConfig"):
        fit(torch.nn.Linear(2, 2), (torch.zeros(2, 2), torch.tensor([0, 1])), {"epochs": 3})  # type: ignore[arg-type]


def test_momentum_without_sgd_warns():
    with pytest.warns(NoEffectWarning, match=r'`momentum`=0\.9 has no effect with optimizer="adam"'):
        FitConfig(momentum=0.9)


def test_numbers_become_plain_python_numbers():
    options: dict[str, Any] = {"epochs": np.int64(3), "learning_rate": np.float32(0.5), "seed": np.uint8(7)}
    config = FitConfig(**options)
    assert [type(v) for v in (config.epochs, config.learning_rate, config.seed)] == [int, float, int]


def test_config_is_frozen():
    with pytest.raises(AttributeError):
        FitConfig().epochs = 3  # type: ignore[misc]
