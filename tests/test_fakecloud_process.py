"""The service as a process: options, the token, ends and new beginnings."""

import os
import re
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from fakecloud_here import payload

from qnn import fakecloud
from qnn.backends.fakecloud.service import FakeCloudService, Token
from qnn.errors import BackendUnavailableError
from qnn.fakecloud import Admin
from qnn.fakecloud.settings import Settings


@contextmanager
def command(*words, module="qnn", **environment):
    """`qnn fakecloud` with options; yields the process and the line that it prints."""
    clean = {name: value for name, value in os.environ.items() if name != "QNN_FAKECLOUD_TOKEN"}
    verb = ["qnn", "fakecloud"] if module == "qnn" else [module]
    process = subprocess.Popen(
        [sys.executable, "-m", *verb, *words], env=clean | environment,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def test_every_setting_is_an_option(tmp_path):
    changed = {
        "seed": 3, "latency_s": 0.001, "workers": 0, "seconds_per_job": 0.5, "order": "last", "tag_lag_s": 0.25,
        "id_lag_s": 0.125, "result_lag_s": 2.0, "max_wires": 5, "max_executions": 70, "max_pending": 9,
        "max_submissions_per_s": 100.0, "quota_s": 50.0, "own_randomness": True, "down_s": 0.01, "outage": "closed",
    }  # fmt: skip
    assert changed.keys() == Settings().as_json().keys()
    assert not any(changed[name] == default for name, default in Settings().as_json().items())
    words = [
        f"--{name.replace('_', '-')}" + (f"={value}" if value is not True else "") for name, value in changed.items()
    ]
    words += ["--fault", "submit_429=1,0", "--fault", "poll_503=0.5"]
    with command("--port=0", "--token=given", *words) as (_, line):
        found = Admin(line.strip(), "given").set()
    assert line.endswith("/unkeyed\n")  # by which clients know that it draws by itself
    assert found == changed | {"faults": {"submit_429": [1, 0], "poll_503": 0.5}}


def test_the_token_is_drawn_and_told_once_or_kept_in_a_file_or_given(tmp_path):
    file = tmp_path / "token"
    file.write_text("of before")
    with command("--port=0") as (_, line):
        url, token = re.fullmatch(r"(http://127\.0\.0\.1:\d+)  token: (\S{32})\n", line).groups()
        assert Admin(url, token).tags() == {}
    with command("--port=0", "--token-file", str(file), module="qnn.fakecloud") as (_, line):
        assert line.endswith(f"  token in {file}\n")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600 and file.read_text() != "of before"
        assert Admin(line.split()[0], file.read_text()).tags() == {}
    with command("--port=0", QNN_FAKECLOUD_TOKEN="of-the-environment") as (_, line):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+\n", line)
        assert Admin(line.strip(), "of-the-environment").tags() == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fault", "submit_429"], "`--fault` must be NAME=WHEN; got 'submit_429'"),
        (["--fault", "submit_428=1"], 'No fault named "submit_428"'),
        (["--token", "with blanks"], "`token` must be printable ASCII without blanks"),
        (["--token-file", "/proc/token"], '`--token-file` must be a file that can be written; "/proc/token" cannot'),
        (["--port", "99999"], "`--port` must be free on 127.0.0.1; got 99999"),
    ],
)
def test_options_that_cannot_be(words, message, capsys):
    from qnn.cli import main

    assert main(["fakecloud", "--port", "0", *words]) == 2
    assert capsys.readouterr().err.startswith(f"qnn: {message}")


def test_ctrl_c_ends_it():
    with command("--port=0") as (process, line):
        assert line
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr.read() == "\nqnn: interrupted\n"


def test_a_service_that_is_killed_comes_back_with_its_jobs(tmp_path):
    """SIGKILL with jobs in the queue; on the same port they are found, and none is there twice."""
    store = tmp_path / "jobs.jsonl"
    with fakecloud.start(store=store, workers=0) as first:
        service = FakeCloudService(first.url, Token("shared"))
        assert repr(first) == f"<fake cloud at {first.url}>" and first.token not in repr(vars(service))
        service = FakeCloudService(first.url, Token(first.token))
        jobs = {tag: service.submit(payload(), tag) for tag in ("a", "b")}
        first.kill()
        with pytest.raises(BackendUnavailableError, match="ConnectionRefusedError"):
            service.find("a")
        port = int(first.url.rpartition(":")[2])
        with fakecloud.start(port=port, store=store, token=first.token, faults={"job_fails": 1}) as second:
            assert {tag: service.find(tag) for tag in jobs} == jobs
            assert second.tags() == {"a": 1, "b": 1}


def test_a_start_that_fails_says_why(tmp_path):
    with (
        pytest.raises(BackendUnavailableError, match="The fake cloud did not start: qnn: `store` must be a file that"),
        fakecloud.start(store=tmp_path),
    ):
        pass
    with pytest.raises(BackendUnavailableError, match='No setting named "worker"'), fakecloud.start(worker=1):
        pass


def test_it_ends_with_the_process_that_started_it():
    program = (
        "import os, signal, sys\nsys.argv[0] = '-m'\nfrom qnn import fakecloud\n"
        "with fakecloud.start() as cloud:\n"
        "    print(cloud.url, cloud.token, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    service, until = FakeCloudService(*done.stdout.split()[:1], Token(done.stdout.split()[1])), time.monotonic() + 20
    with pytest.raises(BackendUnavailableError, match="Connection"):
        while time.monotonic() < until:
            service.find("a")
            time.sleep(0.05)
