"""What the documents name exists: commands, parameters, files; and the first command comes early."""

import importlib.util
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import get_type_hints

import pytest

from tasks.common.params import Params
from tasks.common.yaml import load_yaml, parse_scalar

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
KEYS = {f"{name}.{field.name}" for name, kind in get_type_hints(Params).items() if is_dataclass(kind) for field in fields(kind)}


def test_the_two_commands_stand_in_the_first_15_lines() -> None:
    first = "\n".join(README.splitlines()[:15])

    assert "make run" in first
    assert "make test" in first


def test_the_readme_is_short_and_the_index_names_every_page() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")

    assert len(README.splitlines()) <= 120
    assert set(re.findall(r"\]\(([\w.-]+)\)", index)) == {file.name for file in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_the_number_of_checks_is_that_of_expectations_yaml() -> None:
    checks = sum(map(len, load_yaml(ROOT / "expectations.yaml").values()))

    assert {int(number) for number in re.findall(r"(\d+) checks", README)} == {checks}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_that_a_page_names_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert set(re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8"))) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_runs_exists(page: Path) -> None:
    named = set(re.findall(r"python -m ((?:tasks|flows|bench)[\w.]*)", page.read_text(encoding="utf-8")))

    assert [module for module in sorted(named) if importlib.util.find_spec(module) is None] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_links_to_exists(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not link.startswith("https://") and not (page.parent / link).exists()] == []


def test_every_parameter_in_the_table_of_knobs_exists() -> None:
    named = set(re.findall(r"`(\w+\.\w+)`", (ROOT / "docs/knobs.md").read_text(encoding="utf-8").split("## The knobs")[1]))

    assert {key for key in named if key.split(".")[0] in get_type_hints(Params)} <= KEYS
    assert len(named) > 5


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs/nuclei.md", ROOT / "docs/data.md"], ids=lambda page: page.name)
def test_every_parameter_in_an_example_exists(page: Path) -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    named = {f"{section}.{key}" for block in blocks for section, pairs in parse_scalar(block).items() for key in pairs}

    assert named
    assert named <= KEYS


@pytest.mark.parametrize("file", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda file: file.name)
def test_a_workflow_is_yaml_and_pins_its_actions_and_what_it_runs_exists(file: Path) -> None:
    steps = [step for job in load_yaml(file)["jobs"].values() for step in job["steps"]]
    commands = " ".join(str(step.get("run", "")) for step in steps)
    modules = set(re.findall(r"python -m ([\w.]+)", commands))

    assert all(re.search(r"@v\d+$", step["uses"]) for step in steps if "uses" in step)
    assert all(importlib.util.find_spec(module) for module in modules)
    assert modules or ".ci/run" in commands
