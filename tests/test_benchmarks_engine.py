"""The engine's benchmark: everyone computes the same, claims are judged, records become a table and a picture."""

# ruff: noqa: E402

import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import engine_perf
import engine_report
from engine import claims, isolated, points
from engine.contestants import CONTESTANTS
from engine.kernel import CKernel, compiler
from engine.machine import least_seconds
from engine.race import TOLERANCE, Race, summary
from engine.workload import FIGURES, Point, counted_operations, data_of

HERE = ["qnn", "qnn-kernel", "pennylane", "lightning"]
COMPILED = ["c-best", "c-best-kernel", "c-gates", "c-gates-kernel"] if compiler() else []
SIZES = [
    (1, 1, 1),
    (1, 3, 5),
    (2, 2, 1),
    (2, 3, 17),
    (3, 1, 40),
    (4, 6, 2),
    (6, 3, 3),
    (7, 5, 1),
    (10, 4, 8),
    (11, 2, 33),
]

needs_compiler = pytest.mark.skipif(not compiler(), reason="no C compiler")


def arrays(name, point):
    step, read = CONTESTANTS[name].build(point, data_of(point), 1)
    step()  # a second step must not add to the first one's gradients
    return read(step())


@pytest.mark.parametrize("name", HERE[1:] + COMPILED)
def test_everyone_here_computes_the_same_values_and_gradients(name):
    point = Point(3, 2, 4)
    for mine, reference in zip(arrays(name, point), arrays("qnn", point), strict=True):
        assert mine.shape == reference.shape
        np.testing.assert_allclose(mine, reference, atol=TOLERANCE, rtol=0)


@needs_compiler
@pytest.mark.parametrize("kind", ["best", "gates"])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_c_kernels_at_every_shape_of_tile(sizes, threads, kind):
    """Fewer rows than lanes, wires inside vectors, a last tile half full, blocks of Hadamards; states kept or not."""
    point = Point(*sizes)
    data, (values, inputs, weights) = data_of(point), arrays("qnn", point)
    kernel = CKernel(point.n_qubits, point.n_layers, threads=threads, kind=kind)
    for keep in (True, False):
        mine, kept = kernel.forward(data.inputs, data.weights, keep=keep)
        gradients = kernel.backward(data.inputs, data.weights, data.cotangent, kept)
        for ours, reference in zip((mine, *gradients), (values, inputs, weights), strict=True):
            np.testing.assert_allclose(ours, reference, atol=TOLERANCE, rtol=0)


def test_points_stay_within_the_ranges_and_memory_of_the_claim():
    chosen = points.sweep()
    assert len(chosen) == len(set(chosen))
    assert all(point.two_states_bytes <= 4 << 30 for point in chosen)
    for attribute, ends in (("n_qubits", (2, 20)), ("batch", (1, 1024)), ("n_layers", (1, 50))):
        values = [getattr(point, attribute) for point in chosen]
        assert (min(values), max(values)) == ends
    assert {tuple(vars(point).values()) for point in points.figures()} == set(FIGURES)


def test_counted_operations_of_one_qubit():
    # two amplitudes; forward H RX (8) and RX (6), backward twice that and two overlaps (4), values 4, cotangents 3
    assert counted_operations(Point(1, 1, 1)) == 2 * (14 + 28 + 8 + 7)


def test_roofline_is_arithmetic_in_cache_and_traffic_beyond_it():
    point, peak = Point(10, 3, 4), {"peak_gflops": 100.0, "stream_gb_per_s": 1.0}
    assert least_seconds(point, peak, cache_bytes=1 << 20) == pytest.approx(counted_operations(point) / 1e11)
    assert least_seconds(point, peak, cache_bytes=1 << 10) == pytest.approx(3 * 4 * 16 * 4 * 1024 / 1e9)


def test_summary_is_over_rounds():
    found = summary([[3.0, 1.0, 2.0], [4.0], [6.0, 6.0]])
    assert found["rounds_s"] == [2.0, 4.0, 6.0]
    assert (found["median_s"], found["q25_s"], found["q75_s"], found["min_s"]) == (4.0, 3.0, 5.0, 1.0)
    assert found["n_steps"] == 6


