"""The processes that torchrun would start, forked from one that has imported everything: a second or two each.

For scripts that tests start: a test's own process has threads, and must not be forked. `torchrun` itself is used in
test_cli_train.py.
"""

import json
import os
import socket
import sys
import traceback


def in_processes(n, work):
    """What `work()` returns, JSON data, in each of `n` processes that have the environment of torchrun's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    sys.stdout.flush()
    children = [_forked(rank, n, port, work) for rank in range(n)]
    told = []
    for child, reading in children:
        with open(reading) as text:
            told.append(text.read())
        assert os.waitpid(child, 0)[1] == 0, "a process failed by itself"
    return [json.loads(one) for one in told]


def _forked(rank, n, port, work):
    """Number of the process, and where its result can be read."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()}, MASTER_ADDR="127.0.0.1")
    try:
        with open(writing, "w") as told:
            told.write(json.dumps(work()))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
