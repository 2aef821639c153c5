"""How optimization runs end, what they cost, and how they are taken up again."""

import threading
import time
from types import SimpleNamespace

import pytest

from actors import current_scheduler, sleep
from dspex._errors import LMConfigurationError
from dspex.lm import LM, BaseLM, LMOutput, LMResponse, Usage, register_price
from dspex.lm._prices import prices
from dspex.predict import Module, Predict
from dspex.primitives import Example, Prediction
from dspex.store import Owner, RunLostError, RunUpdate, StoreUnavailableError
from dspex.system import System
from dspex.teleprompt import (
    BootstrapFewShotWithRandomSearch,
    LabeledFewShot,
    RunPausedError,
    TeleprompterError,
    load_run,
)
from dspex.teleprompt._run_actor import CancelRun, RunSource
from dspex.testing import FaultServer


@pytest.fixture
def system(tmp_path):
    with System(lm=Paid(), store=str(tmp_path / "store.db"), control_socket=False) as running:
        yield running


class Paid(BaseLM):
    """Each answer takes ten tokens, and a cent if ``cost`` says so. Waits once it has answered ``until`` times."""

    def __init__(self, cost=None, until=None):
        super().__init__("paid")
        self.cost, self.until, self.asked = cost, until, []
        self.gate = threading.Event()

    async def respond(self, request):
        self.asked.append(request)
        if self.until is not None and len(self.asked) > self.until:
            await current_scheduler().run_blocking(self.gate.wait, 30)
        text = "[[ ## answer ## ]]\na\n\n[[ ## completed ## ]]"
        return LMResponse([LMOutput(text)], Usage(6, 4, 10, requests=1), self.model, cost=self.cost)


def examples(count):
    return [Example(question=f"q{n}", answer="a", number=n).with_inputs("question") for n in range(count)]


def exact(example, prediction, trace=None):
    return example.answer == prediction.answer


def search(metric=exact, workers=1, **more):
    options = {"num_candidate_programs": 0, "max_bootstrapped_demos": 0, "max_labeled_demos": 0, **more}
    return BootstrapFewShotWithRandomSearch(metric, num_threads=workers, **options)


def student():
    return Predict("question -> answer")


