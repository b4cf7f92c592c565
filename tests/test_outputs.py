"""Every stage and every verb: inputs that are missing or broken end in one block, and the old result stays as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from tasks.common import params
from tasks.common.errors import PipelineError
from tasks.common.replace import replace_files, replacing
from tasks.registry.__main__ import main as registry_main
from tests import gate_data
from tests import workspace as ws

STAGES: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "validate": ("tasks.validate", (), ("data/sample/data.yaml", "expectations.yaml")),
    "baseline": ("tasks.train", ("baseline",), ("reports/dataset.json", "models/tiny-seg.yaml")),
    "finetune": ("tasks.train", ("finetune",), ("reports/dataset.json", "models/baseline/best.pt")),
    "review": ("tasks.review", (), ("reports/dataset.json", "champion.yaml", "models/baseline/best.pt")),
    "evaluate": ("tasks.evaluate", (), ("reports/dataset.json", "champion.yaml", "models/finetune/best.pt")),
    "gate": ("tasks.gate", (), ("reports/evaluation.json", "reports/evaluation.npz", "reports/speed.json")),
    "export": ("tasks.export", (), ("reports/decision.json", "reports/dataset.json", "reports/evaluation.json")),
    "report": (
        "tasks.report",
        (),
        ("reports/evaluation.json", "reports/decision.json", "reports/export.json"),
    ),
    "watch": ("tasks.watch", (), ()),
    "snapshot": ("tasks.snapshot", (), ()),
    "preflight": ("tasks.preflight", (), ()),
}
"""{stage: its module, the choice that it is given, inputs that are spoiled one by one}."""
SETTINGS = ["gate.max_latency_ratio=9", "baseline.weights=models/tiny-seg.yaml"]
WHY = ("--approver", "A", "--reason", "because")
VERBS = [
    ("show", "v1.0.0"), ("register",), ("promote", "v1.0.0", *WHY), ("rollback", *WHY), ("deprecate", "v1.0.0", *WHY),
    ("fetch", "v1.0.0"), ("artifacts", "v1.0.0", "--to", "served"), ("verify", "v1.0.0"),
]  # fmt: skip


def missing(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_bytes(b"")


def halved(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def another_type(file: Path) -> None:
    file.write_text("[]")


def nothing(file: Path) -> None:
    file.write_text("null")


def without_keys(file: Path) -> None:
    file.write_text("{}")


def bytes_that_are_no_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\0" * 99)


DAMAGES = (missing, empty, halved, another_type, nothing, without_keys, bytes_that_are_no_text)


def results(root: Path) -> dict[str, bytes]:
    files = (file for part in ("models", "reports", "served") for file in (root / part).rglob("*"))
    return {str(file): file.read_bytes() for file in files if file.is_file()}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a result of every stage: real where they are read before anything heavy is loaded."""
    root = tmp_path_factory.mktemp("finished") / "ws"
    for name in ("params.yaml", "expectations.yaml", "champion.yaml", "models/tiny-seg.yaml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ws.ROOT / name, root / name)
    gate_data.write_files(root, *gate_data.random_files(num_images=30))
    (root / "reports/speed.json").write_text('{"baseline": {"latency_ms": 1.0}, "candidate": {"latency_ms": 1.0}}')
    (root / "data/sample").mkdir(parents=True)
    (root / "data/sample/data.yaml").write_text("train: images/train\nval: images/val\nnames: [bolt]\n")
    for name in ("dataset.json", "validation.json", "decision.json", "export.json", "export_speed.json", "report.md"):
        (root / "reports" / name).write_text(json.dumps({"an": "older result", "of": name}))
    for stage in ("baseline", "finetune", "candidate", "export"):
        (root / "models" / stage).mkdir()
        for name in ("best.pt", "training.json", "card.json"):
            (root / "models" / stage / name).write_text(json.dumps({"an": "older result", "of": name}))
    return root


@pytest.fixture
def workspace(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(finished, tmp_path / "ws")
    monkeypatch.chdir(tmp_path / "ws")
    return tmp_path / "ws"


@pytest.fixture(autouse=True)
def _outside_of_any_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))


