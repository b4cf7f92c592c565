"""The checks that expectations.yaml asks for.

reads   expectations.yaml
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from tasks.common.dataset import Dataset
from tasks.common.errors import PipelineError
from tasks.common.files import exists
from tasks.common.params import ValidateParams
from tasks.common.yaml import load_yaml
from tasks.validate.tables import TABLES

Severity = Literal["critical", "warning", "info"]
KEYS = ("type", "kwargs", "severity", "enabled", "meta")
META_KEYS = ("id", "why", "fix", "shows")
COLUMN_KEYS = ("column", "column_A", "column_B", "column_list", "column_set")


@dataclass(frozen=True)
class Check:
    """One expectation of expectations.yaml, its parameters filled in."""

    id: str
    table: str
    severity: Severity
    why: str
    fix: str
    shows: str
    """What is said of a failing row: a format of the table's columns, as in `class {cls:g}`."""
    type: str
    kwargs: Mapping[str, Any]
    where: str
    """file:line of the expectation."""
    enabled: bool
    """False for `enabled: false`: the check is read, so that a mistake in it is found, and not run."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the expectation names."""
        named = (self.kwargs.get(key, ()) for key in COLUMN_KEYS)
        return tuple(name for names in named for name in ([names] if isinstance(names, str) else names))


def load_checks(path: Path, parameters: Mapping[str, Any]) -> list[Check]:
    """The checks of `path` that are not switched off, in its order, each `{$PARAMETER: name}` replaced by `parameters[name]`.

    Raises:
        PipelineError: the file is missing, or a table, key, severity or parameter is unknown; the message names it.
    """
    if not exists(path):
        raise PipelineError("no such file", where=str(path), fix="Restore it: git checkout expectations.yaml")
    content = load_yaml(path)
    if not isinstance(content, dict) or not any(content.values()):
        raise PipelineError("no checks: expected lists under " + ", ".join(TABLES), where=str(path), fix="Add a check.")
    checks: list[Check] = []
    for table, items in content.items():
        refuse_unknown(table, TABLES, "table", str(path))
        for item in items or ():
            check = _check(table, item, path, parameters)
            if check.id in {c.id for c in checks}:
                raise PipelineError(f"a second check is named `{check.id}`", where=check.where, fix="Give each its own id.")
            checks.append(check)
    return [check for check in checks if check.enabled]


def parameters(validate_params: ValidateParams, dataset: Dataset) -> dict[str, Any]:
    """What `{$PARAMETER: name}` can name: section validate of params.yaml, and max_class_id."""
    return asdict(validate_params) | {"max_class_id": len(dataset.names) - 1}


def use_metadata(checks: Iterable[Check]) -> bool:
    """Whether any of the checks is about a column of metadata.csv."""
    texts = (text for check in checks for text in (*check.columns, check.shows, str(check.kwargs.get("row_condition", ""))))
    return any("meta_" in text for text in texts)


def refuse_unknown(name: Any, allowed: Iterable[str], what: str, where: str) -> None:
    """Refuse a `name` that is not in `allowed`.

    Raises:
        PipelineError: it is not; the message names the nearest that is.
    """
    if name in (allowed := list(allowed)):
        return
    close = difflib.get_close_matches(str(name), allowed, n=1)
    fix = f"Did you mean {close[0]}?" if close else f"Known: {', '.join(allowed)}."
    raise PipelineError(f"{what} `{name}` is unknown", where=where, fix=fix)


def _check(table: str, item: Any, path: Path, parameters: Mapping[str, Any]) -> Check:
    where = f"{path}:{item.lc.line + 1}" if hasattr(item, "lc") else str(path)
    if not isinstance(item, Mapping):
        raise PipelineError(f"expected a check with {', '.join(KEYS)}, got {item!r}", where=where, fix="See the others.")
    meta = item.get("meta")
    if not isinstance(meta, Mapping) or not isinstance(meta.get("id"), str):
        raise PipelineError("a check without `meta: {id: ...}`", where=where, fix="Give it an id, a why and a fix.")
    label = f"check `{meta['id']}`:"
    for key in item:
        refuse_unknown(key, KEYS, f"{label} key", where)
    for key in meta:
        refuse_unknown(key, META_KEYS, f"{label} meta key", where)
    refuse_unknown(item.get("severity"), get_args(Severity), f"{label} severity", where)
    if not isinstance(enabled := item.get("enabled", True), bool):
        raise PipelineError(f"{label} enabled is {enabled!r}", where=where, fix="Write enabled: true or enabled: false.")
    kwargs = _filled(item.get("kwargs") or {}, parameters, label, where)
    texts = {key: str(meta.get(key, "")) for key in META_KEYS}
    kind = str(item.get("type"))
    return Check(table=table, severity=item["severity"], type=kind, kwargs=kwargs, where=where, enabled=enabled, **texts)


def _filled(value: Any, parameters: Mapping[str, Any], label: str, where: str) -> Any:
    """`value` as plain Python, its `{$PARAMETER: name}` filled in."""
    if isinstance(value, Mapping):
        if "$PARAMETER" in value:
            refuse_unknown(value["$PARAMETER"], parameters, f"{label} $PARAMETER", where)
            return parameters[value["$PARAMETER"]]
        return {str(key): _filled(part, parameters, label, where) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, parameters, label, where) for part in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value