def record(sizes, **seconds):
    results = {
        name.replace("_", "-"): summary([[s]]) | {"first_s": s, "difference": 0.0, "versions": {"torch": "1"}}
        for name, s in seconds.items()
    }
    return {"point": vars(Point(*sizes)), "reference": "qnn", "results": results, "errors": {}, "roofline_s": 1e-6}


def verdicts(found):
    return [(claim.verdict, claim.result) for claim in found]


def test_claims_against_pennylane_and_tensorcircuit():
    made = record((8, 3, 32), qnn=1e-3, pennylane=61e-3, tensorcircuit=9e-3)
    found = {claim.claim: claim for claim in claims.of_figures([made])}
    assert found["(8, 3, 32): faster than PennyLane default.qubit"].verdict == "pass"
    assert found["(8, 3, 32): faster than TensorCircuit-NG"].verdict == "fail"
    assert found["(8, 3, 32): faster than TensorCircuit-NG, probabilities"].verdict == "missing"


def test_beside_c_kernels_count_below_a_millisecond_and_the_whole_step_above():
    fast = {"qnn": 9e-4, "c_best": 3e-4, "qnn_kernel": 3e-4, "c_best_kernel": 2.5e-4}
    slow = {"qnn": 4e-3, "c_best": 2e-3, "qnn_kernel": 2e-3, "c_best_kernel": 2e-3}
    found = [claims.of_figures([record((4, 3, 32), **times)])[-1] for times in (fast, slow)]
    assert verdicts(found) == [("pass", "1.20 times"), ("fail", "2.00 times")]
    assert ["kernel to kernel" in claim.claim for claim in found] == [True, False]


def test_never_slower_looks_only_at_steps_of_a_millisecond():
    quick = record((2, 3, 1), qnn=5e-4, tensorcircuit=1e-4)
    slower = record((8, 3, 32), qnn=3e-3, tensorcircuit=2e-3)
    faster = record((8, 3, 64), qnn=1e-3, tensorcircuit=2e-3)
    assert verdicts(claims.of_sweep([quick, faster])) == [("pass", "slower at 0 of 1 points")]
    assert verdicts(claims.of_sweep([quick, slower, faster])) == [
        ("fail", "slower at 1 of 2 points: (8, 3, 32) 1.50 times")
    ]
    assert verdicts(claims.of_sweep([quick])) == [("missing", "not measured")]


def test_claims_of_memory_and_first_calls():
    point = Point(16, 3, 1024)
    assert verdicts(claims.of_memory({"above_idle_bytes": 299e6}, point)) == [("pass", "299 MB")]
    assert verdicts(claims.of_memory({"above_idle_bytes": 301e6}, point)) == [("fail", "301 MB")]
    assert verdicts(claims.of_first_call({"cold_s": 14.0, "warm_s": 0.6})) == [("pass", "14.00 s"), ("fail", "0.60 s")]
    assert verdicts(claims.of_first_call({"error": "no"})) == [("fail", "no")] * 2
    assert verdicts(claims.of_memory({"unavailable": "Linux only"}, point)) == [("missing", "Linux only")]


def test_claims_of_large_registers():
    made, ran = record((20, 3, 1), qnn=1.0, lightning=1.4), {"seconds": 3.0, "finite": True}
    found = verdicts(claims.of_large([made], ran, Point(24, 3, 1)))
    assert found == [("fail", "1.4 times"), ("pass", "3.0 s, values finite and within range")]
    assert verdicts(claims.of_large([], ran | {"finite": False}, Point(24, 3, 1)))[0][0] == "fail"
    assert verdicts(claims.of_large([], {"error": "MemoryError"}, Point(24, 3, 1))) == [("fail", "MemoryError")]


def machine():
    return {"threads": 1, "cpu": "a processor", "date": "2026-01-02T03:04:05Z"}


