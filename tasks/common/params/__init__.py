"""Every knob of the pipeline: typed, bounded, and refused with its place when it is wrong.

reads   params.yaml

One frozen dataclass per section of params.yaml. They are dataclasses because a pydantic model with a field named
`validate` would shadow one of pydantic's own methods.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Self, get_type_hints

from pydantic import TypeAdapter, ValidationError, model_validator
from pydantic.dataclasses import dataclass

from tasks.common.errors import ParamsError
from tasks.common.files import exists
from tasks.common.params.data import DataParams, SampleParams, ValidateParams
from tasks.common.params.effects import LOCAL, ComputeParams, FlowParams, PromoteParams, RegistryParams, WatchParams
from tasks.common.params.export import ExportParams
from tasks.common.params.judging import EvaluateParams, GateParams, ReportParams, ReviewParams
from tasks.common.params.recipes import RecipesParams, fill
from tasks.common.params.training import BaselineParams, FinetuneParams, ScheduleParams, TrainParams
from tasks.common.params.types import STRICT
from tasks.common.params.upgrade import complete, notes
from tasks.common.paths import PARAMS
from tasks.common.yaml import line_of, load_yaml, parse_scalar

__all__ = [
    "LOCAL",
    "BaselineParams",
    "ComputeParams",
    "DataParams",
    "EvaluateParams",
    "ExportParams",
    "FinetuneParams",
    "FlowParams",
    "GateParams",
    "Params",
    "PromoteParams",
    "RegistryParams",
    "ReportParams",
    "ReviewParams",
    "SampleParams",
    "ScheduleParams",
    "TrainParams",
    "ValidateParams",
    "WatchParams",
    "load",
    "upgrade_notes",
]


MAX_SHOWN = 80
"""Characters of a wrong value that a message shows."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Params:
    """The whole of params.yaml, a field per section."""

    data: DataParams
    sample: SampleParams
    validate: ValidateParams
    train: TrainParams
    baseline: BaselineParams
    finetune: FinetuneParams
    recipes: RecipesParams
    review: ReviewParams
    evaluate: EvaluateParams
    gate: GateParams
    export: ExportParams
    report: ReportParams
    registry: RegistryParams
    promote: PromoteParams
    watch: WatchParams
    flow: FlowParams
    compute: ComputeParams

    @model_validator(mode="after")
    def _signs_what_must_be_signed(self) -> Self:
        if self.promote.signed_only and not self.registry.sign:
            raise ValueError("promote.signed_only wants signed tags, and registry.sign is false. Set registry.sign to true.")
        return self

    @model_validator(mode="after")
    def _predicts_where_the_device_is(self) -> Self:
        if self.compute.engine == "ray" and (wants_gpu := self.train.device not in ("", "cpu", "mps")) != bool(
            self.compute.num_gpus
        ):
            state = f"train.device is {self.train.device} and compute.num_gpus {self.compute.num_gpus:g}"
            fix = "Give a task a GPU, or a share of one" if wants_gpu else "Set one of the two"
            raise ValueError(f"{state}: Ray shows a task the GPUs that it reserves, and no other. {fix}.")
        return self


def load(path: Path = PARAMS, overrides: Iterable[str] = ()) -> Params:
    """The parameters of `path` with each `section.key=value` of `overrides` applied.

    Raises:
        ParamsError: the file is missing or not YAML, or a key is unknown, missing, of a wrong type or out of range;
            every bad key is listed with its line. Keys that newer releases brought may be missing (upgrade.ADDED).
    """
    values = _read(path)
    complete(values)
    given = [_apply(values, override) for override in overrides]
    values = fill(values)
    try:
        return TypeAdapter(Params).validate_python(values)
    except ValidationError as error:
        raise _explain(error, values, path, given) from None


def upgrade_notes(path: Path = PARAMS) -> list[str]:
    """What an older params.yaml lacks or has too much, a line each; `load` takes such a file.

    Raises:
        ParamsError: the file is missing or not YAML.
    """
    return notes(_read(path))


def _read(path: Path) -> dict[str, Any]:
    if not exists(path):
        raise ParamsError("no such file", where=str(path), fix="Run from the root of the repository.")
    values = load_yaml(path)
    if not isinstance(values, dict):
        raise ParamsError("expected sections such as `gate:`", where=str(path), fix="Restore it: git checkout params.yaml")
    return values


def _apply(values: dict[str, Any], override: str) -> str:
    """Apply an override, however deep; its key. A key without a value in the file may get keys of its own."""
    key, equals, text = override.partition("=")
    *heads, name = (part.strip() for part in key.split("."))
    section: Any = values
    for head in heads:
        inner = section.get(head)
        if inner is None and section is not values:
            inner = section[head] = {}
        section = inner
        if not isinstance(section, dict):
            break
    if not equals or not heads or not name or not isinstance(section, dict):
        raise ParamsError(
            f"cannot apply --set {override!r}",
            where="--set",
            fix="Write --set section.key=value, for example --set gate.min_gain=0.02",
        )
    section[name] = parse_scalar(text)
    return ".".join((*heads, name))


def _explain(error: ValidationError, values: Mapping[str, Any], path: Path, given: Sequence[str]) -> ParamsError:
    """Every bad key with its line, or with `--set` where that gave it."""
    lines = []
    for item in error.errors():
        location = [str(part) for part in item["loc"]]
        key = ".".join(location)
        if not key:  # a check across sections, whose words name the keys
            lines.append(_reason(item, location))
            continue
        place = (
            "--set" if any(f"{key}.".startswith(f"{given_key}.") for given_key in given) else f"line {line_of(values, location)}"
        )
        lines.append(f"{place}: {key}: {_reason(item, location)}")
    return ParamsError(
        "\n".join(lines), where=str(path), fix=f"Each key and its range is described in {path} and tasks/common/params/."
    )


def _reason(item: Mapping[str, Any], location: list[str]) -> str:
    if item["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(location[-1], known, n=1)
        return "unknown key. " + (f"Did you mean {close[0]}?" if close else f"Known here: {', '.join(known)}.")
    if item["type"] in ("missing", "missing_argument"):
        return "missing key"
    message = str(item["msg"]).removeprefix("Value error, ")
    is_cross_check = item["type"] == "value_error"
    return message if is_cross_check else f"{message}, got {_short(item['input'])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def _known_keys(location: list[str]) -> list[str]:
    kind: Any = Params
    for part in location:
        kind = get_type_hints(kind).get(part)
    return [f.name for f in fields(kind)] if is_dataclass(kind) else []