def refusal_of(stage: str) -> PipelineError:
    module, choice, _ = STAGES[stage]
    with pytest.raises(PipelineError) as caught:
        import_module(module).run(params.load(overrides=SETTINGS), *choice)
    return caught.value


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_on_an_empty_workspace_says_what_is_missing(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copyfile(ws.ROOT / "params.yaml", tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)

    error = refusal_of(stage)

    assert error.what
    assert error.where
    assert error.fix
    assert not results(tmp_path)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize(("stage", "name"), [(stage, name) for stage, (_, _, names) in STAGES.items() for name in names])
def test_a_broken_input_is_named_and_the_old_result_stays(
    stage: str, name: str, damage: Callable[[Path], None], workspace: Path
) -> None:
    damage(workspace / name)
    before = results(workspace)

    error = refusal_of(stage)

    assert error.what
    assert error.where
    assert error.fix
    assert results(workspace) == before
    assert not [file for file in workspace.rglob(".*") if file.suffix in (".unfinished", ".replaced")]


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
@pytest.mark.parametrize("kind", ["no repository", "nothing registered"])
def test_a_verb_without_a_version_ends_in_a_block(
    verb: tuple[str, ...], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    environment: None,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(ws.ROOT / "params.yaml", tmp_path / "params.yaml")
    (tmp_path / "models/registered").mkdir(parents=True)
    (tmp_path / "models/registered/detector@v1.0.0.pt").write_text("older")
    if kind == "nothing registered":
        ws.sh("git", "init", "-q")
        ws.sh("git", "commit", "-q", "--allow-empty", "-m", "Start")
    before = results(tmp_path)

    with pytest.raises(SystemExit) as ended:
        registry_main([*verb])

    printed = capsys.readouterr().err
    assert ended.value.code == 1
    assert printed.count("error: ") == 1
    assert "next:  " in printed
    assert results(tmp_path) == before


class TestReplacing:
    @pytest.fixture
    def target(self, tmp_path: Path) -> Path:
        (tmp_path / "result").mkdir()
        (tmp_path / "result/old").write_text("old")
        return tmp_path / "result"

    @staticmethod
    def names(folder: Path) -> set[str]:
        return {file.relative_to(folder).as_posix() for file in folder.rglob("*")}

    @pytest.fixture(params=["exchange", "two renames"])
    def _way(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param == "two renames":
            monkeypatch.setattr("tasks.common.replace._exchange", lambda one, other: False)

    @pytest.mark.usefixtures("_way")
    def test_the_new_folder_takes_the_place_of_the_old_one(self, target: Path) -> None:
        with replacing(target) as new:
            new.mkdir()
            (new / "new").write_text("new")
            assert self.names(target) == {"old"}

        assert self.names(target.parent) == {"result", "result/new"}

    @pytest.mark.usefixtures("_way")
    def test_after_an_error_the_old_one_is_there(self, target: Path) -> None:
        with suppress(KeyError), replacing(target) as new:
            new.mkdir()
            raise KeyError

        assert self.names(target.parent) == {"result", "result/old"}

    def test_what_a_killed_run_left_is_put_back_or_removed(self, target: Path) -> None:
        target.rename(target.with_name(".result.replaced"))
        (target.parent / ".result.unfinished").mkdir()

        with suppress(KeyError), replacing(target):
            assert self.names(target.parent) == {"result", "result/old"}
            raise KeyError

        assert self.names(target.parent) == {"result", "result/old"}

    def test_no_file_is_replaced_before_all_are_written(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("old")

        with pytest.raises(OSError, match=r"File exists|Not a directory"):
            replace_files({tmp_path / "a": b"new", tmp_path / "a/below a file": b"new"})

        assert (tmp_path / "a").read_text() == "old"
        assert self.names(tmp_path) == {"a"}


def test_arrays_of_an_evaluation_are_whole_or_not_there(workspace: Path) -> None:
    """The reader's side: what is not a .npz is named, whatever its bytes are."""
    np.savez(workspace / "reports/evaluation.npz", images=np.array([object()], dtype=object))

    assert "evaluation.npz" in refusal_of("gate").where
