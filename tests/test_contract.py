"""The house matches its plan: dvc.yaml, params.yaml and tasks/ name the same stages, and imports go one way."""

import ast
import importlib.util
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

from tasks.common.yaml import load_yaml

ROOT = Path(__file__).parents[1]
CODE = [*ROOT.glob("tasks/**/*.py"), *ROOT.glob("flows/**/*.py")]
OWNERS = {
    "prefect": ("flows",),
    "great_expectations": ("tasks.validate",),
    "ultralytics": ("tasks.train", "tasks.measure", "tasks.export"),
    "torch": ("tasks.train", "tasks.measure", "tasks.export"),
    "tasks.measure.yolo": (
        *("tasks.train", "tasks.evaluate", "tasks.export", "tasks.review", "tasks.watch"),
        *("tasks.annotate", "tasks.measure.predict", "tasks.measure.harness", "tasks.measure.shards"),
    ),
    "tasks.measure.recorder": ("tasks.measure.shards",),
    "ray": ("tasks.common.cluster",),
    "mlflow": ("tasks.registry.in_mlflow",),
    "cvat_sdk": ("tasks.annotate.servers.cvat",),
    "onnx": ("tasks.export",),
    "onnxruntime": ("tasks.export",),
    "openvino": ("tasks.export",),
    "nncf": ("tasks.export",),
}
STAGES: dict[str, Any] = load_yaml(ROOT / "dvc.yaml")["stages"]


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imported(file: Path) -> frozenset[str]:
    """The modules that a file imports, wherever in it: of `from a import b` it is a.b where that is a module of ours, else a."""
    found = set[str]()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if is_module(name) else node.module for name in names}
    return frozenset(found)


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def graph_of(files: list[Path]) -> dict[str, set[str]]:
    """{module: those of `files` that it imports}. That Python loads the packages above a module too is no import of theirs."""
    modules = {module_name(file): file for file in files}
    return {name: {other for other in imported(file) if other in modules} for name, file in modules.items()}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Who imports whom in tasks and flows."""
    return graph_of(CODE)


ALWAYS = ("",)
WITHOUT_EFFECT: dict[str, tuple[str, ...]] = {
    f"tasks.common.{name}": ALWAYS
    for name in (
        *("errors", "redact", "text", "progress", "output", "page"),  # words and pages
        *("git", "gitwords", "dvc", "dvcfiles", "dvcremote", "dvcrestore"),  # the machine
        *("process", "program", "isolation", "memory", "code"),
        *("cluster", "engine"),  # who computes
        *("files", "filecache", "replace", "paths", "root", "sqlite", "stage", "stored", "yaml"),  # bytes in, bytes out
        *("bounded", "checkpoint", "filekind", "weights", "champion"),  # take a file as it is, or refuse it
        "params",  # values come from params.yaml, on which the stage depends by name
    )
} | {"tasks.common.params.recipes": ("baseline", "finetune")}
"""{room: the stages for which it counts all the same}: it cannot change a number."""


def top(name: str) -> str:
    """The entry of WITHOUT_EFFECT that speaks of a module: its own, or that of its package."""
    return name if name in WITHOUT_EFFECT else ".".join(name.split(".")[:3])


def packages_of(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def is_empty(name: str) -> bool:
    """Whether the module is an `__init__` that says what a package is, and nothing else."""
    file = ROOT / name.replace(".", "/") / "__init__.py"
    return file.is_file() and all(isinstance(node, ast.Expr) for node in ast.parse(file.read_text()).body)


@pytest.mark.slow
@pytest.mark.parametrize("library", OWNERS)
def test_a_heavy_library_is_imported_by_its_owners_alone(library: str) -> None:
    others = {
        module_name(file)
        for file in CODE
        if any(is_in(name, library) for name in imported(file))
        and not any(is_in(module_name(file), owner) for owner in OWNERS[library])
    }

    assert others - {"tasks.measure.yolo"} == set()


def test_imports_go_one_way(graph: dict[str, set[str]]) -> None:
    floors = {"tasks.common": {"tasks.common"}, "tasks.measure": {"tasks.common", "tasks.measure"}}
    bad = {
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if (name.startswith("tasks") and is_in(other, "flows"))
        or any(is_in(name, floor) and not any(is_in(other, own) for own in known) for floor, known in floors.items())
    }

    assert bad == set()


def test_a_stage_never_imports_another_stage(graph: dict[str, set[str]]) -> None:
    modules = {"sample", "validate", "train", "review", "evaluate", "gate", "export", "report"}
    bad = {
        f"{name} imports {other}"
        for name, others in graph.items()
        for other in others
        if (own := name.split(".")[1:2]) and (its := other.split(".")[1:2])
        if own[0] in modules and its[0] in modules and own[0] != its[0]
    }

    assert bad == set()


def test_nobody_reads_the_json_of_a_typed_file() -> None:
    """Manifest, Scores, Decision and Exported do; see tasks/common/stored.py."""
    raw = re.compile(r"(read_json|json\.loads?)\(.*(DATASET|EVALUATION|DECISION|EXPORTED)\b")
    bad = {f"{module_name(file)}: {line.strip()}" for file in CODE for line in file.read_text().splitlines() if raw.search(line)}

    assert bad == set()


def test_no_files_import_each_other_in_a_circle() -> None:
    """Imports inside functions and for type checks count too."""
    files = [*CODE, *ROOT.glob("bench/*.py"), *ROOT.glob("tests/*.py")]

    TopologicalSorter(graph_of(files)).prepare()  # a CycleError lists the circle


def test_no_module_hides_a_name_of_its_package() -> None:
    """Importing `tasks.x.run` sets the attribute `run` of `tasks.x`: it would replace a function of that name."""
    hidden = {
        f"{file.parent.relative_to(ROOT)}: {node.name}"
        for file in CODE
        if file.name == "__init__.py"
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and (file.with_name(f"{node.name}.py").exists() or file.with_name(node.name).is_dir())
    }

    assert hidden == set()


def test_a_test_module_imports_no_other() -> None:
    assert {
        f"{file.name}: {name}" for file in ROOT.glob("tests/*.py") for name in imported(file) if name.startswith("tests.test_")
    } == set()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_the_code_that_decides_its_numbers(stage: str, graph: dict[str, set[str]]) -> None:
    listed = [dep.removesuffix(".py").replace("/", ".") for dep in STAGES[stage]["deps"] if dep.startswith("tasks/")]
    module = STAGES[stage]["cmd"].split()[3]
    todo, closure = [f"{module}.__main__"], set[str]()
    while todo:
        if (name := todo.pop()) not in closure:
            closure.add(name)
            todo += [*graph[name], *(package for package in packages_of(name) if package in graph)]
    needed = {name for name in closure if not (own := WITHOUT_EFFECT.get(top(name), ())) or stage in own}

    missing = {name for name in needed if not any(is_in(name, dep) for dep in listed) and not is_empty(name)}
    idle = {dep for dep in listed if not any(is_in(name, dep) for name in needed)}
    assert (missing, idle) == (set(), set())


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


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        *("tasks.gate", "tasks.validate", "tasks.report", "tasks.snapshot", "tasks.registry", "tasks.train", "tasks.review"),
        *("tasks.export", "tasks.watch", "tasks.adopt", "tasks.annotate"),
    ],
)
def test_a_stage_is_imported_without_heavy_libraries(module: str) -> None:
    heavy = [
        "torch",
        "ultralytics",
        "great_expectations",
        "prefect",
        "matplotlib",
        "numba",
        "mlflow",
        "onnxruntime",
        "openvino",
        "cvat_sdk",
        "ray",
    ]
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


@pytest.mark.slow
def test_a_run_with_nothing_to_do_does_not_import_prefects_server() -> None:
    """It takes 3 s of CPU, which is as much as such a run takes in all."""
    code = "import sys, flows.improve; sys.exit('prefect.server.api.server' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
