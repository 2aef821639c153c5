"""`ProgramRef`: a program that runs as a supervised tree, as those who use it see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from actors import Down, Reply
from dspex.programs._call import Call
from dspex.programs._metrics import ModuleMetrics
from supervision import stop_supervisor, tree

if TYPE_CHECKING:
    from actors import ActorRef
    from dspex.programs._parameters import Parameters
    from dspex.programs._plan import Plan

__all__ = ["ProgramRef"]


class ProgramRef:
    """Calls, changes, watches and stops a spawned program.  Usable from any thread, fiber, task and event loop.

    Many calls run at once; what one raises is that call's answer, with its traceback.  A crash of one of its actors
    fails the calls at work there with `ActorCrashed`; the actor is restarted with the parameters as they last were,
    and calls that come meanwhile wait for it.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._supervisor: ActorRef[Any] | None = None
        self._finished: Reply[None] = Reply()

    def started(self, reply: Reply[Any]) -> None:
        """The supervisor has started, or could not."""
        error = reply.exception()
        if error is not None:
            self._ended(error)
            return
        self._supervisor = reply.get()
        assert self._supervisor is not None
        self._supervisor.monitor(self._down)

    def _down(self, down: Down) -> None:
        self._ended(self._supervisor.exit_reason if self._supervisor is not None else down.reason)

    def _ended(self, reason: Any) -> None:
        self._plan.close(reason)
        self._plan.system.forget(self.name)
        self._finished.set(None)

    # -- calling

    def call(self, *args: Any, **inputs: Any) -> Reply[Any]:
        """Begin a call: `reply.get()` or `await reply` has the result.  Never blocks.

        `timeout=seconds` ends the call, and what it has begun, with `DeadlineExceededError`.
        """
        return self._send(args, inputs)[1]

    def _send(self, args: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[Call, Reply[Any]]:
        plan = self._plan
        program = plan.program
        timeout = inputs.pop("timeout") if "timeout" in inputs and program.takes_timeout() else None
        call = Call(plan.system, program, args, inputs, timeout)
        refusal = plan.system.refusal()
        return call, plan.root.send(call) if refusal is None else Reply.failed(refusal)

    @property
    def in_flight(self) -> int:
        """How many calls of it are at work or wait for its actor."""
        return self._plan.root.in_flight

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        """The result.  A thread blocks, a fiber parks; whoever is interrupted meanwhile ends the call."""
        call, reply = self._send(args, inputs)
        return call.wait(reply)

    async def acall(self, *args: Any, **inputs: Any) -> Any:
        """The result, awaited; cancelling the wait ends the call."""
        call, reply = self._send(args, inputs)
        try:
            return await reply
        except asyncio.CancelledError:
            call.abandon(reply)
            raise

    def __or__(self, other: Any) -> Any:
        """`ref | b`: a `Pipeline` whose first step is this running program."""
        from dspex.programs._pipeline import Pipeline

        return Pipeline(self, other)

    def __ror__(self, inputs: Any) -> Any:
        """`inputs | ref`: the result for these inputs."""
        from dspex.programs._pipeline import piped

        return piped(inputs, self)

    # -- changing

    def update(self, **changes: Any) -> None:
        """Change the running program: `lm`, `config`, `instructions`, `demos`, `signature`.

        A value holds for every predictor, or is a dict from predictor names (see `parameters`) to values; `demos` and
        `signature` of a program with several predictors need the names.  Takes effect from the next call on; calls at
        work end with what they began with; none is dropped.

        Raises:
            KeyError: there is no predictor of that name.
        """
        self._plan.update(changes)

    def load_state(self, state: dict[str, Any]) -> None:
        """Change the running program to the parameters of a saved or optimized one (`Module.dump_state`)."""
        twin = self._plan.program.deepcopy()
        twin.load_state(state)
        self.adopt(twin)

    def adopt(self, program: Any) -> None:
        """Change the running program to the parameters of another one with predictors of the same names."""
        from dspex.programs._parameters import Parameters

        new = {name: Parameters.of(predictor) for name, predictor in program.named_parameters()}
        self._plan.replace(new)

    @property
    def parameters(self) -> dict[str, Parameters]:
        """The parameters in force, by the name of the predictor.  Values; not to be changed in place."""
        return dict(self._plan.parameters)

    # -- looking

    @property
    def name(self) -> str:
        """Its name in the system."""
        return self._plan.name

    @property
    def program(self) -> Any:
        """The copy that runs.  For looking: what is set on its predictors has no effect, see `update`."""
        return self._plan.program

    def is_alive(self) -> bool:
        """True from `spawn` until it was stopped or gave up."""
        return self._supervisor is not None and self._supervisor.is_alive()

    @property
    def supervisor(self) -> ActorRef[Any] | None:
        """The supervisor of its actors."""
        return self._supervisor

    def actors(self) -> dict[str, ActorRef[Any] | None]:
        """The actor of each module as it is now, by path; the program itself is "self"."""
        return {path: cell.ref for path, cell in self._plan.cells.items()}

    def metrics(self) -> dict[str, ModuleMetrics]:
        """What each module has done, by path, since it was spawned; restarts do not reset it."""
        return {path: cell.tally.read() for path, cell in self._plan.cells.items()}

    def tree(self, *, stacks: bool = False) -> dict[str, Any]:
        """Its supervisor and actors as JSON-able data, with the metrics of each, read without asking any of them."""
        if self._supervisor is None:
            raise self._plan.ended()
        return tree(self._supervisor, stacks=stacks)

    # -- ending

    def stop(self, timeout: float | None = None) -> None:
        """End it: calls at work get `ActorCrashed`, later ones `ProgramStoppedError`.  Returns when it has ended."""
        self.begin_stop().get(timeout=timeout)

    async def astop(self) -> None:
        """`stop`, awaited."""
        await self.begin_stop()

    def begin_stop(self) -> Reply[Any]:
        """Begin to end it; the reply is there when it has ended."""
        if self._supervisor is not None and self._supervisor.is_alive():
            stop_supervisor(self._supervisor)
        return self._finished

    def __repr__(self) -> str:
        return f"<ProgramRef {self.name!r} {'running' if self.is_alive() else 'ended'}>"
