"""Describe a change before it runs: its writes, its summary and its risk. No I/O."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from skyflo_tools.change_result import ChangeResult
from skyflo_tools.kubernetes.field_paths import FieldPath
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.operations import Operation, Target
from skyflo_tools.risk import Risk

if TYPE_CHECKING:
    from skyflo_tools.dry_run import DryRun

Finish: TypeAlias = "Callable[[ChangeResult, Sequence[DryRun]], Awaitable[ChangeResult]]"


@dataclass(frozen=True)
class Write:
    """One object and the operation on it."""

    target: Target
    operation: Operation
    may_be_absent: bool = False
    compared_subtrees: tuple[FieldPath, ...] = ()
    """Fields that are compared as a whole, whichever of their values the change sets."""
    no_dry_run_reason: str = ""
    """Why this write can't be dry-run; empty if it can."""
    subject: KubeObject | None = None
    """The object itself, where the write goes to a subresource such as `scale`."""
    deferred_as: str = ""
    """What the diff shows of a write that `Plan.finish` makes: an eviction, a command. It has no dry run."""
    access: tuple[str, ...] = ()
    """The RBAC verbs that the write needs. Default: that of its operation."""
    again: Operation | None = None
    """The operation as it was derived a second time, where its values may differ each time, as generated ones do."""


@dataclass(frozen=True)
class Plan:
    """A whole change: its writes, and the texts that describe it."""

    writes: tuple[Write, ...]
    summary: str
    done_summary: str
    risk: Risk
    warnings: tuple[str, ...] = ()
    finish: "Finish | None" = None
    """Makes the deferred writes, waits for what the change has started, and completes the result."""
    find_warnings: Callable[[], Awaitable[Sequence[str]]] | None = None
    """Finds more warnings by requests that only a preview needs."""
    pinned_values: Mapping[str, str] = field(default_factory=dict)
    """Values generated for this change, such as the time of a restart; the execution reuses those of the preview."""
    own_diff: tuple[str, ...] = ()
    """Lines about what changes besides objects, such as the values of a Helm release."""
    changes_more: bool = False
    """Whether the change has an effect even if it leaves every object as it is."""
    manager: str = ""
    """The manager that makes the change itself, of which no warning is given."""
    run: Callable[[], Awaitable[Sequence[str]]] | None = None
    """Makes the whole change in place of the writes, which then only describe it. Returns warnings.

    It must count its effect in the call's EffectTracker.
    """
