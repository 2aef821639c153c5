"""Settings: one base for the process, and contexts that follow the call."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Iterator

import pytest

from dspex._errors import DspexError, UnknownSettingError
from dspex._settings import DEFAULTS, configure, context, load_settings, settings
from dspex._usage import track_usage
from dspex.lm._types import Usage


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    settings.reset()
    yield
    settings.reset()


def in_thread(work: object) -> object:
    """The result of `work()` in a thread of its own, which starts with an empty context."""
    box: list[object] = []
    thread = threading.Thread(target=lambda: box.append(work()))  # type: ignore[operator]
    thread.start()
    thread.join()
    return box[0]


def test_every_setting_reads_as_attribute_and_as_item() -> None:
    configure(lm="a", num_threads=3)
    assert settings.lm == settings["lm"] == "a"
    assert settings.num_threads == 3
    assert dict(settings)["lm"] == "a"
    assert set(settings) == set(DEFAULTS)


def test_configure_from_another_thread_is_seen_by_all() -> None:
    in_thread(lambda: configure(lm="theirs"))
    assert settings.lm == "theirs"
    configure(lm="ours")
    assert in_thread(lambda: settings.lm) == "ours"


def test_configure_from_two_tasks_is_allowed_and_the_last_wins() -> None:
    async def main() -> None:
        async def one(value: str) -> None:
            configure(lm=value)

        await asyncio.create_task(one("first"))
        await asyncio.create_task(one("second"))

    asyncio.run(main())
    assert settings.lm == "second"


def test_a_context_nests_and_ends_with_its_block() -> None:
    configure(lm="base")
    with context(lm="outer", num_threads=1):
        with context(lm="inner"):
            assert (settings.lm, settings.num_threads) == ("inner", 1)
        assert settings.lm == "outer"
    assert (settings.lm, settings.num_threads) == ("base", DEFAULTS["num_threads"])


def test_a_context_ends_when_its_block_raises() -> None:
    with pytest.raises(ZeroDivisionError), context(lm="inner"):
        1 / 0
    assert settings.lm is None


def test_a_context_is_not_seen_by_a_stranger_thread() -> None:
    with context(lm="mine"):
        assert in_thread(lambda: settings.lm) is None


def test_a_context_follows_a_copied_context_into_a_thread() -> None:
    with context(lm="mine"):
        copied = contextvars.copy_context()
        assert in_thread(lambda: copied.run(lambda: settings.lm)) == "mine"


def test_tasks_of_one_loop_have_contexts_of_their_own() -> None:
    async def main() -> list[object]:
        both_inside = asyncio.Barrier(2)

        async def one(value: str) -> object:
            with context(lm=value):
                await both_inside.wait()
                return settings.lm

        return list(await asyncio.gather(one("a"), one("b")))

    assert asyncio.run(main()) == ["a", "b"]


def test_configure_inside_a_context_changes_the_base_and_not_the_context() -> None:
    with context(lm="inner"):
        configure(lm="base")
        assert settings.lm == "inner"
    assert settings.lm == "base"


def test_one_context_object_may_be_entered_again_while_it_is_entered() -> None:
    again = context(lm="x")
    with again, context(lm="y"), again:
        assert settings.lm == "x"
    assert settings.lm is None


def test_a_generator_may_leave_its_context_in_another_task() -> None:
    def steps() -> Iterator[object]:
        with context(lm="inside"):
            yield settings.lm

    generator = steps()
    assert contextvars.copy_context().run(next, generator) == "inside"
    assert next(generator, "done") == "done"
    assert settings.lm is None


def test_an_unknown_setting_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(UnknownSettingError, match="did you mean `num_threads`") as caught:
        configure(num_thread=3)
    assert caught.value.nearest == "num_threads"
    with pytest.raises(UnknownSettingError):
        context(nonsense=1)
    with pytest.raises(AttributeError):
        settings.nonsense
    with pytest.raises(KeyError):
        settings["nonsense"]
    with pytest.raises(DspexError):
        settings.get("nonsense")


def test_hasattr_is_false_for_an_unknown_setting() -> None:
    assert not hasattr(settings, "nonsense")
    assert "nonsense" not in settings


def test_save_writes_the_plain_changes_and_names_what_it_leaves_out(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "settings.json"
    configure(num_threads=3, lm=object(), provide_traceback=True)
    assert settings.save(path) == ("lm",)
    assert json.loads(path.read_text()) == {"num_threads": 3, "provide_traceback": True}
    settings.reset()
    assert settings.load(path) == {"num_threads": 3, "provide_traceback": True}
    assert settings.num_threads == 3


def test_load_refuses_unknown_keys_and_other_shapes(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "settings.json"
    path.write_text('{"num_thread": 3}')
    with pytest.raises(UnknownSettingError):
        load_settings(path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="JSON object"):
        load_settings(path)
    assert settings.num_threads == DEFAULTS["num_threads"]


def test_usage_counts_in_every_tracker_around_the_call() -> None:
    with track_usage() as outer:
        settings.usage_tracker.add("m", Usage(1, 2, 3), cost=0.5)
        with track_usage() as inner:
            settings.usage_tracker.add("m", Usage(10, 20, 30))
            settings.usage_tracker.add("m", Usage(7, 7, 14), cost=1.0, cached=True)
    assert inner.total == Usage(10, 20, 30)
    assert outer.get_total_tokens()["m"]["total_tokens"] == 33
    assert (outer.calls, outer.cached, outer.unpriced, outer.cost) == (3, 1, 1, 0.5)
    assert settings.usage_tracker is None


def test_usage_follows_a_context_into_a_thread() -> None:
    with track_usage() as tracker:
        copied = contextvars.copy_context()
        in_thread(lambda: copied.run(lambda: settings.usage_tracker.add("m", Usage(total_tokens=5))))
    assert tracker.total.total_tokens == 5
