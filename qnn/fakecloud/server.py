"""HTTP on loopback: bearer token, log, routes."""

from __future__ import annotations

import hmac
import json
import socketserver
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

from qnn.fakecloud.requests import Closed, Cloud, Refused

HOST = "127.0.0.1"
_LARGEST = 2**30  # bytes of a request


class Server(ThreadingHTTPServer):
    """The service on a port of this machine.

    Args:
        cloud: what answers.
        token: that clients must show.
        port: 0 takes a free one.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, cloud: Cloud, token: str, port: int) -> None:
        self.cloud = cloud
        self.token = token.encode()
        super().__init__((HOST, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking for the name of this machine, which may take seconds."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is gone is no error of the service; others are told to the client, see `_Handler`."""

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://{HOST}:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    timeout = 60

    @property
    def _cloud(self) -> Cloud:
        return cast(Server, self.server).cloud

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _LARGEST:
            self._send(400, {"error": "a request must have a length of 1 GiB at most"})
            return
        self._answer(self.rfile.read(length))

    def _answer(self, body: bytes) -> None:
        address = urlsplit(self.path)
        words = [word for word in address.path.split("/") if word]
        line: dict[str, Any] = {
            "at": time.time(), "method": self.command, "path": self.path, "bytes": len(body), "tag": None,
            "authorized": self._is_authorized(), "status": None, "fault": None,
        }  # fmt: skip
        self._cloud.log.append(line)
        try:
            if not line["authorized"]:
                raise Refused(401, "the token is wrong, or there is none")
            data = self._parsed(body)
            line["tag"] = data.get("tag", parse_qs(address.query).get("tag", [None])[0])
            answer = self._routed(self.command, words, line["tag"], data)
            line["status"] = 200
            self._send(200, answer)
        except Refused as refused:
            line["status"], line["fault"] = refused.status, refused.fault
            self._send(refused.status, {"error": str(refused)})
        except Closed as closed:
            line["fault"] = closed.fault
            if closed.answer is not None:
                self._send(200, closed.answer, cut=True)
        except OSError:
            raise
        except Exception as error:
            line["status"] = 500
            self._send(500, {"error": repr(error)})

    def _is_authorized(self) -> bool:
        given = self.headers.get("Authorization", "").encode("latin-1", "replace")
        return hmac.compare_digest(given, b"Bearer " + cast(Server, self.server).token)

    def _parsed(self, body: bytes) -> dict[str, Any]:
        try:
            data = json.loads(body) if body else {}
        except ValueError as error:
            raise Refused(400, f"not JSON: {error}") from error
        if not isinstance(data, dict):
            raise Refused(400, "not a JSON object")
        return data

    def _routed(self, method: str, words: list[str], tag: str | None, data: dict[str, Any]) -> Any:
        """What is answered; tests' own questions are answered at once, also while the service is down."""
        cloud = self._cloud
        match (method, *words):
            case "POST", "faults":
                return cloud.configure(data)
            case "GET", "faults":
                return cloud.configure({})
            case "GET", "log":
                return {"requests": list(cloud.log)}
            case "GET", "tags":
                return cloud.jobs.per_tag()
            case "GET", "jobs", job_id, "payload":
                return cloud.payload(job_id)
        time.sleep(cloud.settings.latency_s)
        cloud.check_up()
        match (method, *words):
            case "GET", "device":
                return cloud.device()
            case "POST", "jobs":
                return cloud.submit(data)
            case "GET", "jobs":
                return cloud.listing(tag)
            case "GET", "jobs", job_id:
                return cloud.look(job_id)
            case "GET", "jobs", job_id, "result":
                return cloud.result(job_id)
            case "POST", "jobs", job_id, "cancel":
                return cloud.cancel(job_id)
        raise Refused(404, f"no such address: {method} {self.path}")

    def _send(self, status: int, answer: Any, cut: bool = False) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr: the log is at /log."""
