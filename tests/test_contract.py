"""The house matches its plan: dvc.yaml, params.yaml and tasks/ name the same stages, and imports go one way."""

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.common.yaml import load_yaml

ROOT = Path(__file__).parents[1]
CODE = [*ROOT.glob("tasks/**/*.py"), *ROOT.glob("flows/**/*.py")]
OWNERS = {
    "prefect": ("flows",),
    "great_expectations": ("tasks.validate",),
    "ultralytics": ("tasks.train", "tasks.evaluate", "tasks.export", "tasks.common.yolo", "tasks.common.recorder"),
    "torch": ("tasks.train", "tasks.evaluate", "tasks.export", "tasks.common.yolo", "tasks.common.recorder"),
    "tasks.common.yolo": (
        *("tasks.train", "tasks.evaluate", "tasks.export", "tasks.review", "tasks.watch"),
        "tasks.common.predict",
    ),
    "tasks.common.recorder": ("tasks.common.predict",),
    "mlflow": ("tasks.registry.in_mlflow",),
    "onnx": ("tasks.export",),
    "onnxruntime": ("tasks.export",),
    "openvino": ("tasks.export",),
    "nncf": ("tasks.export",),
}
STAGES: dict[str, Any] = load_yaml(ROOT / "dvc.yaml")["stages"]


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("library", OWNERS)
def test_a_heavy_library_is_imported_by_its_owners_alone(library: str) -> None:
    others = {
        module_name(file)
        for file in CODE
        if any(is_in(name, library) for name in imported(file))
        and not any(is_in(module_name(file), owner) for owner in OWNERS[library])
    }

    assert others - {"tasks.common.yolo"} == set()


def test_tasks_never_import_flows_and_common_never_a_stage() -> None:
    bad = {
        f"{module_name(file)} imports {name}"
        for file in CODE
        for name in imported(file)
        if (module_name(file).startswith("tasks") and is_in(name, "flows"))
        or (
            is_in(module_name(file), "tasks.common")
            and is_in(name, "tasks")
            and name != "tasks"
            and not is_in(name, "tasks.common")
        )
    }

    assert bad == set()


def test_a_stage_never_imports_another_stage() -> None:
    modules = {"sample", "validate", "train", "review", "evaluate", "gate", "export", "report"}
    # An artifact is judged by the harness that judged its .pt and by the resamples of the gate, an average of weights by that
    # harness: another copy of either could come to another verdict. Both are pure functions of values; what they need of the run
    # still comes from files.
    allowed = {("report", "gate"), ("registry", "gate"), ("export", "evaluate"), ("export", "gate")}
    bad = {
        f"{module_name(file)} imports {name}"
        for file in ROOT.glob("tasks/**/*.py")
        for name in imported(file)
        if (own := module_name(file).split(".")[1:2]) and (other := name.split(".")[1:2]) and is_in(name, "tasks")
        if own[0] in modules and other[0] in modules and own[0] != other[0] and (own[0], other[0]) not in allowed
    }

    assert bad == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_of_dvc_yaml_is_a_module_and_a_section_of_params(stage: str) -> None:
    command = STAGES[stage]["cmd"]
    module = re.fullmatch(r"exec python -m (tasks\.\w+)(?: \w+)?", command)

    assert module
    assert importlib.util.find_spec(module[1])
    assert stage in load_yaml(ROOT / "params.yaml")
    assert any(str(name).split(".")[0] == stage for name in STAGES[stage]["params"])
    assert any(str(dep).startswith(module[1].replace(".", "/")) for dep in STAGES[stage]["deps"])


def test_the_flow_builds_every_stage_of_dvc_yaml_in_order() -> None:
    source = (ROOT / "flows/stages.py").read_text()
    stages = ast.literal_eval(re.search(r"^STAGES = (\(.*?\))", source, re.MULTILINE | re.DOTALL)[1])  # type: ignore[index]

    assert ["sample", *stages] == list(STAGES)


def test_the_registered_artifact_is_named_in_dvc_yaml() -> None:
    name = load_yaml(ROOT / "params.yaml")["registry"]["name"]

    assert load_yaml(ROOT / "dvc.yaml")["artifacts"][name]["path"] == "models/finetune/best.pt"


@pytest.mark.parametrize(
    "module",
    [
        *("tasks.gate", "tasks.validate", "tasks.report", "tasks.snapshot", "tasks.registry", "tasks.train", "tasks.review"),
        *("tasks.export", "tasks.watch"),
    ],
)
def test_a_stage_is_imported_without_heavy_libraries(module: str) -> None:
    heavy = ["torch", "ultralytics", "great_expectations", "prefect", "matplotlib", "numba", "mlflow", "onnxruntime", "openvino"]
    program = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"

    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)

    assert result.stdout.strip() == "[]"


def test_nothing_committed_names_this_machine_or_a_registry() -> None:
    listing = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    pattern = re.compile(rf"{re.escape(str(ROOT))}/|index-url|find-links|/root/\.")
    bad = [
        name
        for name in listing.split("\0")
        if name and (ROOT / name).suffix in {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".html", ""}
        if (ROOT / name).is_file()
        and name != "tests/test_contract.py"
        and pattern.search((ROOT / name).read_text(errors="replace"))
    ]

    assert bad == []


def test_a_run_with_nothing_to_do_does_not_import_prefects_server() -> None:
    """It takes 3 s of CPU, which is as much as such a run takes in all."""
    code = "import sys, flows.improve; sys.exit('prefect.server.api.server' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
