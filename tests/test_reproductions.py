"""Published results: each command's quick run agrees with its paper, records hold, the page is what the records say."""

# ruff: noqa: E402

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "reproductions"
sys.path.insert(0, str(FOLDER))

import barren_plateau
import circle_classifier
import document
import reproduction
from matplotlib.figure import Figure
from reproduction import Claim, Record, Table

RECORDS = [json.loads((FOLDER / "results" / f"{name}.json").read_text()) for name in document.ORDER]


@pytest.fixture(params=RECORDS, ids=document.ORDER)
def record(request):
    return request.param


def test_a_quick_run_agrees_with_the_paper_and_compares_what_the_record_compares(record):
    quick = importlib.import_module(record["name"]).reproduce(True)
    published = {claim["quantity"]: claim["published"] for claim in record["claims"] if claim["relation"] == "within"}
    for claim in quick.claims:
        assert claim.holds, claim
        if claim.relation == "within" and not claim.quantity.endswith("beyond L"):  # these say up to which L
            assert published[claim.quantity] == claim.published


def test_every_kept_claim_holds_and_its_picture_can_be_drawn(record):
    names = ("quantity", "published", "ours", "allowed", "digits", "published_digits", "relation")
    for kept in record["claims"]:
        claim = Claim(*(kept[name] for name in names))
        assert claim.holds
        assert claim.cells() == kept["cells"]
    figure = importlib.import_module(record["name"]).draw(record["data"])
    assert all(axes.lines for axes in figure.axes)
    assert (ROOT / "docs" / "images" / f"{record['name']}.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_is_what_the_records_say():
    page = (ROOT / "docs" / "reproductions.md").read_text()
    assert page == document.document(FOLDER / "results")
    assert all(record["command"] in page for record in RECORDS)


@pytest.mark.parametrize("kind", ["global", "local"])
def test_the_interval_around_a_variance_follows_from_the_closed_form(kind):
    """Moments by a rectangle rule, which is exact for trigonometric polynomials."""
    n, angles = 3, np.arange(64) * np.pi / 32
    first, rest = 0.5 * np.sin(angles), np.cos(angles / 2) ** 2
    others = (rest[:, None] * rest[None, :]) if kind == "global" else np.full((1, 1), 1 / n)
    squares = (first[:, None, None] * others) ** 2
    np.testing.assert_allclose(np.mean(squares), barren_plateau.published(kind, n))
    np.testing.assert_allclose(np.std(squares) / np.sqrt(50), barren_plateau.standard_error(kind, n, 50))


def test_the_cost_and_the_start_decide_what_is_learned():
    overlap, squared = (circle_classifier.fitted(kind, 1, 30) for kind in ("fidelity", "squared fidelity"))
    assert abs(overlap.test_accuracy - 0.5) < 0.02
    assert squared.test_accuracy > 0.7
    assert circle_classifier.fitted("fidelity", 1, 30, nudge=0).cost == pytest.approx(overlap.cost, abs=1e-6)
    assert circle_classifier.fitted("fidelity", 1, 31).cost != pytest.approx(overlap.cost, abs=1e-3)


@pytest.mark.parametrize(
    ("claim", "holds"),
    [
        (Claim("a", 0.5, 0.52, 0.021), True),
        (Claim("a", 0.5, 0.48, 0.019), False),
        (Claim("a", 10, 9, 0, relation="below"), True),
        (Claim("a", 10, 10, 5, relation="below"), False),
        (Claim("a", 0.5, float("nan"), 1.0), False),
    ],
)
def test_a_claim_holds_or_does_not(claim, holds):
    assert claim.holds is holds
    assert claim.cells()[-1] == ("yes" if holds else "NO")


@pytest.mark.parametrize("ours", [0.5, 0.6])
@pytest.mark.parametrize("quick", [True, False])
def test_a_command_prints_both_figures_writes_unless_quick_and_fails_with_its_claims(
    ours, quick, tmp_path, monkeypatch, capsys
):
    def reproduce(asked):
        assert asked is quick
        claims, tables = [Claim("accuracy", 0.5, ours, 0.02)], [Table("More.", ["layers", "|c|"], [["1", "0.25"]])]
        words = {"title": "T", "paper": "P", "doi": "10.0/0", "says": "S.", "caption": "C", "remarks": ["R."]}
        return Record("reuploading", **words, done=["D."], claims=claims, data={}, tables=tables)

    for name, path in (("RESULTS", "results"), ("IMAGES", "images"), ("DOCUMENT", "page.md")):
        monkeypatch.setattr(reproduction, name, tmp_path / path)
    monkeypatch.setattr(sys, "argv", ["reuploading.py", *(["--quick"] if quick else [])])
    assert reproduction.command("words", reproduce, lambda data: Figure()) == (0 if ours == 0.5 else 1)
    printed = capsys.readouterr().out
    assert f"accuracy      0.500  {ours:.3f}    0.020     {'yes' if ours == 0.5 else ' NO'}" in printed
    if quick:
        assert list(tmp_path.iterdir()) == []
        return
    page = (tmp_path / "page.md").read_text()
    assert f"| accuracy | 0.500 | {ours:.3f} | 0.020 | {'yes' if ours == 0.5 else 'NO'} |" in page
    assert r"| layers | \|c\| |" in page
    assert f"{1 if ours == 0.5 else 0} of 1 agree." in page
    assert (tmp_path / "images" / "reuploading.png").exists()
