import pytest

from qnn.errors import ArgumentError, UnknownNameError
from qnn.training.callbacks.monitor import direction, monitored_value

RECORD = {"epoch": 1, "train_loss": 0.5, "validation_loss": None, "text": "x", "flag": True}


def test_a_number_of_the_record_is_found():
    assert monitored_value(RECORD, "train_loss") == 0.5


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match=r'No entry of an epoch\'s record named "train_los"\. Did you mean "train_loss"\? Known: epoch, train_loss\.'):  # fmt: skip  # noqa: E501
        monitored_value(RECORD, "train_los")


@pytest.mark.parametrize("name", ["validation_loss", "text", "flag"])
def test_an_entry_that_is_no_number_is_refused(name):
    with pytest.raises(ArgumentError, match=rf'must name a number .* for "{name}" in epoch 1\. Pass a validation part'):
        monitored_value(RECORD, name)


@pytest.mark.parametrize(
    ("name", "better"),
    [("monitored_loss", "min"), ("validation_mean_squared_error", "min"), ("train_accuracy", "max"),
     ("validation_r2", "max"), ("validation_neg_log_loss", "max"), ("gradient_norm", None)],
)  # fmt: skip
def test_the_name_tells_the_direction_or_it_must_be_said(name, better):
    if better is None:
        with pytest.raises(ArgumentError, match=r'`mode` must say which way "gradient_norm" gets better.*mode="min"'):
            direction(name, "auto")
    else:
        assert direction(name, "auto") == better
    assert direction(name, "max") == "max"
    with pytest.raises(UnknownNameError, match='No mode named "most"'):
        direction(name, "most")
