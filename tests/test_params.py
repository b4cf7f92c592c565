"""params.yaml: what is accepted, and how a mistake is refused."""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from tasks.common import params
from tasks.common.errors import ParamsError
from tasks.common.params import Params
from tasks.common.yaml import load_yaml

ROOT = Path(__file__).parents[1]


def load(*overrides: str) -> Params:
    return params.load(ROOT / "params.yaml", overrides)


def test_the_committed_file_is_accepted() -> None:
    assert load().gate.min_gain == 0.01


def test_every_field_has_a_value_and_every_value_a_field() -> None:
    values = load_yaml(ROOT / "params.yaml")
    sections = get_type_hints(Params)

    assert list(values) == [field.name for field in fields(Params)]
    for name, section in sections.items():
        assert is_dataclass(section)
        assert set(values[name]) == {field.name for field in fields(section)}, name


def keys_below(values: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if head:
            yield f"{head}{name}", value
        if isinstance(value, Mapping):
            yield from keys_below(value, f"{head}{name}.")


def test_every_key_of_the_file_can_be_set_however_deep() -> None:
    keys = dict(keys_below(load_yaml(ROOT / "params.yaml")))
    assert "recipes.restart.lr0_share" in keys

    assert load(*(f"{key}={json.dumps(value)}" for key, value in keys.items())) == load()
    with pytest.raises(ParamsError) as error:
        load(*(f"{key}={{no-such-key: [[]]}}" for key, value in keys.items() if not isinstance(value, Mapping)))
    refused = {line.split(": ")[1].removesuffix(".no-such-key") for line in error.value.what.splitlines()}
    missed = {key for key, value in keys.items() if not isinstance(value, Mapping)} - refused
    assert {key for key in missed if not any(own.startswith(f"{key}.") for own in refused)} == set()
    assert load("recipes.restart.lr0_share=0.1").recipes.restart.lr0_share == 0.1
    assert load("gate.group_by.column=site").gate.group_by == {"column": "site"}


def test_every_field_has_its_unit_and_meaning_beneath_it() -> None:
    files = sorted((ROOT / "tasks/common/params").glob("*.py"))
    assert len(files) > 3
    bare = [
        f"{section.name}.{ast.unparse(field.target)}"
        for file in files
        for section in ast.parse(file.read_text()).body
        if isinstance(section, ast.ClassDef) and section.name not in ("Params",)
        for field, after in zip(section.body, [*section.body[1:], None], strict=True)
        if isinstance(field, ast.AnnAssign) and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]

    assert bare == []


def test_an_override_replaces_one_value() -> None:
    assert load("gate.min_gain=0.02").gate.min_gain == 0.02


def test_a_number_in_scientific_notation_without_a_dot_is_a_number() -> None:
    assert load("finetune.lr0=5e-5").finetune.lr0 == 5e-5


class TestTheRecipe:
    """Fills what finetune leaves empty, and nothing else."""

    def test_of_the_committed_file_is_a_cosine_from_the_rate_of_the_baseline(self) -> None:
        found = load("baseline.lr0=0.004").finetune

        assert (found.lr0, found.lrf, found.cos_lr) == (0.004, 0.05, True)

    def test_of_the_origin_is_one_word(self) -> None:
        found = load("finetune.recipe=origin").finetune

        assert (found.lr0, found.lrf, found.cos_lr) == (5e-5, 1.0, False)

    def test_never_overrules_a_key_that_is_set(self) -> None:
        found = load("finetune.recipe=origin", "finetune.cos_lr=true", "finetune.lrf=0.2").finetune

        assert (found.lr0, found.lrf, found.cos_lr) == (5e-5, 0.2, True)

    def test_that_nobody_wrote_is_refused_with_those_there_are(self) -> None:
        with pytest.raises(ParamsError, match=r"finetune\.recipe: Input should be 'restart' or 'origin', got 'bold'"):
            load("finetune.recipe=bold")

    @pytest.mark.parametrize(
        ("old", "new"),
        [("lr0_share: 1.0", "lr0_share:"), ("lr0: 0.00005\n    lr0_share:", "lr0: 0.00005\n    lr0_share: 0.5")],
        ids=["none", "both"],
    )
    def test_states_one_rate(self, old: str, new: str, tmp_path: Path) -> None:
        (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text().replace(old, new))

        with pytest.raises(ParamsError, match="set one of them and leave the other empty"):
            params.load(tmp_path / "params.yaml")

    def test_of_a_rate_that_is_no_number_names_the_baseline(self) -> None:
        with pytest.raises(ParamsError, match=r"baseline\.lr0: Input should be a valid number"):
            load("baseline.lr0=fast")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        pytest.param("gate.min_gian=0.02", "gate.min_gian: unknown key. Did you mean min_gain?", id="typo"),
        pytest.param("finetune.lr0=-1", "finetune.lr0: Input should be greater than 0, got -1", id="out of range"),
        pytest.param("baseline.epochs=many", "baseline.epochs: Input should be a valid integer", id="wrong type"),
        pytest.param("train.imgsz=100", "train.imgsz: Input should be a multiple of 32, got 100", id="not a multiple"),
        pytest.param("baseline.optimizer=auto", "baseline.optimizer: Input should be 'SGD'", id="optimizer auto ignores lr0"),
        pytest.param("data.path=/etc", "data.path: '/etc' must be a path below the repository root", id="absolute path"),
        pytest.param("data.path=a/../../b", "data.path: 'a/../../b' must be a path below", id="escaping path"),
        pytest.param("baseline.warmup_bias_lr=0.1", "warmup_bias_lr 0.1 is above lr0 0.01", id="bias warm-up above lr0"),
        pytest.param("baseline.warmup_epochs=7", "warmup_epochs 7 is not shorter than epochs 7", id="all warm-up"),
        pytest.param("gate.min_gain=.nan", "gate.min_gain: Input should be", id="NaN"),
    ],
)
def test_a_mistake_is_refused_with_its_key(override: str, message: str) -> None:
    with pytest.raises(ParamsError) as error:
        load(override)

    assert message in str(error.value)
    assert error.value.where == str(ROOT / "params.yaml")


