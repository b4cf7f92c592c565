"""Every number in params.yaml has a range: a zero too many ends at once, and not after hours or in a traceback."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import TypeAdapter, ValidationError

from tasks.common import params
from tasks.common.errors import ParamsError
from tasks.common.params import Params
from tasks.common.params.recipes import fill
from tasks.common.yaml import load_yaml

ROOT = Path(__file__).parents[1]
VALUES = fill(load_yaml(ROOT / "params.yaml"))
NO_NUMBERS = {"huge": 10**12, "huge and negative": -(10**12), "text": "1", "true": True, "NaN": math.nan, "infinite": math.inf}


def holds_a_number(kind: Any) -> bool:
    return kind in (int, float) or any(holds_a_number(part) for part in get_args(kind))


def sections() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Each section with its values, and each recipe of section recipes."""
    kinds = get_type_hints(Params)
    found = {name: (kind, VALUES[name]) for name, kind in kinds.items() if name != "recipes"}
    return found | {f"recipes.{name}": (kind, VALUES["recipes"][name]) for name, kind in get_type_hints(kinds["recipes"]).items()}


NUMBERS = [
    pytest.param(kind, values, field.name, id=f"{name}.{field.name}")
    for name, (kind, values) in sections().items()
    for field in fields(kind)
    if holds_a_number(get_type_hints(kind)[field.name])
]


def test_the_walk_sees_the_numbers() -> None:
    assert len(NUMBERS) > 120
    assert all(is_dataclass(kind) for kind, _ in sections().values())


@pytest.mark.parametrize(("kind", "values", "name"), NUMBERS)
def test_a_number_has_a_range(kind: type, values: dict[str, Any], name: str) -> None:
    adapter, accepted = TypeAdapter(kind), []
    for what, bad in NO_NUMBERS.items():
        for value in (bad, [bad], {"precision": bad}):
            try:
                adapter.validate_python({**values, name: value})
            except ValidationError:
                continue
            accepted.append((what, value))

    assert [what for what, value in accepted if not (name == "device" and value == "1")] == []


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.seed=99999999999999999999", "train.seed: Input should be less than or equal to 4000000000"),
        ("gate.seed=-1", "gate.seed: Input should be greater than or equal to 0"),
        ("baseline.epochs=1000000000", "baseline.epochs: Input should be less than or equal to 1000000"),
        ("train.workers=true", "train.workers: Input should be a valid integer, got True"),
        ("train.seed=2001-13-45", "train.seed: Input should be a valid integer, got '2001-13-45'"),
        ("data.path=" + "x" * 300, "has more than 255 bytes"),
    ],
)
def test_a_number_out_of_range_is_named(override: str, words: str) -> None:
    with pytest.raises(ParamsError) as error:
        params.load(ROOT / "params.yaml", [override])

    assert words in error.value.what


def test_a_long_value_is_shortened() -> None:
    with pytest.raises(ParamsError) as error:
        params.load(ROOT / "params.yaml", ["train.seed=" + "9" * 6000])

    assert len(error.value.what) < 200
