"""Supervision trees that do what OTP's do: child specs, supervisors, restart strategies, the inspectable tree."""

from supervision._adopt import adopt
from supervision._backoff import Backoff
from supervision._base import BaseSupervisor
from supervision._calls import (
    change_flags,
    change_supervisor,
    count_children,
    delete_child,
    get_child_spec,
    restart_child,
    start_child,
    start_from_template,
    stop_supervisor,
    terminate_child,
    which_children,
)
from supervision._counters import Counters, counters
from supervision._dynamic import DynamicSupervisor
from supervision._errors import (
    AdoptionError,
    BadCombinationError,
    ChildError,
    ChildNotFoundError,
    ChildPresentError,
    ChildRestartingError,
    ChildRunningError,
    ChildStartedError,
    ChildStartError,
    DuplicateChildError,
    MaxChildrenError,
    SpecError,
    SupervisionError,
    TaskFailedError,
    TaskOwnerError,
    TaskTimeoutError,
    TemplateError,
)
from supervision._partition import PartitionSupervisor, partition_of
from supervision._render import render_dot, render_json, render_mermaid, render_text
from supervision._reports import FailedToStartChild, Report
from supervision._spec import ChildSpec, Start, Strategy, SupervisorFlags, SupervisorSpec
from supervision._stream import TaskStream, async_stream
from supervision._supervisor import Supervisor
from supervision._table import ChildCounts, ChildInfo
from supervision._task import (
    Task,
    TaskDone,
    TaskExit,
    TaskSupervisor,
    async_,
    async_nolink,
    await_many,
    start_task,
)
from supervision._tree import Node, find_node, tree, walk
from supervision._what_if import Consequence, WhatIf, what_if

__all__ = [
    "AdoptionError",
    "Backoff",
    "BadCombinationError",
    "BaseSupervisor",
    "ChildCounts",
    "ChildError",
    "ChildInfo",
    "ChildNotFoundError",
    "ChildPresentError",
    "ChildRestartingError",
    "ChildRunningError",
    "ChildSpec",
    "ChildStartError",
    "ChildStartedError",
    "Consequence",
    "Counters",
    "DuplicateChildError",
    "DynamicSupervisor",
    "FailedToStartChild",
    "MaxChildrenError",
    "Node",
    "PartitionSupervisor",
    "Report",
    "SpecError",
    "Start",
    "Strategy",
    "SupervisionError",
    "Supervisor",
    "SupervisorFlags",
    "SupervisorSpec",
    "Task",
    "TaskDone",
    "TaskExit",
    "TaskFailedError",
    "TaskOwnerError",
    "TaskStream",
    "TaskSupervisor",
    "TaskTimeoutError",
    "TemplateError",
    "WhatIf",
    "adopt",
    "async_",
    "async_nolink",
    "async_stream",
    "await_many",
    "change_flags",
    "change_supervisor",
    "count_children",
    "counters",
    "delete_child",
    "find_node",
    "get_child_spec",
    "partition_of",
    "render_dot",
    "render_json",
    "render_mermaid",
    "render_text",
    "restart_child",
    "start_child",
    "start_from_template",
    "start_task",
    "stop_supervisor",
    "terminate_child",
    "tree",
    "walk",
    "what_if",
    "which_children",
]
