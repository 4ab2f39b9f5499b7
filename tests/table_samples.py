"""Tables that tests train on, small enough to take a second."""

import numpy as np
import pandas as pd
from sklearn.datasets import load_iris

QUICK = {"n_qubits": 2, "n_layers": 1, "epochs": 6, "learning_rate": 0.1, "progress": False}
QUICK_WORDS = ["--n-qubits", "2", "--n-layers", "1", "--epochs", "6", "--learning-rate", "0.1", "--quiet"]


def iris_frame():
    data = load_iris(as_frame=True)
    frame = data.frame.rename(columns=lambda name: name.removesuffix(" (cm)").replace(" ", "_"))
    return frame.assign(species=np.array(data.target_names)[frame.pop("target")])


def houses_frame():
    """A price that follows from size and district, with a little noise; 90 rows."""
    generator = np.random.default_rng(0)
    size, district = generator.uniform(30, 150, 90), generator.choice(["north", "south", "old town"], 90)
    price = 2000 * size + 50_000 * (district == "old town") + generator.normal(0, 5000, 90)
    return pd.DataFrame({"size": size, "district": district, "price": price})
