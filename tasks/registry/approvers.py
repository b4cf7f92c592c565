"""Who may decide about a version, and in which way, as section promote of params.yaml says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from tasks.common.errors import RegistryError
from tasks.common.params import PromoteParams
from tasks.common.params.effects import plain_name
from tasks.common.text import line

Via = Literal["command line", "UI", "gate"]
"""How a decision came in: typed at the command line, answered in the UI, or by the gate alone (approve: auto)."""


def is_approver(promote_params: PromoteParams, name: str) -> bool:
    """Whether `name` may decide: promote.approvers has it, or is empty."""
    return not promote_params.approvers or plain_name(name) in promote_params.approvers


def require_approvers(promote_params: PromoteParams, names: Iterable[str]) -> None:
    """Refuse names that promote.approvers does not have.

    Raises:
        RegistryError: one of `names` is not in the list.
    """
    if unknown := [line(plain_name(name)) for name in names if not is_approver(promote_params, name)]:
        what = f"{', '.join(unknown)} may not decide; promote.approvers names {', '.join(promote_params.approvers)}"
        fix = "Let one of them decide, with --approver spelt exactly so; or change the list in params.yaml, under review."
        raise RegistryError(what, where="params.yaml: promote.approvers", fix=fix)


def require_way(promote_params: PromoteParams, via: Via) -> None:
    """Refuse a decision that did not come by the signed command, if promote.signed_only asks for that.

    Raises:
        RegistryError: it was answered in the UI, or the gate decided alone.
    """
    if promote_params.signed_only and via != "command line":
        what = "promote.signed_only is true: a version is promoted by the signed command alone"
        where = "approve: auto" if via == "gate" else "the form"
        raise RegistryError(what, where=where, fix="Run `python -m tasks.registry promote` as the approver; or unset the key.")