def test_every_mistake_is_named_not_only_the_first() -> None:
    with pytest.raises(ParamsError) as error:
        load("finetune.lr0=-1", "baseline.epochs=-1")

    assert "baseline.epochs" in error.value.what
    assert "finetune.lr0" in error.value.what


@pytest.mark.parametrize(
    "override", ["gate", "gate=1", "gate.min_gain", "nowhere.x=1", "=1", ".gate=1", "gate.=1", "gate.min_gain.deeper=1"]
)
def test_an_override_that_names_no_key_is_refused(override: str) -> None:
    with pytest.raises(ParamsError, match="cannot apply --set"):
        load(override)


def test_the_line_of_a_mistake_in_the_file_is_named(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text()
    file = tmp_path / "params.yaml"
    file.write_text(text.replace("  min_gain:", "  min_gian:"))
    line = next(i for i, row in enumerate(text.splitlines(), 1) if row.startswith("  min_gain:"))

    with pytest.raises(ParamsError) as error:
        params.load(file)

    assert f"line {line}: gate.min_gian: unknown key" in error.value.what


def test_a_file_that_is_not_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("data:\n  path: [1, 2\ngate: 3\n")

    with pytest.raises(Exception, match="not YAML") as error:
        params.load(file)

    assert f"{file}:3" in str(error.value)


def test_an_untrained_network_is_not_taken_over() -> None:
    with pytest.raises(ParamsError, match=r"baseline: epochs 0 takes weights over, and weights models/tiny-seg\.yaml is"):
        load("baseline.epochs=0")


def test_the_champion_is_taken_over() -> None:
    assert load("baseline.epochs=0", "baseline.weights=champion.yaml").baseline.epochs == 0


@pytest.mark.parametrize("key", ["export.formats", "report.milestones", "gate.slices"])
def test_a_list_that_dvc_empties_leaves_a_file_that_can_be_read(key: str, tmp_path: Path) -> None:
    from dvc.utils.serialize import modify_yaml

    file = tmp_path / "params.yaml"
    file.write_text((ROOT / "params.yaml").read_text())
    section, _, name = key.partition(".")
    with modify_yaml(file) as values:  # as `dvc exp run -S export.formats=[]` does
        values[section][name] = []

    assert getattr(getattr(params.load(file), section), name) == []
