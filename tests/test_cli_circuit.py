"""`qnn circuit draw|export|run`."""

import json
import math
import re
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from qnn.circuits.qasm import read_qasm
from qnn.cli import main
from qnn.cli.histogram import counts_figure, counts_table

ASYMMETRIC = 'OPENQASM 3.0; include "stdgates.inc"; input float t; qubit[3] q; x q[0]; ry(t) q[2];'
ARRAY = 'OPENQASM 3.0; include "stdgates.inc"; input array[float[64], 2, 2] w; qubit q; rx(w[0][1]) q; rz(w[1][0]) q;'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "one.qasm"
    path.write_text(ASYMMETRIC)
    return str(path)


def run_json(capsys, *words):
    assert main(["circuit", "run", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("backend", ["statevector", "aer", "pennylane:default.qubit"])
def test_counts_on_every_backend(backend, file, capsys):
    """P(1) of the last qubit is sin²(t/2); wire 0 is the leftmost bit. Bound: 5σ of the binomial."""
    shots, t = 4000, 1.0
    facts = run_json(capsys, file, "--backend", backend, "--set", f"t={t}", "--shots", str(shots), "--seed", "5")
    assert set(facts["counts"]) == {"100", "101"}
    assert sum(facts["counts"].values()) == shots
    p = math.sin(t / 2) ** 2
    assert abs(facts["counts"]["101"] - shots * p) < 5 * math.sqrt(shots * p * (1 - p))
    assert facts["parameters"] == {"t": 1.0}
    assert facts["qubits"] == ["q[0]", "q[1]", "q[2]"]


def test_the_same_seed_repeats_and_another_differs(file, capsys):
    runs = [run_json(capsys, file, "--set", "t=1", "--seed", s)["counts"] for s in ("1", "1", "2")]
    assert runs[0] == runs[1] != runs[2]


def test_without_seed_one_is_drawn_and_repeats_the_run(file, capsys):
    first = run_json(capsys, file, "--set", "t=1")
    again = run_json(capsys, file, "--set", "t=1", "--seed", str(first["seed"]))
    assert again == first
    assert run_json(capsys, file, "--set", "t=1")["seed"] != first["seed"]


def test_noise_changes_the_counts(file, capsys):
    options = (file, "--backend", "aer", "--set", "t=0", "--seed", "1")
    assert set(run_json(capsys, *options)["counts"]) == {"100"}
    noisy = run_json(capsys, *options, "--noise", "fake_manila")
    assert noisy["noise"] == "fake_manila"
    assert len(noisy["counts"]) > 1


def test_measured_qubits_only(tmp_path, capsys):
    path = tmp_path / "measured.qasm"
    path.write_text(
        'OPENQASM 2.0; include "qelib1.inc"; qreg q[3]; creg c[2]; x q[1]; h q[0]; '
        "measure q[1] -> c[0]; measure q[2] -> c[1];"
    )
    facts = run_json(capsys, str(path))
    assert facts["wires"] == [1, 2]
    assert facts["counts"] == {"10": 1024}


def test_table(file, capsys):
    assert main(["circuit", "run", file, "--set", "t=pi", "--seed", "7", "--shots", "10"]) == 0
    assert capsys.readouterr().out == (
        "one.qasm on statevector: 10 shots, seed 7\n"
        "Outcomes of q[0], q[1], q[2] (leftmost bit first)\n\n"
        "outcome  count   share\n"
        f"101         10  100.0%  {'█' * 40}\n"
    )


def test_unkeyed_backend_says_so(file, capsys):
    assert main(["circuit", "run", file, "--set", "t=1", "--backend", "pennylane:default.qubit"]) == 0
    captured = capsys.readouterr()
    assert 'backend "pennylane:default.qubit" does not honour seeds' in captured.err
    assert "seed" not in captured.out


def test_histogram_file(file, tmp_path, capsys):
    out = tmp_path / "deep" / "histogram.png"
    before = plt.get_fignums()
    assert main(["circuit", "run", file, "--set", "t=1", "--out", str(out)]) == 0
    assert f"Histogram: {out}" in capsys.readouterr().out
    assert plt.imread(out).std() > 0.1
    assert plt.get_fignums() == before


def test_draw_text(file, capsys):
    assert main(["circuit", "draw", file]) == 0
    assert capsys.readouterr().out == "q[0]: ──X─────┤  \nq[1]: ────────┤  \nq[2]: ──RY(t)─┤  \n"
    assert main(["circuit", "draw", file, "--set", "t=pi/2"]) == 0
    assert "RY(π/2)" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_draw_picture(file, tmp_path, suffix, capsys):
    out = tmp_path / f"drawn.{suffix}"
    assert main(["circuit", "draw", file, "--out", str(out), "--style", "black_white"]) == 0
    assert capsys.readouterr().out == f"Drawn: {out}\n"
    assert out.read_bytes().startswith({"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[suffix])


def test_export(file, tmp_path, capsys):
    assert main(["circuit", "export", file]) == 0
    text = capsys.readouterr().out
    assert text.startswith("// Written by qnn ")
    assert read_qasm(text).circuit() == read_qasm(ASYMMETRIC).circuit()
    out = tmp_path / "two.qasm"
    assert main(["circuit", "export", file, "--version", "2", "--set", "t=0.1", "--measure", "--out", str(out)]) == 0
    program = read_qasm(out)
    assert program.version == 2
    assert program.measured_wires == (0, 1, 2)
    assert program.circuit() == read_qasm(ASYMMETRIC).circuit({"t": 0.1})


def test_arrays(tmp_path, capsys):
    path = tmp_path / "array.qasm"
    path.write_text(ARRAY)
    assert main(["circuit", "export", str(path)]) == 0
    assert read_qasm(capsys.readouterr().out).shapes == {"w": (2, 2)}
    assert main(["circuit", "draw", str(path), "--set", "w=0,1/4,0.5,0"]) == 0
    assert "RX(0.25)──RZ(0.5)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["run", "FILE"],
            r"`--set` must give a value to every free parameter, .* got none for t. Add for example: --set t=0.3",
        ),
        (["export", "FILE", "--version", "2"], r"because OpenQASM 2 has no free parameters; got none for t"),
        (["run", "FILE", "--set", "tt=1"], r'No free parameter named "tt". Did you mean "t"'),
        (["run", "FILE", "--set", "t"], r'`--set` must be NAME=VALUE; got "t"'),
        (["run", "FILE", "--set", "t=pie"], r'A value must be a number; got "pie": "pie" is not declared here. Write'),
        (["run", "FILE", "--set", "t=1", "--set", "t=2"], r'one value; got two for "t"'),
        (["run", "FILE", "--set", "t=1,2"], r"`--set t` must have 1 value\(s\); got 2"),
        (["run", "FILE", "--set", "t=1", "--shots", "0"], r"`--shots` must be at least 1; got 0"),
        (
            ["run", "FILE", "--set", "t=1", "--backend", "statvector"],
            r'No backend named "statvector". Did you mean "statevector"',
        ),
        (["run", "FILE", "--set", "t=1", "--noise", "fake_manila"], r'Backend "statevector" has no option `noise`'),
        (["run", "FILE", "--set", "t=1", "--out", "x.gif"], r'`--out` must end in .png, .pdf, .svg; got "x.gif"'),
        (["draw", "FILE", "--out", "x"], r'`--out` must end in .png, .pdf, .svg; got "x"'),
        (["draw", "FILE", "--out", "x.png", "--style", "blck_white"], r'Did you mean "black_white"'),
        (["draw", "FILE", "--out", "/proc/nowhere/x.png"], r"`path` must be writable"),
        (["draw", "missing.qasm"], r'there is no "missing.qasm"'),
        (["draw", "BROKEN"], r"broken.qasm: line 1, column 10: no gate named \"h\""),
        (["run", "WIDE"], r"must have at most 24 qubits to be run here; .* has 25"),
        (["run", "WIDE", "--set", "t=1"], r"`--set t` has nothing to set: .* has no free parameters"),
    ],
)
def test_errors(words, message, file, tmp_path, capsys):
    broken, wide = tmp_path / "broken.qasm", tmp_path / "wide.qasm"
    broken.write_text("qubit q; h q;")
    wide.write_text("qubit[25] q;")
    paths = {"FILE": file, "BROKEN": str(broken), "WIDE": str(wide)}
    assert main(["circuit", *(paths.get(word, word) for word in words)]) == 2
    captured = capsys.readouterr()
    assert re.search(message, captured.err)
    assert captured.out == ""
    assert captured.err.startswith("qnn: ")


def test_many_outcomes_are_summed_up():
    counts = {f"{i:06b}": 100 + i for i in range(64)}
    table = counts_table(counts).split("\n")
    assert len(table) == 1 + 32 + 1
    assert table[1].startswith("100000     132")
    rest = sum(100 + i for i in range(32))
    assert table[-1] == f"… and 32 more outcome(s) with {rest} shot(s), {rest / sum(counts.values()):.1%}"


def test_bars_are_proportional():
    lines = counts_table({"0": 30, "1": 10, "2": 1}).split("\n")[1:]
    lengths = [len(line.split("  ")[-1]) for line in lines]
    assert lengths == [40, 14, 2]  # 13⅓ and 1⅓ of 40 characters, to an eighth


@pytest.mark.parametrize("n_bits", [1, 3, 8])
def test_histogram_labels_are_whole_and_apart(n_bits):
    generator = np.random.default_rng(0)
    counts = {f"{i:0{n_bits}b}": int(generator.integers(1, 900)) for i in range(2**n_bits)}
    figure = counts_figure(counts, title="a_rather_long_name_of_a_file.qasm on aer with the noise of fake_manila")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    axes = figure.axes[0]
    boxes = [t.get_window_extent(renderer) for t in axes.get_xticklabels()]
    assert all(a.x1 <= b.x0 for a, b in pairwise(boxes))
    for text in [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.texts]:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