def wait_until(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


class Held(Module):
    """Answers by itself, and waits at a question until it is let go."""

    gate = threading.Event()

    def __init__(self):
        super().__init__()
        self.asking = student()

    def forward(self, question):
        while int(question[1:]) >= 12 and not self.gate.is_set():
            sleep(0.002)
        return Prediction(answer="a")


@pytest.fixture
def held():
    Held.gate = threading.Event()
    yield Held.gate
    Held.gate.set()


def failing_late(example, prediction, trace=None):
    if example.number >= 12:
        raise RuntimeError("this label is broken")
    return 1.0


def test_a_metric_that_worked_before_the_interruption_is_not_hopeless_after_it(system, held):
    run = search(failing_late).start(Held(), trainset=examples(30), run_id="r1")
    wait_until(lambda: run.status() is not None and run.status().done == 12)
    run._crew.cancel_with(CancelRun("interrupted"))
    held.set()
    run.result()
    better = search(failing_late).compile(Held(), trainset=examples(30), run_id="r1")
    assert better.optimization.score == 40.0


def test_what_was_spent_is_on_disk_with_what_it_was_spent_on(system):
    lm = Paid(cost=0.01, until=4)
    program = student()
    program.set_lm(lm)
    run = search().start(program, trainset=examples(8), run_id="r1")
    wait_until(lambda: load_run("r1").scores == 4)
    record = load_run("r1")  # no heartbeat yet: the first one comes after ten seconds
    assert (record.tokens, record.cost) == (40, pytest.approx(0.04))
    lm.gate.set()
    run.result()


def test_spending_is_not_written_for_a_run_that_is_another_s(system):
    LabeledFewShot(k=1).compile(student(), trainset=examples(2), run_id="r1")
    row = system.store.runs.encode_update(RunUpdate("r1", tokens=5, owner=Owner.current()))
    with pytest.raises(RunLostError):
        system.store.runs._db.write(lambda connection: system.store.runs.write_updates(connection, [row]))
    assert load_run("r1").tokens == 0


def test_money_cannot_be_limited_where_prices_are_not_known(system):
    with FaultServer() as server:
        program = student()
        program.set_lm(LM("openai/unheard-of", base_url=server.url, api_key="none"))
        with pytest.raises(LMConfigurationError, match=r"register_price\('openai/unheard-of'.*budget_tokens"):
            search().compile(program, trainset=examples(4), budget_usd=1.0, run_id="r1")
        assert server.requests == []
        register_price("openai/unheard-of", prompt=1.0, completion=1.0)
        try:
            priced = search().compile(program, trainset=examples(4), budget_usd=1.0, run_id="r1")
        finally:
            prices.register("openai/unheard-of", None)
    assert priced.optimization.cost > 0.0
    own = Paid()
    program.set_lm(own)
    with pytest.raises(LMConfigurationError, match="the price of paid is not known"):
        search().compile(program, trainset=examples(4), budget_usd=1.0)
    assert len(own.asked) == 1


def test_the_record_of_a_run_gives_the_program_with_its_data_as_it_was(system):
    rows = [Example(question="my key is sk-abcdefghijklmnop1", password="pw1", token="t1")]
    rows = [row.with_inputs("question", "password") for row in rows]
    program = Predict("question, password -> token")
    better = LabeledFewShot(k=1).compile(program, trainset=rows, run_id="r1")
    (demo,) = load_run("r1").program_of(program).demos
    assert dict(demo.items()) == dict(better.demos[0].items())
    assert demo.password == "pw1"


def test_a_run_whose_system_is_closed_is_paused_and_goes_on(tmp_path, held):
    with System(store=str(tmp_path / "store.db"), control_socket=False):
        run = search().start(Held(), trainset=examples(20), run_id="r1")
        wait_until(lambda: run.status() is not None and run.status().done == 12)
        held.set()
    with pytest.raises(RunPausedError, match=r"with its system.*run_id='r1' goes on"):
        run.result()
    with System(store=str(tmp_path / "store.db"), control_socket=False):
        assert load_run("r1").state == "paused"
        assert search().compile(Held(), trainset=examples(20), run_id="r1").optimization.score == 100.0


def test_a_paused_run_s_time_stands_still(system):
    run = search().start(student(), trainset=examples(2000), max_seconds=0.5)
    run.pause()  # at once: it may not even be up
    time.sleep(0.8)
    assert not run.done()
    assert run.status().in_flight == 0
    run.resume()
    assert run.result().optimization.stopped == "time"


def test_a_cancelled_run_is_ended_for_good(system, held):
    run = search().start(Held(), trainset=examples(20), run_id="r1")
    wait_until(lambda: run.status() is not None and run.status().done == 12)
    held.set()
    run.cancel()
    with pytest.raises(TeleprompterError, match=r"'r1' was cancelled, which ended it for good"):
        search().compile(Held(), trainset=examples(20), run_id="r1")


def test_a_run_that_is_cancelled_before_it_began_gives_the_student_s_copy(system):
    for number in range(20):
        run = search().start(student(), trainset=examples(20), run_id=f"r{number}")
        assert run.cancel().optimization.stopped == "cancelled"
        assert load_run(f"r{number}").state == "cancelled"


def test_a_log_dir_that_cannot_be_written_is_found_before_anything_is_asked(system, tmp_path):
    (tmp_path / "file").write_text("")
    teleprompter = search()
    teleprompter.log_dir = tmp_path / "file" / "log"
    with pytest.raises(TeleprompterError, match="log_dir"):
        teleprompter.compile(student(), trainset=examples(4))
    assert system.lm.asked == []


def test_a_log_dir_that_is_lost_meanwhile_does_not_cost_the_program(system, tmp_path, caplog):
    log_dir = tmp_path / "log"

    def metric(example, prediction, trace=None):
        if log_dir.is_dir():
            log_dir.rmdir()
            log_dir.write_text("")
        return 1.0

    teleprompter = search(metric)
    teleprompter.log_dir = log_dir
    assert teleprompter.compile(student(), trainset=examples(4)).optimization.score == 100.0
    assert "log_dir" in caplog.text


def test_a_run_that_is_ended_does_not_wait_for_a_disk_that_refuses(system, held, monkeypatch, caplog):
    run = search().start(Held(), trainset=examples(20), run_id="r1")
    wait_until(lambda: run.status() is not None and run.status().done == 12)

    def refuse(*args, **more):
        raise StoreUnavailableError("the disk is full", reason="full", url="sqlite://")

    monkeypatch.setattr(system.store.runs._db, "write", refuse)
    held.set()
    begun = time.monotonic()
    assert run.cancel().optimization.stopped == "cancelled"
    assert time.monotonic() - begun < 5.0
    assert "the disk is full" in caplog.text
    monkeypatch.undo()


def test_a_metric_that_never_works_is_found_out_although_proposals_succeed(system):
    driver = SimpleNamespace(values={}, settle=lambda unit, value: None)
    executor = SimpleNamespace(value=lambda *args: {})
    source = RunSource(driver, executor, None)
    source.units = [SimpleNamespace(kind="propose", key="p"), SimpleNamespace(kind="score", key="s")]
    source.jobs = {0: object(), 1: object()}
    source.settled(0, object(), None)
    assert source.scored == 0
    source.settled(1, object(), None)
    assert source.scored == 1
