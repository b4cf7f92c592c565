"""A finished workspace, made for real; each of its files spoiled: a stage or verb refuses in one block and changes nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import checkout, forked
from tests import workspace as ws

pytestmark = pytest.mark.slow
SMALL: dict[str, dict[str, object]] = {
    "sample": {"num_train": 96, "num_val": 12, "num_test": 16, "imgsz": 128},
    "train": {"imgsz": 96, "batch": 4},
    "baseline": {"epochs": 3, "nbs": 4, "lr0": 0.02, "mosaic": 0.0, "close_mosaic": 0},
    "finetune": {"epochs": 1, "lr0": 0.004, "lrf": 0.1},
    "gate": {"confidence": None, "min_gain": -0.99, "max_class_drop": None, "max_metric_drop": None},
    "watch": {"path": "data/sample", "min_images": 1},
}
"""Three epochs on a hundred images detect a little: without any detection the gate has nothing to compare."""
STAGES = ("sample", "validate", "train baseline", "review", "train finetune", "evaluate", "gate", "export", "report")
WHY = ("--approver", "A", "--reason", "because")
DATA = ("reports/dataset.json", "data/sample/data.yaml")
REPORTS = tuple(f"reports/{name}.json" for name in ("evaluation", "decision", "dataset", "validation", "speed", "export"))
PHASES = tuple(f"models/{stage}/{name}" for stage in ("baseline", "finetune") for name in ("training.json", "results.csv"))
INPUTS: dict[str, tuple[str, ...]] = {
    "sample": ("params.yaml",),
    "validate": ("data/sample/data.yaml", "expectations.yaml"),
    "train baseline": (*DATA, "data/sample/images/train/train_0000.jpg", "models/tiny-seg.yaml"),
    "train finetune": (*DATA, "data/sample/labels/val/val_0000.txt", "models/baseline/best.pt"),
    "review": (*DATA, "champion.yaml", "data/sample/labels/train/train_0000.txt"),
    "evaluate": (*DATA, "champion.yaml", "data/sample/images/test/test_0000.jpg", "models/finetune/best.pt"),
    "gate": ("reports/evaluation.json", "reports/evaluation.npz"),
    "export": ("reports/dataset.json", "reports/evaluation.json", "reports/decision.json", "models/finetune/best.pt"),
    "report": (*REPORTS, *PHASES, "reports/evaluation.npz"),
    "watch": ("data/sample/data.yaml",),
    "preflight": ("models/tiny-seg.yaml",),
    "snapshot": ("data/sample/data.yaml",),
    "registry register": ("reports/evaluation.json",),
}
"""{what is run: files that it must have whole}."""
STATE = {
    "review": ("models/registered/detector@v1.0.0.pt", "runs/hashes/*.parquet"),
    "validate": ("reports/accepted.json", "runs/validate/*.parquet"),
    "snapshot": ("runs/snapshot.json", "dvc.lock"),
    "registry champion --pin": ("champion.yaml", "models/registered/detector@v1.0.0.pt"),
    "registry promote v1.0.0 --approver A --reason because": ("champion.yaml", ".dvc/tmp/rwlock", ".dvc/tmp/lock"),
    "registry fetch v1.0.0": ("models/registered/detector@v1.0.0.pt", "dvc.lock"),
    "registry verify": (".dvc/tmp/rwlock", ".dvc/tmp/lock"),
}
"""{what is run: memories, caches and locks}: it goes on without them, or says what to do."""
VERBS = (
    *("list", "show v1.0.0", "history", "champion", "artifacts v1.0.0 --to out"),
    *(f"{verb} --approver A --reason because" for verb in ("rollback", "deprecate v1.0.0")),
)
"""Verbs of the registry that change nothing here: v1.0.0 is the only version, and the champion."""


def missing(file: Path) -> None:
    file.unlink()


def halved(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def a_folder_in_its_place(file: Path) -> None:
    file.unlink()
    file.mkdir()


DAMAGES = (missing, halved, empty, a_folder_in_its_place)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a checkout whose champion is v1.0.0, and of its git remote and its DVC remote."""
    base = tmp_path_factory.mktemp("finished") / "all"
    root = checkout.make(base / "ws", SMALL)
    checkout.run(root, "git", "rm", "-rq", "bench", "docs", "tests")  # every test copies what is left
    checkout.run(root, "git", "commit", "-qm", "Leave what no stage needs")
    checkout.run(root, "dvc", "remote", "add", "--default", "store", "../store")
    for stage in STAGES:
        assert forked.run(root, *command(stage)).code == 0, stage
    for words in (("dvc", "commit", "--force"), ("git", "add", "-A"), ("git", "commit", "-qm", "Run")):
        checkout.run(root, *words)
    ws.add_git_remote(root, base / "origin.git")
    checkout.run(root, "git", "remote", "set-url", "origin", "../origin.git")
    for verb in ("register", "promote v1.0.0", "champion --pin"):
        done = forked.run(root, *command(f"registry {verb}"), *(WHY if "promote" in verb else ()))
        assert done.code == 0, done.printed
    for cache in list(root.rglob("__pycache__")):
        shutil.rmtree(cache)
    checkout.run(root, "git", "gc", "-q")
    return base


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "all", symlinks=True)
    return tmp_path / "all/ws"


