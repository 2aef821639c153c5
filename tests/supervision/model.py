"""A second, naive opinion on what supervisors do: lists, recursion, and nothing of the package's own code.

Written from the description of OTP's behaviour, to be compared with the package.  Speaks the recordings' language.
Leaves out what needs time (windows, stubborn workers that are waited for) and templates.
"""

from __future__ import annotations

from typing import Any

from .scenario import Step

AGAIN = "again"


def clean(reason: Any) -> bool:
    return reason in ("normal", "shutdown") or (isinstance(reason, dict) and "shutdown" in reason)


def end_of(behavior: str, reason: Any) -> Any:
    if behavior == "plain":
        return None if reason == "normal" else reason
    return {"trap": reason, "trap_normal": "normal", "trap_crash": "cleanup_failed", "stubborn": None}[behavior]


class Model:
    """Plays actions like the other runners."""

    def __init__(self, tree: dict[str, Any]) -> None:
        self.tree = tree
        self.starts: dict[str, int] = {}
        self.alive: dict[str, dict[str, Any]] = {}
        self.known: set[str] = set()
        self.todo: list[tuple[Any, ...]] = []
        self.queued: list[dict[str, Any]] = []
        self.orphaned = False
        self.step = Step()

    def play(self, action: dict[str, Any]) -> Step:
        self.step = Step()
        self.orphaned = False  # a supervisor was killed in this step: its children end in no order
        self.step.result = self.do(action)
        while self.todo:
            what, *rest = self.todo.pop(0)
            if what == "exit":
                self.on_exit(*rest)
            elif what == "queued":
                self.on_queued(*rest)
            else:
                self.on_retry(*rest)
        for name, process in self.alive.items():
            if "kids" in process:
                self.step.after[name] = {"children": self.listing(process), "count": self.count(process)}
        return self.step

    def do(self, action: dict[str, Any]) -> Any:
        op = action["op"]
        if op == "start_tree":
            outcome, value = self.start(self.tree, None)
            return "ok_pid" if outcome == "ok" else {"error": value}
        if op == "crash_batch":
            if action["sup"] not in self.alive:
                return "no_target"
            return [self.die(name, reason) for name, reason in action["crashes"]]
        if op == "crash_gated":
            self.queued = action["queued"]
            return [] if self.die(action["id"], action["reason"]) == "ok" else "no_target"
        name = action.get("sup", action.get("id", self.tree["id"]))
        process = self.alive.get(name)
        if process is None:
            return {"exit": "noproc"} if "sup" in action and name in self.known else "no_target"
        if op == "crash":
            return self.die(name, action["reason"])
        if op == "kill":
            self.murder(process)
            return "ok"
        if op == "exit_signal":
            end = None if "kids" in process else end_of(process["node"]["behavior"], action["reason"])
            if end is not None:
                self.die(name, end)
            return "ok"
        if op in ("stop", "parent_exit"):
            self.finish(process, action["reason"])
            return "ok"
        return self.call(process, action)

    # a worker or supervisor is a dict; a supervisor has "kids": [spec, process | None | AGAIN]

    def start(self, node: dict[str, Any], parent: dict[str, Any] | None) -> tuple[str, Any]:
        name = node["id"]
        number = self.starts[name] = self.starts.get(name, 0) + 1
        plan = node.get("start_plan", [])
        what = plan[number - 1] if number <= len(plan) else "ok"
        self.step.events.append(["start", name, number, "error" if what == "gate_error" else what])
        if what == "gate_error":
            self.todo += [("queued", parent, queued) for queued in self.queued]
            self.queued = []
        if what in ("error", "gate_error"):
            return "error", "start_failed"
        if what == "raise":
            return "error", {"raised": "start_failed"}
        if what == "ignore":
            return "ignore", None
        process: dict[str, Any] = {"name": name, "number": number, "node": node, "parent": parent}
        if node["type"] == "supervisor":
            self.known.add(name)
            process |= {"kids": [[child, None] for child in node["children"]], "used": 0}
            for kid in list(process["kids"]):
                outcome, value = self.start(kid[0], process)
                if outcome == "ok":
                    kid[1] = value
                elif outcome == "ignore":
                    if kid[0]["restart"] == "temporary":
                        process["kids"].remove(kid)
                else:
                    self.report(process, "start_error", kid[0]["id"], value)
                    reason = {"shutdown": {"failed_to_start_child": [kid[0]["id"], value]}}
                    self.stop_kids(process, process["kids"])
                    self.step.events.append(["exit", name, number, reason])
                    return "error", reason
        self.alive[name] = process
        return "ok", process

    def report(self, sup: dict[str, Any], context: str, child: str, reason: Any) -> None:
        self.step.reports.append([sup["name"], context, child, reason])

    def die(self, name: str, reason: Any) -> str:
        process = self.alive.pop(name, None)
        if process is None:
            return "no_target"
        process["ended"] = reason
        self.step.events.append(["exit", name, process["number"], reason])
        self.todo.append(("exit", process["parent"], process, reason))
        return "ok"

    def murder(self, process: dict[str, Any]) -> None:
        """It has no time to stop its children: they get an exit signal, and those that ignore it live on."""
        self.die(process["name"], "killed")
        self.orphaned = self.orphaned or "kids" in process
        for _, kid in process.get("kids", ()):
            if isinstance(kid, dict) and "ended" not in kid:
                if "kids" in kid:
                    self.finish(kid, "killed")
                elif (end := end_of(kid["node"]["behavior"], "killed")) is not None:
                    self.die(kid["name"], end)

    def stop_kids(self, sup: dict[str, Any], kids: list[Any]) -> None:
        for kid in reversed(list(kids)):
            self.stop_kid(sup, kid)

    def stop_kid(self, sup: dict[str, Any], kid: list[Any]) -> None:
        spec, process = kid
        if isinstance(process, dict):
            if "ended" not in process:
                if spec["shutdown"] == "brutal_kill":
                    self.murder(process)
                elif "kids" in process:
                    self.finish(process, "shutdown")
                else:
                    self.die(process["name"], end_of(spec["behavior"], "shutdown") or "killed")
            how = process["ended"]
            wanted = how == ("killed" if spec["shutdown"] == "brutal_kill" else "shutdown")
            if not wanted and not (spec["restart"] != "permanent" and clean(how)):
                self.report(sup, "shutdown_error", spec["id"], how)
        kid[1] = None
        if spec["restart"] == "temporary":
            sup["kids"].remove(kid)

    def finish(self, sup: dict[str, Any], reason: Any) -> None:
        self.stop_kids(sup, sup["kids"])
        self.die(sup["name"], reason)

    def on_exit(self, sup: dict[str, Any] | None, process: dict[str, Any], reason: Any) -> None:
        if sup is None or "ended" in sup:
            return
        for kid in sup["kids"]:
            if kid[1] is process:
                break
        else:
            return
        restart = kid[0]["restart"]
        if restart == "permanent" or (restart == "transient" and not clean(reason)):
            self.report(sup, "child_terminated", kid[0]["id"], reason)
            kid[1] = None
            self.restart(sup, kid)
            return
        if not clean(reason):
            self.report(sup, "child_terminated", kid[0]["id"], reason)
        self.lose(sup, kid)
        mode = sup["node"]["auto_shutdown"]
        left = [other for other in sup["kids"] if other[0].get("significant") and other[1] is not None]
        if kid[0].get("significant") and (mode == "any_significant" or (mode == "all_significant" and not left)):
            self.finish(sup, "shutdown")

    def lose(self, sup: dict[str, Any], kid: list[Any]) -> None:
        kid[1] = None
        if kid[0]["restart"] == "temporary":
            sup["kids"].remove(kid)

    def on_queued(self, sup: dict[str, Any], action: dict[str, Any]) -> None:
        self.step.result.append({"exit": "noproc"} if "ended" in sup else self.serve(sup, action))

    def serve(self, sup: dict[str, Any], action: dict[str, Any]) -> Any:
        if action["op"] != "stop":
            return self.call(sup, action)
        self.finish(sup, action["reason"])
        return "ok"

    def can_be_gated(self) -> list[str]:
        """The workers whose crash now leads to a start of themselves first, which can then be made to fail."""
        return [name for name, process in self.alive.items() if process["parent"] and self.restarts_first(process)]

    def restarts_first(self, process: dict[str, Any]) -> bool:
        sup = process["parent"]
        node = sup["node"]
        first = sup["kids"] and sup["kids"][0][1] is process
        kept = process["node"]["type"] == "worker" and process["node"]["restart"] != "temporary"
        room = "ended" not in sup and sup["used"] < node["intensity"]
        return kept and room and (first or node["strategy"] != "one_for_all")

    def gate(self, name: str, then: list[str]) -> str:
        """Let the next start of `name` fail at the gate, and those after it be as in `then`; its supervisor."""
        process = self.alive[name]
        done = self.starts[name]
        plan = process["node"].get("start_plan", [])
        process["node"]["start_plan"] = [*plan[:done], *["ok"] * (done - len(plan)), "gate_error", *then]
        found: str = process["parent"]["name"]
        return found

    def on_retry(self, sup: dict[str, Any], kid: list[Any]) -> None:
        if "ended" not in sup and kid in sup["kids"] and kid[1] is AGAIN:
            self.restart(sup, kid)

    def restart(self, sup: dict[str, Any], kid: list[Any]) -> None:
        sup["used"] += 1
        if sup["used"] > sup["node"]["intensity"]:
            self.report(sup, "shutdown", kid[0]["id"], "reached_max_restart_intensity")
            self.lose(sup, kid)
            self.finish(sup, "shutdown")
            return
        kids = sup["kids"]
        place = next(n for n, other in enumerate(kids) if other is kid)
        group = {"one_for_one": [kid], "rest_for_one": kids[place:], "one_for_all": kids[:]}[sup["node"]["strategy"]]
        self.stop_kids(sup, group)
        for other in group:
            if other not in sup["kids"]:
                continue
            outcome, value = self.start(other[0], sup)
            if outcome == "error":
                other[1] = AGAIN
                self.report(sup, "start_error", other[0]["id"], value)
                self.todo.append(("retry", sup, other))
                return
            other[1] = value

    # calls

    def call(self, sup: dict[str, Any], action: dict[str, Any]) -> Any:
        op = action["op"]
        if op == "which_children":
            return self.listing(sup)
        if op == "count_children":
            return self.count(sup)
        name = action["child"]["id"] if op == "start_child" else action["id"]
        kid = next((kid for kid in sup["kids"] if kid[0]["id"] == name), None)
        if op == "start_child":
            if action["child"].get("significant") and sup["node"]["auto_shutdown"] == "never":
                return {"error": {"bad_combination": {"significant": True, "auto_shutdown": "never"}}}
            if kid is not None:
                return {"error": "already_started" if isinstance(kid[1], dict) else "already_present"}
            kid = [action["child"], None]
            outcome, value = self.start(kid[0], sup)
            if outcome == "error":
                return {"error": value}
            kid[1] = value
            if value is not None or kid[0]["restart"] != "temporary":
                sup["kids"].append(kid)
            return "ok_pid" if outcome == "ok" else "ok_undefined"
        if kid is None:
            return {"error": "not_found"}
        if op == "get_childspec":
            own = {key: kid[0][key] for key in ("id", "restart", "shutdown", "type")}
            return own | {"significant": kid[0].get("significant", False)}
        if op == "terminate_child":
            self.stop_kid(sup, kid)
            return "ok"
        if kid[1] is not None:
            return {"error": "restarting" if kid[1] is AGAIN else "running"}
        if op == "delete_child":
            sup["kids"].remove(kid)
            return "ok"
        outcome, kid[1] = self.start(kid[0], sup)
        if outcome == "error":
            why, kid[1] = kid[1], None
            return {"error": why}
        return "ok_pid" if outcome == "ok" else "ok_undefined"

    def listing(self, sup: dict[str, Any]) -> list[Any]:
        def state(process: Any) -> str:
            return "restarting" if process is AGAIN else "alive" if process is not None else "undefined"

        return [[spec["id"], state(process)] for spec, process in reversed(sup["kids"])]

    def count(self, sup: dict[str, Any]) -> list[int]:
        specs = [spec for spec, _ in sup["kids"]]
        sups = sum(1 for spec in specs if spec["type"] == "supervisor")
        running = sum(1 for _, process in sup["kids"] if isinstance(process, dict))
        return [len(specs), running, sups, len(specs) - sups]
