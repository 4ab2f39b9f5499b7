"""The report: a pure function of records, self-contained, and its sentences follow from the intervals."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest
from comparison_samples import make_record, make_records, make_study
from matplotlib.backends.backend_agg import FigureCanvasAgg
from scipy import stats

from qnn.comparison.figures import to_png
from qnn.comparison.quantities import count, memory, percent, points, ratio, seconds
from qnn.comparison.report import Report
from qnn.comparison.statistics import accuracy_interval, difference_interval

ALL = ("hybrid@statevector", "hybrid@aer", "mlp-matched", "mlp", "logistic")
EQUAL = dict.fromkeys(ALL, 0.85)


@pytest.fixture(scope="module")
def plain() -> Report:
    """Equal contestants, drawn once."""
    return report_of()


@pytest.fixture(scope="module")
def page(plain) -> str:
    return plain.html()


@pytest.fixture(scope="module")
def two_tables() -> Report:
    return report_of(tables=("full data", "shots and noise"))


def report_of(accuracies=EQUAL, names=ALL, n_test=360, **options) -> Report:
    study = make_study(names, **options)
    return Report(study, make_records(study, accuracies, n_test=n_test), "runs/example")


@pytest.mark.parametrize(
    ("hybrid", "decision", "words"),
    [
        (0.95, "better", "hybrid@statevector is more accurate than mlp-matched: "),
        (0.75, "worse", "hybrid@statevector is less accurate than mlp-matched: "),
        (0.852, "undecided", "contains 0"),
    ],
)
def test_the_verdict_follows_from_the_paired_interval(hybrid, decision, words):
    report = report_of({**EQUAL, "hybrid@statevector": hybrid})
    verdict, panel = report.verdicts[0], report.panels[0]
    assert verdict.decision == decision
    assert words in verdict.sentence
    assert ("Undecided" in verdict.sentence) == (decision == "undecided")
    interval = difference_interval(panel.row("hybrid@statevector").correct, panel.row("mlp-matched").correct)
    assert interval.decided == (decision != "undecided")
    assert f"95 % interval {points(interval.low)} to {points(interval.high)}" in verdict.sentence
    assert report.headline == verdict.sentence


def test_undecided_says_what_would_decide():
    assert re.search(r"to decide a true difference of \d+\.\d points", report_of().verdicts[0].sentence)


def test_one_seed_decides_nothing_however_large_the_difference():
    report = report_of({**EQUAL, "hybrid@statevector": 1.0, "mlp-matched": 0.2}, n_seeds=1)
    assert report.verdicts[0].decision == "undecided"
    assert "one seed, which says nothing about the spread between seeds" in report.headline
    assert "One seed only" in report.html()


def test_against_the_best_classical_one_the_interval_is_corrected():
    report = report_of({**EQUAL, "logistic": 0.9})
    panel = report.panels[0]
    corrected = difference_interval(
        panel.row("hybrid@statevector").correct, panel.row("logistic").correct, n_comparisons=3
    )
    text = report.verdicts[0].further[0]
    assert "Against the best of 3 classical contestants, logistic" in text
    assert f"{points(corrected.low)} to {points(corrected.high)} after correction for 3 comparisons" in text


def test_winners_curse_is_corrected_for():
    """Equal contestants, the best classical one picked afterwards: it is called different in at most 5 % of studies."""
    generator = np.random.default_rng(2)
    trials, called = 400, 0
    for _ in range(trials):
        hard = generator.random(200)
        tables = [(0.6 * hard + 0.4 * generator.random((3, 200)) < 0.75).astype(float) for _ in range(6)]
        best = max(tables[1:], key=np.mean)
        called += difference_interval(tables[0], best, n_comparisons=5).decided
    assert called / trials < 0.05 + 4 * np.sqrt(0.05 * 0.95 / trials)


def test_what_shots_cost_and_what_it_took_are_said():
    further = report_of().verdicts[0].further
    assert any("Against the exact hybrid@statevector with the same budget: hybrid@aer" in text for text in further)
    assert any("took 12 times as long as one of mlp-matched" in text and "circuits" in text for text in further)


@pytest.mark.parametrize(("names", "missing"), [(("mlp", "logistic"), "quantum"), (("hybrid@aer",), "classical")])
def test_a_question_that_is_not_asked_is_not_answered(names, missing):
    report = report_of(names=names)
    assert report.verdicts[0].decision == "not asked"
    assert f"there is no {missing} contestant" in report.headline


def test_a_control_that_fails_names_who_knows_too_much():
    study = make_study(("hybrid@statevector", "mlp"), n_seeds=5, shuffle_labels=True)
    generator = np.random.default_rng(0)
    leak = {"hybrid@statevector": 0.1, "mlp": 0.5}
    records = [make_record(cell, generator.random(300) < leak[cell.contestant.name]) for cell in study.cells()]
    verdict = Report(study, records).verdicts[0]
    assert verdict.decision == "control failed"
    assert "failed: mlp above chance" in verdict.sentence


def test_two_tables_and_tasks_are_judged_apart():
    report = report_of(tables=("full data", "shots and noise"), tasks=("digits", "iris"))
    assert [(v.table, v.task) for v in report.verdicts] == [
        ("full data", "digits"),
        ("full data", "iris"),
        ("shots and noise", "digits"),
        ("shots and noise", "iris"),
    ]
    assert report.headline == " ".join(verdict.sentence for verdict in report.verdicts[:2])


def test_the_report_is_a_function_of_the_records(plain, page):
    again = report_of()
    assert plain.markdown() == again.markdown()
    assert page == again.html()


def test_numbers_in_the_tables_are_those_of_the_records():
    report = report_of(n_test=200)
    row = report.panels[0].row("mlp")
    interval = accuracy_interval(row.correct)
    line = next(line for line in report.markdown().splitlines() if line.startswith("| mlp |"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    accuracy = np.mean([record.test_accuracy for record in row.records])
    assert cells[1] == percent(accuracy)
    assert cells[2] == f"{100 * interval.low:.1f} to {percent(interval.high)}"
    assert "322" in cells


def test_the_page_needs_nothing_else(plain, tmp_path):
    plain.write(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r"(src|href)\s*=\s*[\"'](?!data:)", page)
    assert not re.search(r"https?://|@import|url\((?!data:)", page)
    assert page.count("data:image/png;base64,") == 3
    assert page.index("Verdict") < page.index("<table") < page.index("<img")
    assert plain.headline in page.replace("&#39;", "'")


@pytest.mark.parametrize(
    "text",
    [
        "qnn compare --task digits --out runs/example",
        "cpu (Example 1000)",
        "none was used",
        "torch 2.6.0",
        "1024 shots per circuit",
        "Multilayer perceptron with as nearly as possible",
        "Satterthwaite",
        "MiB",
    ],
)
def test_the_page_says(page, text):
    assert text in page


def test_a_gpu_is_named_only_where_one_was_used():
    study = make_study()
    records = make_records(study, EQUAL)
    for record in records:
        if record.backend is None:
            record.measured["device"] = "cuda (NVIDIA Example)"
    page = Report(study, records).html()
    assert "<dt>classical models</dt><dd>cuda (NVIDIA Example)</dd>" in page
    assert "<dt>quantum models</dt><dd>cpu (Example 1000)</dd>" in page
    assert "none was used" not in page


def test_names_are_escaped():
    study = make_study()
    records = make_records(study, EQUAL)
    records[0].measured["device"] = "<script>alert(1)</script>"
    assert "<script>" not in Report(study, records).html()


def test_pictures_are_png_files_of_a_readable_size(two_tables, tmp_path):
    two_tables.write(tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["accuracy.png", "cost.png", "curves.png", "report.html", "table.md"]
    for name in ("accuracy", "cost", "curves"):
        content = (tmp_path / f"{name}.png").read_bytes()
        width, height = struct.unpack(">II", content[16:24])
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert width >= 1000 and height >= 400


def test_a_contestant_looks_the_same_in_every_picture(plain):
    colours = []
    for name in ("curves", "cost"):
        legend = plain.figures[name].legends[0]
        colours.append(
            {text.get_text(): line.get_color() for text, line in zip(legend.texts, legend.legend_handles, strict=True)}
        )
    assert colours[0] == colours[1]
    assert len(set(colours[0].values())) == len(ALL)


def test_intervals_in_the_picture_are_those_of_the_table():
    report = report_of(names=("hybrid@statevector", "mlp-matched"))
    axes = report.figures["accuracy"].axes[0]
    drawn = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    for row, (low, high) in zip(report.panels[0].rows, drawn, strict=True):
        assert (low, high) == (pytest.approx(100 * row.accuracy.low), pytest.approx(100 * row.accuracy.high))


def test_no_label_is_clipped(two_tables):
    for figure in two_tables.figures.values():
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        width, height = figure.get_size_inches() * figure.dpi
        for axes in figure.axes:
            if axes.axison:
                box = axes.get_tightbbox(canvas.get_renderer())
                assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1


def test_in_a_notebook_the_page_is_framed(plain):
    text = plain.embedded()
    assert text.startswith("<iframe srcdoc=") and "<style>" not in text


def test_one_epoch_and_one_panel_still_draw():
    study = make_study(n_seeds=1)
    records = make_records(study, EQUAL)
    for record in records:
        for name in record.curves:
            record.curves[name] = [0.5]
    assert len(to_png(Report(study, records).figures["curves"])) > 1000


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (percent(0.92345), "92.3\u202f%"),
        (points(-0.0123), "−1.2"),
        (points(0.0123), "+1.2"),
        (points(-0.0001), "0.0"),
        (seconds(0.0123), "0.012\u202fs"),
        (seconds(1.23), "1.2\u202fs"),
        (seconds(75.4), "75\u202fs"),
        (seconds(720), "12\u202fmin"),
        (memory(3 * 2**20), "3.0\u202fMiB"),
        (memory(3 * 2**29), "1.5\u202fGiB"),
        (count(0), "–"),
        (count(1149), "1\u202f149"),
        (count(5_510_000), "5.51\u202fmillion"),
        (count(2.5e9), "2.5\u202fbillion"),
        (ratio(0.94), "0.94"),
        (ratio(123.4), "123"),
    ],
)
def test_quantities(shown, expected):
    assert shown == expected


def test_student_quantile_is_wide_for_three_seeds():
    """A reminder in numbers of why three seeds that disagree decide little: 4.3 standard errors instead of 1.96."""
    assert stats.t.ppf(0.975, 2) > 4.3


def test_template_is_shipped_with_the_package():
    import qnn.comparison

    assert (Path(qnn.comparison.__file__).parent / "report.html").exists()
