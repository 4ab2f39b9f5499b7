"""`qnn circuit draw|export|run`."""

import json
import math
import re

import matplotlib.pyplot as plt
import pytest

from qnn.circuits.qasm import read_qasm
from qnn.cli import main
from qnn.cli.circuit import _typed
from qnn.errors import ArgumentError

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


def test_exact_probabilities(file, capsys):
    assert main(["circuit", "run", file, "--set", "t=pi/3", "--exact"]) == 0
    assert capsys.readouterr().out == (
        "one.qasm on statevector: exact\n"
        "Outcomes of q[0], q[1], q[2] (leftmost bit first)\n\n"
        "outcome  probability\n"
        f"100         0.750000  {'█' * 40}\n"
        f"101         0.250000  {'█' * 13}▍\n"
    )
    facts = run_json(capsys, file, "--set", "t=pi/3", "--exact")
    assert facts["probabilities"] == {"100": 0.75, "101": 0.25}
    assert (facts["shots"], facts["seed"]) == (None, None)


def test_expectation_values(file, capsys):
    words = [file, "--set", "t=pi/3", "--observable", "Z0 Z2", "--observable", "IIX"]
    assert main(["circuit", "run", *words, "--exact"]) == 0
    assert capsys.readouterr().out == "one.qasm on statevector: exact\n\n<Z0 Z2>  -0.500000\n<X2>      0.866025\n"
    assert main(["circuit", "run", *words, "--shots", "100", "--seed", "1"]) == 0
    assert re.search(r"100 shots, seed 1\n\n<Z0 Z2>  -0.\d{6} ± 0.\d{6}\n<X2>  ", capsys.readouterr().out)
    facts = run_json(capsys, *words, "--shots", "10000", "--seed", "1")
    assert facts["observables"] == ["<Z0 Z2>", "<X2>"]
    for value, error, true in zip(facts["expectation"], facts["standard_error"], [-0.5, 0.75**0.5], strict=True):
        assert abs(value - true) < 5 * math.sqrt((1 - true**2) / 10000)
        assert error == pytest.approx(math.sqrt((1 - value**2) / 10000))


def test_options_of_the_backend_have_types(file, capsys):
    """Aer's shots differ from ours; the number of threads must be an integer for it."""
    words = (file, "--set", "t=1", "--backend", "aer", "--seed", "2")
    options = ("-o", "sampler=aer", "-o", "max_parallel_threads=1", "-o", "method=density_matrix", "-o", "noise=none")
    facts = run_json(capsys, *words, *options)
    assert facts["options"] == {
        "sampler": "aer",
        "max_parallel_threads": 1,
        "method": "density_matrix",
        "noise": None,
    }
    assert sum(facts["counts"].values()) == 1024
    assert facts["counts"] != run_json(capsys, *words)["counts"]
    with pytest.raises(SystemExit):
        main(["circuit", "run", file, "--shots", "many"])


@pytest.mark.parametrize(
    ("written", "value"), [("True", True), ("false", False), ("3", 3), ("0.5", 0.5), ("1e-3", 1e-3), ("aer", "aer")]
)
def test_types_of_options(written, value):
    typed = _typed(written)
    assert typed == value
    assert type(typed) is type(value)


def test_options_of_several_parts_are_json():
    assert _typed('{"zne_mitigation": true}') == {"zne_mitigation": True}
    assert _typed('["a", 1]') == ["a", 1]
    with pytest.raises(ArgumentError, match=r"`-o` must give JSON after a bracket; got \{a: 1\}"):
        _typed("{a: 1}")


@pytest.mark.parametrize("written", ["readout", '{"readout": true, "zne": [1, 3]}'])
def test_mitigation_is_an_option_of_the_backend(written, file, capsys):
    words = (file, "--set", "t=1", "--backend", "aer", "--noise", "fake_manila", "--exact", "--observable", "Z0")
    plain = run_json(capsys, *words)["expectation"][0]
    assert abs(plain) < abs(run_json(capsys, *words, "-o", f"mitigation={written}")["expectation"][0])


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
        (["run", "WIDE"], r"must measure few enough qubits .*, 24 at most; wide.qasm measures 25 in 1 row"),
        (["run", "FILE", "--set", "t=1", "--exact", "--shots", "5"], r"`--shots` has no meaning with --exact; got 5"),
        (["run", "FILE", "--set", "t=1", "-o", "method"], r'`-o` must be KEY=VALUE; got "method"'),
        (["run", "FILE", "--set", "t=1", "-o", "shots=5"], r"`-o shots` is an option of the command. Write --shots"),
        (
            ["run", "FILE", "--set", "t=1", "--backend", "aer", "-o", "method=a", "-o", "method=b"],
            r'one value; got two for "method"',
        ),
        (
            ["run", "FILE", "--set", "t=1", "--backend", "aer", "-o", "resilience=1"],
            r'Backend "aer" has no option `resilience`. It has: method',
        ),
        (
            ["run", "FILE", "--set", "t=1", "--backend", "aer", "-o", "max_parallel_threads=some"],
            r"`max_parallel_threads` must be a positive integer; got 'some'",
        ),
        (
            ["run", "FILE", "--set", "t=1", "--observable", "ZZ"],
            r"a letter for each of the circuit's 3 wires; got \"ZZ\"",
        ),
        (["run", "FILE", "--set", "t=1", "--observable", "Z7"], r"must act on wires 0 to 2; got <Z7> on wire 7"),
        (
            ["run", "FILE", "--set", "t=1", "--observable", "Z0", "--out", "x.png"],
            r"`--out` draws outcomes, which `--observable` does not measure",
        ),
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
