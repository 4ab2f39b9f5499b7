"""A comparison at a provider: no secret in any file, line, picture or message."""

import base64
import logging
import re
import traceback

import pytest
from fakecloud_here import TOKEN, serving
from matplotlib.text import Text

from qnn import errors
from qnn.cli import main
from qnn.comparison import Comparison, compare

SMALL = {
    "task": "iris", "n_train": 3, "epochs": 1, "batch_size": 3, "seeds": 1, "tuning_trials": 1, "n_qubits": 1,
    "n_layers": 1,
}  # fmt: skip
WORDS = [word for name, value in SMALL.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def test_no_token_gets_out_of_a_comparison(tmp_path, capsys, caplog, monkeypatch):
    """Neither one of the environment nor one that was written into the URL by mistake."""
    monkeypatch.setenv("QNN_FAKECLOUD_TOKEN", TOKEN)
    monkeypatch.setenv("QNN_JOURNAL", str(tmp_path / "jobs.sqlite3"))
    caplog.set_level(logging.DEBUG)
    out, said = tmp_path / "run", []
    with serving(faults={"job_fails": [0, 1]}) as cloud:
        words = [*WORDS, "--jobs", "0", "--out", str(out), "--models"]
        models = f"hybrid@{cloud.admin.name},logistic"
        with pytest.raises(errors.QnnError) as caught:
            compare(models=models, jobs=0, out=out, **SMALL)
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        said += ["".join(told.format()), str(caught.value)]
        assert main(["compare", *words, models]) == 0  # the same folder goes on
        assert main(["compare", *words, models.replace("http://", f"http://{TOKEN}@")]) == 2
        assert main(["compare", *words, models.replace("http://", f"http://{TOKEN}:{TOKEN}@"), "--quiet"]) == 2
    comparison = Comparison.load(out)
    assert [record.backend for record in comparison.records] == [cloud.admin.name, None]
    said += [repr(comparison), comparison._repr_html_(), comparison.table(), caplog.text]
    said += [text.get_text() for figure in comparison.figures.values() for text in figure.findobj(Text)]
    printed = capsys.readouterr()
    said += [printed.out, printed.err]
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    pictures = re.findall(rb"data:image/\w+;base64,([^\"')]+)", files[out / "report.html"])
    for number, data in enumerate(pictures):
        files[out / f"report {number}"] = base64.b64decode(data)
    assert pictures and {path.suffix for path in files} >= {".html", ".jsonl", ".md", ".png", ".sqlite3"}
    assert b"got one with more than a host and a port" in printed.err.encode()
    known = cloud.admin.url.encode()  # what is no secret is found by the same search
    assert {path.name for path, data in files.items() if known in data} >= {
        "jobs.sqlite3",
        "records.jsonl",
        "report.html",
    }
    assert not [path for path, data in files.items() if TOKEN.encode() in data]
    found = [text for text in said if TOKEN in text]
    assert not found, found[0][-2000:]
