"""`faust -A topology worker`, as Faust's users know it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from connectors.stack.ports import reserve

ROOT = Path(__file__).parents[2]
READY_SECONDS = 90


def fetch(url: str, accept: str = "*/*") -> tuple[int, bytes]:
    request = urllib.request.Request(url, headers={"Accept": accept})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


@pytest.mark.parametrize(
    ("app", "topics"),
    [
        (
            "topology",
            {"posts", "engagements", "follows", "users", "by-post", "by-user", "by-source"},
        ),
        ("topology:views", {"timeline-writes", "view.posts", "view.counters"}),
    ],
)
def test_worker(environment: dict[str, str], tmp_path: Path, app: str, topics: set[str]) -> None:
    port = reserve(16_066)
    log = tmp_path / "worker.log"
    command = [sys.executable, "-m", "faust", "-A", app, "worker", "--web-port", str(port.number)]
    with log.open("wb") as output:
        worker = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    url = f"http://127.0.0.1:{port.number}"
    try:
        deadline = time.monotonic() + READY_SECONDS
        while fetch(f"{url}/readyz/")[0] != 200:
            assert worker.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)

        status, body = fetch(f"{url}/")
        assert (status, json.loads(body)) == (200, {"status": "OK"})

        status, body = fetch(f"{url}/stages/")
        assert status == 200
        stages = json.loads(body)
        assert topics <= stages.keys()
        assert all(stage["partitions"] == list(range(8)) for stage in stages.values())

        status, body = fetch(f"{url}/stages/", "text/html,*/*;q=0.8")
        assert status == 200
        assert body.startswith(b"<!doctype html>")
        assert all(f"<td>{topic}</td>".encode() in body for topic in stages)
        links = re.findall(r"href='([^']+)'", body.decode())
        assert len(links) == 5
        assert {fetch(f"{url}{link}")[0] for link in links} == {200}
        assert (
            json.loads(fetch(f"{url}/stages/?format=json", "text/html")[1]).keys() == stages.keys()
        )
        status, body = fetch(f"{url}/topology/")
        assert status == 200
        assert all(f">{topic}<".encode() in body for topic in stages)

        restores = [stage["restores"] for stage in stages.values()]
        if app == "topology":
            assert all(each["0"]["percent"] == 100 for each in restores)
        listed = {table["name"] for table in json.loads(fetch(f"{url}/table/")[1])}
        assert ("by-post.react" in listed) == (app == "topology")

        status, body = fetch(f"{url}/metrics/")
        assert status == 200
        assert b"headrace_stage_records_total" in body
        assert f'headrace_stage_lag{{topic="{min(topics)}"}}'.encode() in body
        assert b'code="not_decodable"' in body
    finally:
        worker.send_signal(signal.SIGTERM)
        code = worker.wait(15)
        port.release()
    assert code == 0, log.read_text()


def test_a_worker_that_cannot_reach_kafka_says_so(tmp_path: Path) -> None:
    nowhere = reserve(16_066)
    environment = {
        **os.environ,
        "KAFKA_BROKERS": f"127.0.0.1:{nowhere.number}",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "CASSANDRA_HOSTS": "127.0.0.1:1",
        "HEADRACE_DATA_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-m", "faust", "-A", "topology", "worker", "--web-port", "16067"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    nowhere.release()
    assert done.returncode == 70
    assert done.stderr.splitlines()[-1].startswith("fault: KafkaConnectionError: ")


def test_an_api_that_is_asked_to_end_ends_with_0(
    environment: dict[str, str], tmp_path: Path
) -> None:
    port = reserve(16_068)
    command = [sys.executable, "-m", "headrace", "api", "--port", str(port.number)]
    with (tmp_path / "api.log").open("wb") as output:
        api = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while fetch(f"http://127.0.0.1:{port.number}/healthz")[0] != 200:
            assert api.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        api.send_signal(signal.SIGTERM)
        code = api.wait(15)
        port.release()
    assert code == 0