def command(words: str) -> tuple[str, ...]:
    return tuple(f"tasks.{words}".split())


def results(root: Path) -> dict[str, bytes | None]:
    """Everything that a stage or verb makes: files, tags here and on the remote."""
    places = [root / "champion.yaml", *(file for part in ("data", "models", "reports") for file in (root / part).rglob("*"))]
    found = {str(file.relative_to(root)): file.read_bytes() if file.is_file() else None for file in places}
    tags = [ws.sh("git", "for-each-ref", cwd=repository) for repository in (root, root.with_name("origin.git"))]
    return found | {"tags": repr(tags).encode()}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("words", INPUTS)
def test_a_spoiled_input_is_refused_in_one_block_and_the_old_result_stays(
    words: str, damage: Callable[[Path], None], root: Path
) -> None:
    for name in INPUTS[words]:
        file, kept = root / name, (root / name).read_bytes()
        damage(file)
        before = results(root)

        done = forked.run(root, *command(words))

        assert done.code == 1, (name, done.printed)
        assert "Traceback" not in done.printed, (name, done.printed)
        assert f"\n{done.printed}".count("\nerror: ") == done.printed.count("\nnext:  ") == 1, (name, done.printed)
        assert results(root) == before, name
        if file.is_dir():
            file.rmdir()
        file.write_bytes(kept)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("words", STATE)
def test_without_a_memory_or_a_lock_it_goes_on_or_names_the_next_step(
    words: str, damage: Callable[[Path], None], root: Path
) -> None:
    for name in STATE[words]:
        for file in list(root.glob(name)):
            damage(file)
        before = results(root)

        done = forked.run(root, *command(words))

        assert done.code == 0 or ("\nnext:  " in done.printed and results(root) == before), (name, done.printed)
        assert "Traceback" not in done.printed, (name, done.printed)
        for file in list(root.glob(name)):
            if file.is_dir():
                file.rmdir()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_verbs_of_the_registry_need_no_file_of_the_workspace(damage: Callable[[Path], None], root: Path) -> None:
    for name in ("champion.yaml", "dvc.lock", "reports/decision.json", "reports/evaluation.json"):
        damage(root / name)
    before = results(root)

    for verb in VERBS:
        done = forked.run(root, *command(f"registry {verb}"))

        assert done.code == 0 or "\nnext:  " in done.printed, (verb, done.printed)
        assert "Traceback" not in done.printed, (verb, done.printed)
        assert results(root) == before, verb
