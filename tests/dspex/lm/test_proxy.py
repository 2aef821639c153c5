"""Behind a proxy: the endpoint is reached through it, and a proxy that fails is an error with a name."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from actors import Scheduler
from dspex._errors import LMServerError, LMTransportError
from dspex.lm import LM, RetryPolicy
from dspex.testing import FaultServer, first_attempts, value_of


class Forward(BaseHTTPRequestHandler):
    """A forwarding proxy for plain http: enough to see what came through it."""

    server: Proxy

    def do_POST(self) -> None:
        self.server.seen.append(self.path)
        body = self.rfile.read(int(self.headers["content-length"]))
        url = urlsplit(self.path)
        try:
            with closing(HTTPConnection(url.netloc)) as upstream:
                upstream.request("POST", url.path, body, dict(self.headers))
                reply = upstream.getresponse()
                answer = reply.read()
        except OSError:
            self.send_error(502)
            return
        self.send_response(reply.status)
        self.send_header("content-type", reply.headers["content-type"])
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Tests are quiet."""


class Proxy(ThreadingHTTPServer):
    """Its address is `url`; `seen` are the addresses that were asked for."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Forward)
        self.seen: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy() as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,), name="proxy")
        thread.start()
        yield proxy
        proxy.shutdown()
        thread.join()


def test_requests_go_through_the_proxy_retries_too(scheduler: Scheduler, proxy: Proxy) -> None:
    with FaultServer(faults=first_attempts("error_500")) as server:
        model = LM(
            "openai/m",
            base_url=server.url,
            api_key="k",
            cache=False,
            proxy=proxy.url,
            retry=RetryPolicy(first_wait=0.001),
        )
        assert model("item-3") == [value_of(3)]
    assert proxy.seen == [f"{server.url}/chat/completions"] * 2


def test_a_proxy_that_is_down_is_an_error_that_says_so(scheduler: Scheduler) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with FaultServer() as server:
        model = LM("openai/m", base_url=server.url, cache=False, num_retries=0, proxy=f"http://127.0.0.1:{port}")
        with pytest.raises(LMTransportError) as caught:
            model("item-1")
    assert caught.value.code == "proxy"
    assert server.requests == []


def test_the_environments_proxy_is_used_but_not_for_this_machine(
    scheduler: Scheduler, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("http_proxy", proxy.url)
    with FaultServer() as server:
        assert LM("openai/m", base_url=server.url, api_key="k", cache=False)("item-4") == [value_of(4)]
        assert proxy.seen == []
        with pytest.raises(LMServerError):  # from the proxy: it cannot resolve the name
            LM("openai/m", base_url="http://no-such-host.invalid/v1", cache=False, num_retries=0)("item-5")
    assert proxy.seen == ["http://no-such-host.invalid/v1/chat/completions"]
