"""A store that cannot be used costs no call; told once, tried again now and then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dspex
from dspex.store import StoreDegraded, StoreRecovered, StoreUnavailableError
from dspex.system._disk_cache import DiskCache
from dspex.testing import FaultServer


class Tier:
    """A disk tier that works or not, as told."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.tried: list[str] = []

    def _try(self, use: str) -> None:
        self.tried.append(use)
        if use in self.broken:
            raise StoreUnavailableError(f"cannot be {use}", reason="read_only", url="sqlite://")

    def get(self, key: str) -> bytes | None:
        self._try("read")
        return key.encode()

    def put_many(self, payloads: Any) -> int:
        self._try("written")
        return len(payloads)

    def discard(self, key: str, *, corrupt: bool) -> bool:
        self._try("written")
        return corrupt


class World:
    """A disk cache on such a tier, its clock and its news."""

    def __init__(self) -> None:
        self.now = 0.0
        self.news: list[Any] = []
        self.tier = Tier()
        self.store = self
        self.cache = self.tier
        self.disk = DiskCache(self, self.news.append, lambda: self.now)  # type: ignore[arg-type]


def refused(disk: DiskCache) -> bool:
    try:
        disk.put_many([("a", b"b")])
    except StoreUnavailableError:
        return True
    return False


def test_an_unreadable_store_is_a_miss_told_once_and_not_tried_by_every_call() -> None:
    world = World()
    world.tier.broken = {"read", "written"}
    assert [world.disk.get("a"), world.disk.get("a"), world.disk.get("a")] == [None] * 3
    assert refused(world.disk)
    assert refused(world.disk)
    assert world.tier.tried == ["read", "written"]
    assert [type(event) for event in world.news] == [StoreDegraded]
    assert world.disk.trouble == "cannot be read"


def test_it_is_tried_again_after_a_while_and_its_return_is_told_when_all_works() -> None:
    world = World()
    world.tier.broken = {"read", "written"}
    world.disk.get("a")
    assert refused(world.disk)
    world.tier.broken = {"written"}
    world.now = 60.0
    assert world.disk.get("a") == b"a"
    assert refused(world.disk)
    assert world.disk.trouble == "cannot be written"
    assert len(world.news) == 1
    world.tier.broken = set()
    world.now = 120.0
    assert not refused(world.disk)
    assert [type(event) for event in world.news] == [StoreDegraded, StoreRecovered]
    assert world.disk.trouble is None


def test_a_store_that_can_only_be_read_is_read_and_told_once() -> None:
    world = World()
    world.tier.broken = {"written"}
    for _ in range(5):
        assert world.disk.get("a") == b"a"
        assert refused(world.disk)
        assert world.disk.discard("a", corrupt=True) is None
    assert [type(event) for event in world.news] == [StoreDegraded]


def test_calls_go_on_where_no_store_can_be_made_and_health_says_why(make: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no directory")
    with FaultServer() as server:
        lm = dspex.LM("openai/any", base_url=server.url, api_key="key")
        system = make(lm=lm, store=str(tmp_path / "file" / "dspex.db"))
        with system:
            solve = dspex.Predict("question -> answer")
            assert solve(question="one").answer
            assert solve(question="one").answer
            health = system.health()
            assert not health.ready
            assert "dspex.db" in " ".join(health.why)
        assert server.completed == 1
