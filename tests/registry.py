"""A schema registry on loopback that speaks the interface of Confluent's, as far as clients use it:
subjects, versions, ids, compatibility and config.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections import deque
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import unquote, urlsplit

from fastavro.schema import to_parsing_canonical_form

from schemas.compatibility import SchemaError, conflicts

FIRST_ID = 101


class Answer(NamedTuple):
    """A status, and what goes out as JSON (bytes as they are)."""

    status: int
    body: Any


def refusal(status: int, code: int, message: str) -> Answer:
    return Answer(status, {"error_code": code, "message": message})


class Registry:
    """Serves while its context is open. What is in `script` is answered first, whatever was asked;
    `asked` has the method and path of each request. `stop` and `start` are an outage: the port
    stays."""

    def __init__(self, user: str = "", password: str = "", first_id: int = FIRST_ID) -> None:
        self._pair = (user, password)
        self._ids: dict[int, dict[str, Any]] = {}
        self._next_id = first_id
        self._subjects: dict[str, list[int]] = {}
        self._levels: dict[str, str] = {}
        self._lock = threading.Lock()
        self.level = "FULL_TRANSITIVE"
        self.script: deque[Answer] = deque()
        self.asked: list[tuple[str, str]] = []
        self.port = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Its address, with the user and the password if there are any."""
        user, password = self._pair
        return f"http://{f'{user}:{password}@' if user else ''}127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, on the port of before if there was one."""
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle(self) -> None:
                with suppress(ConnectionError):  # a client that goes is no error
                    super().handle()

            def do_GET(self) -> None:
                registry.serve(self)

            do_POST = do_PUT = do_DELETE = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self._connections: set[BaseHTTPRequestHandler] = set()

    def stop(self) -> None:
        """Take no connection any more, and close those that are open."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for request in self._connections:
            with suppress(OSError):  # it is closed already
                request.connection.shutdown(socket.SHUT_RDWR)

    def put(self, number: int, text: str, **more: Any) -> None:
        """Have a schema under an id, whatever it is."""
        self._ids[number] = {"schema": text, **more}

    def add(self, subject: str, text: str) -> int:
        """Register a schema, as a request would; its id."""
        answer = self._register(subject, {"schema": text})
        assert answer.status == 200, answer
        return int(answer.body["id"])

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request."""
        self._connections.add(request)
        size = int(request.headers.get("Content-Length") or 0)
        raw = request.rfile.read(size)
        with self._lock:
            self.asked.append((request.command, request.path))
            if self.script:
                answer = self.script.popleft()
            elif not self._is_allowed(request.headers.get("Authorization") or ""):
                answer = refusal(401, 401, "Unauthorized")
            else:
                answer = self._answer(request.command, request.path, json.loads(raw or b"{}"))
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        request.send_response(answer.status)
        request.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def _is_allowed(self, given: str) -> bool:
        pair = ":".join(self._pair)
        return pair == ":" or given == f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _answer(self, method: str, target: str, body: dict[str, Any]) -> Answer:
        match (method, *map(unquote, urlsplit(target).path.strip("/").split("/"))):
            case "GET", "subjects":
                return Answer(200, sorted(self._subjects))
            case "GET", "schemas", "types":
                return Answer(200, ["AVRO"])
            case "GET", "schemas", "ids", number:
                found = self._ids.get(int(number))
                missing = refusal(404, 40403, f"Schema {number} not found")
                return missing if found is None else Answer(200, found)
            case "GET", "subjects", subject, "versions":
                return self._of(subject, lambda ids: list(range(1, len(ids) + 1)))
            case "GET", "subjects", subject, "versions", version:
                return self._version(subject, version)
            case "POST", "subjects", subject:
                return self._look_up(subject, body)
            case "POST", "subjects", subject, "versions":
                return self._register(subject, body)
            case "POST", "compatibility", "subjects", subject, "versions", *_:
                found = self._conflicts(subject, body["schema"])
                return Answer(200, {"is_compatible": not found, "messages": found})
            case (("GET" | "PUT"), "config", *rest):
                return self._config(method, "".join(rest), body)
        return refusal(404, 404, "HTTP 404 Not Found")

    def _of(self, subject: str, make: Any) -> Answer:
        if subject not in self._subjects:
            return refusal(404, 40401, f"Subject '{subject}' not found.")
        return Answer(200, make(self._subjects[subject]))

    def _version(self, subject: str, version: str) -> Answer:
        ids = self._subjects.get(subject, [])
        number = len(ids) if version == "latest" else int(version)
        if not 1 <= number <= len(ids):
            return self._of(subject, None) if not ids else refusal(404, 40402, "not found")
        return Answer(200, self._described(subject, ids[number - 1]))

    def _described(self, subject: str, number: int) -> dict[str, Any]:
        version = self._subjects[subject].index(number) + 1
        return {"subject": subject, "id": number, "version": version, **self._ids[number]}

    def _look_up(self, subject: str, body: dict[str, Any]) -> Answer:
        if subject not in self._subjects:
            return refusal(404, 40401, f"Subject '{subject}' not found.")
        number = self._id_of(body["schema"])
        if number not in self._subjects[subject]:
            return refusal(404, 40403, "Schema not found")
        return Answer(200, self._described(subject, number))

    def _register(self, subject: str, body: dict[str, Any]) -> Answer:
        try:
            found = self._conflicts(subject, body["schema"])
        except SchemaError as error:
            return refusal(422, 42201, str(error))
        if found:
            return refusal(409, 409, f"Schema being registered is incompatible: {found[0]}")
        number = self._id_of(body["schema"])
        if number is None:
            number, self._next_id = self._next_id, self._next_id + 1
            # it gives back a form of its own, not what was sent
            self._ids[number] = {"schema": json.dumps(json.loads(body["schema"]), sort_keys=True)}
        ids = self._subjects.setdefault(subject, [])
        if number not in ids:
            ids.append(number)
        return Answer(200, {"id": number})

    def _id_of(self, text: str) -> int | None:
        schema = json.loads(text)
        canonical = to_parsing_canonical_form(schema)
        for number, known in self._ids.items():
            other = json.loads(known["schema"])
            if other == schema and to_parsing_canonical_form(other) == canonical:
                return number
        return None

    def _conflicts(self, subject: str, text: str) -> list[str]:
        try:
            new = json.loads(text)
        except ValueError as error:
            raise SchemaError(str(error)) from error
        kept = [
            json.loads(self._ids[number]["schema"]) for number in self._subjects.get(subject, [])
        ]
        if self._levels.get(subject, self.level) == "NONE":
            kept = []
        versions = [(f"version {n}", schema) for n, schema in enumerate(kept, 1)]
        return [str(each) for each in conflicts([*versions, ("the new one", new)])]

    def _config(self, method: str, subject: str, body: dict[str, Any]) -> Answer:
        if method == "PUT":
            level = body["compatibility"]
            if subject:
                self._levels[subject] = level
            else:
                self.level = level
            return Answer(200, {"compatibility": level})
        level = self._levels.get(subject) if subject else self.level
        if level is None:
            return refusal(404, 40408, f"Subject '{subject}' does not have a level of its own")
        return Answer(200, {"compatibilityLevel": level})
