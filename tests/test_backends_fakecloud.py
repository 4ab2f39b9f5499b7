"""The fake cloud as a backend, in a process of its own: contract, the bits of the embedded simulator, secrets."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from contracts.backend_contract import SAMPLED, BackendContract, equal_rows, keys
from shown_errors import shown

from qnn import QuantumLayer, _meter, fakecloud
from qnn._run import run_scope
from qnn.backends import Angles, FakeCloud, Statevector, from_specification, resolve
from qnn.backends.fakecloud import survey
from qnn.circuits.circuit import Circuit
from qnn.circuits.observables import Expectation, pauli
from qnn.cli import main
from qnn.errors import (
    ArgumentError,
    AuthenticationError,
    BackendUnavailableError,
    BudgetError,
    CircuitRefusedError,
    DtypeError,
    JobFailedError,
)

TOKEN = "planted-4f1c9be2-secret"


@pytest.fixture(scope="module", autouse=True)
def cloud(tmp_path_factory):
    """One service for the module, whose token is in the environment."""
    with fakecloud.start(token=TOKEN) as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("QNN_FAKECLOUD_TOKEN", TOKEN)
        TestFakeCloud.options = {
            "device": running.url,
            "journal": str(tmp_path_factory.mktemp("journal") / "jobs.sqlite3"),
            "poll_interval_s": 0.005,
        }
        yield running


@pytest.fixture
def options():
    """Of a backend; each test is a run of its own."""
    with run_scope():
        yield TestFakeCloud.options


class TestFakeCloud(BackendContract):
    seeds = range(4)
    options: dict

    def make(self):
        return FakeCloud(**self.options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shots", [None, 100])
def test_the_bits_of_the_embedded_simulator(options, dtype, shots):
    """Values, variances and counts, in one job; and by the payload, not by the run."""
    angles = Angles(torch.tensor([0.6], dtype=dtype), torch.linspace(0, 3, 7, dtype=dtype)[:, None])
    drawn = None if shots is None else keys(7)
    found, expected = (
        backend.compile(SAMPLED).run(angles, shots=shots, keys=drawn)
        for backend in (FakeCloud(**options), Statevector())
    )
    assert torch.equal(found.values, expected.values) and found.values.dtype == dtype
    assert found.shots == shots
    if shots:
        assert torch.equal(found.variance, expected.variance) and found.variance.dtype == dtype
        assert all(map(torch.equal, found.counts, expected.counts))


def test_a_step_of_a_layer_is_one_job(options, cloud):
    """Forward and shifted rows together; outputs and gradients are those of the embedded simulator."""
    found = []
    before = cloud.tags()
    for backend in (FakeCloud(**options), Statevector()):
        layer = QuantumLayer(2, 1, backend=backend, gradient="parameter-shift", shots=64, seed=5)
        with torch.no_grad():
            layer.weights.fill_(0.4)
        values = layer(torch.tensor([[0.3, 0.8], [1.0, -0.2]]))
        values.sum().backward()
        found.append((values.detach(), layer.weights.grad))
    assert all(map(torch.equal, *found)) and found[0][1].abs().max() > 0.01
    new = {tag: n for tag, n in cloud.tags().items() if tag not in before}
    assert list(new.values()) == [1]


def test_rows_beyond_the_limit_are_further_jobs(options):
    """Three settings of 50 shots for each of 7 rows: 3 rows fit into 450 executions."""
    executable = FakeCloud(**options, max_executions=450).compile(SAMPLED)
    assert executable.circuits_per_row(50) == 3
    assert [executable.jobs_for(n, 50) for n in (0, 3, 7)] == [0, 1, 3]
    with _meter.measure() as usage, _meter.budget(max_seconds=1.0) as left:
        found = executable.run(equal_rows(7), shots=50, keys=keys(7))
    assert usage == _meter.Usage(circuits=21, shots=1050, jobs=3)
    assert left.used["seconds"] == pytest.approx(3 * 0.01 + 1050 * 1e-4) == pytest.approx(executable.seconds_for(7, 50))
    assert torch.equal(found.values, Statevector().compile(SAMPLED).run(equal_rows(7), shots=50, keys=keys(7)).values)
    with pytest.raises(ArgumentError, match=r"`shots` must be at most 150 for this circuit on fakecloud:.*got 151"):
        executable.run(equal_rows(1), shots=151, keys=keys(1))


def test_budgets_in_seconds_stop_before_the_job(options, cloud):
    executable = FakeCloud(**options).compile(SAMPLED)
    n_jobs = len(cloud.jobs())
    with _meter.budget(max_seconds=0.05), pytest.raises(BudgetError, match=r"of 0\.05 seconds does not suffice"):
        executable.run(equal_rows(2), shots=100, keys=keys(2))  # 0.01 + 600e-4
    assert len(cloud.jobs()) == n_jobs


def test_constants_and_no_rows_are_no_jobs(options, cloud):
    n_jobs = len(cloud.jobs())
    backend = FakeCloud(**options)
    constant = backend.compile(Circuit(1, (), (Expectation(pauli((), 0.75)),)))
    angles = Angles(torch.zeros(0), torch.zeros(2, 0))
    for sampling in ({}, {"shots": 10, "keys": keys(2)}):
        assert constant.run(angles, **sampling).values.tolist() == [[0.75], [0.75]]
    assert backend.compile(SAMPLED).run(equal_rows(0), shots=10, keys=keys(0)).values.shape == (0, 7)
    assert len(cloud.jobs()) == n_jobs


def test_keys(options):
    """Needed by a service that honours them; without them every run draws its own."""
    with pytest.raises(ArgumentError, match="`keys` must be given to sample shots"):
        FakeCloud(**options).compile(SAMPLED).run(equal_rows(1), shots=10)
    own = FakeCloud(**options, keyed=False)
    assert not own.capabilities.keyed and FakeCloud(**options).capabilities.keyed
    found = []
    for _ in range(2):
        with run_scope():
            found.append(own.compile(SAMPLED).run(equal_rows(4), shots=1000, keys=keys(4)).values)
    assert not torch.equal(*found)
    own.compile(SAMPLED).run(equal_rows(1), shots=10)


def test_a_service_that_draws_by_itself_is_named_by_its_url(cloud, tmp_path, capsys, monkeypatch):
    """So that `qnn train` and `qnn compare`, which take no options of backends, can use it, too."""
    monkeypatch.setenv("QNN_JOURNAL", str(tmp_path / "jobs.sqlite3"))
    backend = resolve(f"{cloud.name}/unkeyed")
    assert not backend.capabilities.keyed and backend.specification() == {"name": f"{cloud.name}/unkeyed"}
    assert not from_specification(backend.specification()).keyed
    circuit = Path(__file__).parent.parent / "circuits" / "bell.qasm"
    words = ["circuit", "run", str(circuit), "--shots", "50", "--backend"]
    cloud.set(own_randomness=True)
    try:
        assert main([*words, cloud.name]) == 2
        assert "use its URL with /unkeyed behind it, or keyed=False (status 400)" in capsys.readouterr().err
        assert main([*words, backend.name]) == 0
        assert f"bell.qasm on {backend.name}: 50 shots\n" in capsys.readouterr().out
    finally:
        cloud.set(own_randomness=False)


def test_the_limits_of_the_service(options):
    with pytest.raises(CircuitRefusedError, match=r"the circuit has 25 wires, and the machine 24 \(status 400\)"):
        FakeCloud(**options).compile(Circuit(25, (), (Expectation(pauli("Z")),))).run(
            Angles(torch.zeros(0), torch.zeros(1, 0)), shots=1, keys=keys(1)
        )


def test_names_options_and_specification(options, cloud):
    backend = resolve(cloud.name)
    assert backend.name == cloud.name == f"fakecloud:{cloud.url}" and resolve(cloud.name) is backend
    assert backend.specification() == {"name": cloud.name}
    chosen = {
        "keyed": False, "max_executions": 5, "timeout_s": 3.0, "retry_s": 0.0, "journal": "/nowhere/a.sqlite3",
        "reuse_exact": True, "poll_interval_s": 0.5, "lookup_s": 2.0, "max_parallel": 4, "request_timeout_s": 9.0,
    }  # fmt: skip
    backend = resolve(cloud.name, token=TOKEN, **chosen)
    assert backend.specification() == {"name": cloud.name, **chosen}
    again = from_specification(backend.specification())
    assert again.policy == backend.policy and again.policy.timeout_s == 3.0 and again.policy.reuse_exact
    service = again.service()
    assert (service.poll_interval_s, service.lookup_s, service.max_parallel) == (0.5, 2.0, 4)
    with pytest.raises(ArgumentError, match="has no option `noise`"):
        resolve(cloud.name, noise=0.1)
    with pytest.raises(ArgumentError, match="`backend` must name a device after the colon"):
        resolve("fakecloud")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "https://127.0.0.1:1"}, ArgumentError, "got one that does not begin with http://. Write http"),
        (
            {"device": "http://example.org:80"},
            ArgumentError,
            "`device` must be the URL of a .* got one of another mach",
        ),
        ({"device": "http://127.0.0.1"}, ArgumentError, "got one without a port. Write http://127.0.0.1:8137, as"),
        ({"device": "http://127.0.0.1:0"}, ArgumentError, "got one without a port"),
        ({"device": "http://127.0.0.1:99999999"}, ArgumentError, "got one whose port is no number from 1 to 65535"),
        ({"device": f"http://{TOKEN}@127.0.0.1:80"}, ArgumentError, "got one with more than a host and a port"),
        ({"device": "http://127.0.0.1:80/jobs"}, ArgumentError, "got one with a path"),
        ({"device": 8137}, ArgumentError, "`device` must be the URL .* got something that is no URL"),
        ({"token": f"{TOKEN}\r\n"}, ArgumentError, "`token` must be printable ASCII without blanks; got something"),
        ({"token": ""}, ArgumentError, "`token` must be printable ASCII"),
        ({"keyed": 1}, ArgumentError, "`keyed` must be True or False; got 1"),
        ({"max_executions": 0}, ArgumentError, "`max_executions` must be a positive whole number; got 0"),
        ({"max_parallel": 1.5}, ArgumentError, "`max_parallel` must be a positive whole number; got 1.5"),
        ({"poll_interval_s": 0}, ArgumentError, "`poll_interval_s` must be a positive number of seconds; got 0"),
        ({"lookup_s": "1"}, ArgumentError, "`lookup_s` must be a positive number of seconds; got '1'"),
        ({"request_timeout_s": -1}, ArgumentError, "`request_timeout_s` must be a positive number of seconds"),
        ({"timeout_s": 0}, ArgumentError, "`timeout_s` must be a positive number of seconds"),
        ({"journal": 5}, DtypeError, "`journal` must be a path"),
    ],
)
def test_options_that_cannot_be(options, error, message):
    with pytest.raises(error, match=message) as caught:
        FakeCloud(**{"device": "http://127.0.0.1:8137", **options})
    assert TOKEN not in str(caught.value)


def test_doctor_says_how_to_get_one(monkeypatch):
    (with_token,) = survey()
    monkeypatch.delenv("QNN_FAKECLOUD_TOKEN")
    (without,) = survey()
    assert with_token.usable and not without.usable and TOKEN not in with_token.note
    assert without.note.endswith("start one with `qnn fakecloud`, and set QNN_FAKECLOUD_TOKEN")


def test_the_token_is_nowhere(cloud, tmp_path, monkeypatch):
    """Not in what is shown, pickled or written, nor in errors and the variables of their frames."""
    monkeypatch.delenv("QNN_FAKECLOUD_TOKEN")
    journal = tmp_path / "jobs.sqlite3"
    backend = FakeCloud(cloud.url, token=TOKEN, journal=str(journal), retry_s=0.0)
    layer = QuantumLayer(1, 1, backend=backend, shots=10, seed=0)
    copy.deepcopy(layer)(torch.zeros(1))  # a copy in this process may use it
    places = [repr(backend), repr(backend.__dict__), repr(layer), str(layer.explain()), str(backend.specification())]
    places += [repr(vars(backend.service())), pickle.dumps(backend).decode("latin-1"), repr(cloud)]
    places += [path.read_bytes().decode("latin-1") for path in tmp_path.iterdir()]
    assert any("sqlite" in place.lower() for place in places)
    for faults, kind in (
        ({"submit_lost": [1]}, BackendUnavailableError),
        ({"submit_503": [1]}, BackendUnavailableError),
    ):
        cloud.set(faults=faults)
        with pytest.raises(kind) as caught:
            layer(torch.ones(1))
        places.append(shown(caught.value))
    unpickled = pickle.loads(pickle.dumps(backend)).service()
    with pytest.raises(AuthenticationError, match="Set QNN_FAKECLOUD_TOKEN") as caught:
        unpickled.find("a")
    places.append(shown(caught.value))
    places.append(str(cloud.log()))
    assert [place for place in places if TOKEN in place] == []


def test_a_wrong_token_is_not_shown_either(cloud, monkeypatch):
    service = FakeCloud(cloud.url, token="planted-too").service()
    with pytest.raises(AuthenticationError, match=r"the token is wrong, .*\(status 401\)") as caught:
        service.find("a")
    assert "planted-too" not in shown(caught.value)
    monkeypatch.setenv("QNN_FAKECLOUD_TOKEN", "planted\nthree")
    with pytest.raises(ArgumentError, match="`token` must be printable ASCII") as caught:
        FakeCloud(cloud.url).service().find("a")
    assert "three" not in str(caught.value)


def test_a_slow_answer_and_a_service_that_is_gone(cloud):
    cloud.set(latency_s=0.5)
    try:
        with pytest.raises(BackendUnavailableError, match="TimeoutError"):
            FakeCloud(cloud.url, request_timeout_s=0.05).service().find("a")
        assert FakeCloud(cloud.url, request_timeout_s=20).service().find("a") is None
    finally:
        cloud.set(latency_s=0)
    with fakecloud.start() as other:
        other.kill()
        with pytest.raises(
            BackendUnavailableError, match=r"ConnectionRefusedError.*`qnn fakecloud` if it does not run"
        ):
            FakeCloud(other.url).service().state("a")


def test_results_that_do_not_fit(cloud, options):
    """Of another shape than the call's: refused by name, with nothing of it used."""
    backend = FakeCloud(**options)
    backend.compile(SAMPLED).run(equal_rows(2))
    job = cloud.jobs()[-1]["id"]
    with pytest.raises(
        JobFailedError, match=r"must be arrays \[\['float64', \[3, 7\]\]\]; got \[\['float64', \[2, 7\]\]\]"
    ):
        backend.service().result(job, {"arrays": [["float64", [3, 7]]]})
    values = backend.service().result(job, {"arrays": [["float64", [2, 7]]]})[0]
    assert np.isfinite(values).all()