def test_table_goes_between_its_marks(tmp_path):
    readme, records = tmp_path / "README.md", tmp_path / "engine.json"
    figures = {"machine": machine(), "records": [record((4, 3, 32), qnn=1e-4, pennylane=1.2e-2)]}
    records.write_text(json.dumps({"presets": {"figures": figures}}))
    readme.write_text("before\n<!-- engine-table -->\nold\n<!-- /engine-table -->\nafter\n")
    engine_report.write_report(records, readme, tmp_path / "engine.png")
    text = readme.read_text()
    assert text.startswith("before\n<!-- engine-table -->\n| (qubits, layers, batch) | qnn |")
    assert "| (4, 3, 32) | 100 µs | 12.0 ms | 120 times |" in text
    assert "1 thread on a processor, 2026-01-02; torch 1." in text
    assert text.endswith("<!-- /engine-table -->\nafter\n")
    assert "old" not in text
    readme.write_text("no marks")
    with pytest.raises(SystemExit, match="must hold <!-- engine-table -->"):
        engine_report.write_report(records, readme, tmp_path / "engine.png")
    records.write_text(json.dumps({"presets": {"cold": {}}}))
    with pytest.raises(SystemExit, match="must hold the preset figures or sweep; got cold"):
        engine_report.write_report(records, readme, tmp_path / "engine.png")


def test_picture_from_a_sweep(tmp_path):
    sweep = {
        "machine": machine(),
        "records": [
            record((p.n_qubits, p.n_layers, p.batch), qnn=1e-6 * 2**p.n_qubits, tensorcircuit=1e-5 * 2**p.n_qubits)
            for p in points.sweep()
        ],
    }
    records, picture = tmp_path / "engine.json", tmp_path / "images" / "engine.png"
    records.write_text(json.dumps({"presets": {"sweep": sweep}}))
    engine_report.write_report(records, tmp_path / "README.md", picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_unknown_contestants_are_refused(capsys):
    with pytest.raises(SystemExit):
        engine_perf.parse(["--names", "qnn,nobody"])
    assert "no contestant named 'nobody'; known: qnn, " in capsys.readouterr().err


@pytest.mark.slow
def test_one_command_measures_compares_and_records(tmp_path, capsys):
    path = tmp_path / "engine.json"
    names = ["qnn", "pennylane", *(["c-best"] if compiler() else []), "tensorcircuit"]
    arguments = ["--points", "3,2,4", "--rounds", "2", "--slice", "0.01", "--names", ",".join(names)]
    engine_perf.main([*arguments, "--json", str(path)])
    made = json.loads(path.read_text())["presets"]["figures"]
    (found,) = made["records"]
    assert set(found["results"]) | set(made["missing"]) == set(names)
    assert set(names) - {"tensorcircuit"} <= set(found["results"])
    assert found["point"] == {"n_qubits": 3, "n_layers": 2, "batch": 4}
    for result in found["results"].values():
        assert result["difference"] <= TOLERANCE
        assert 0 < result["min_s"] <= result["median_s"] < 10
        assert result["q25_s"] <= result["median_s"] <= result["q75_s"]
        assert len(result["rounds_s"]) == 2
    assert found["results"]["qnn"]["versions"]["torch"]
    assert made["settings"]["threads"] == made["machine"]["threads"] == 1
    assert made["roofline"]["peak_gflops"] > 0
    assert "PennyLane default.qubit" in capsys.readouterr().out


@pytest.mark.slow
def test_a_turn_that_takes_too_long_is_given_up():
    race = Race(["qnn"], 1, limit_s=0.01)  # less than its imports take
    found = race.run(Point(3, 2, 4), rounds=1, slice_s=0.01)
    race.close()
    assert found["results"] == {}
    assert found["errors"] == {"qnn": "longer than 0.01 s"}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
def test_memory_grows_with_what_is_computed():
    """Linux counts resident pages per thread and adds them up every 64: one row may seem to free some."""
    uncounted = 2 * 64 * 4096
    small, large = (isolated.memory(Point(12, 2, batch), 1)["above_idle_bytes"] for batch in (1, 512))
    assert -uncounted <= small < large - uncounted and large < 300e6


@pytest.mark.slow
def test_large_registers_run_and_failures_are_told():
    assert isolated.runs(Point(12, 1, 1), 1)["finite"]
    assert isolated._run("raise MemoryError('32 GiB')", [], 1) == {"error": "MemoryError: 32 GiB"}
