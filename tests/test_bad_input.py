"""Each mistake ends in one block (what, where, next step) and exit code 1, and leaves what was good as it was."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from tests import checkout, forked

pytestmark = pytest.mark.slow
OWN_STATE = {".prefect", ".site-cache", ".ultralytics", ".git", "__pycache__", "runs", "tmp"}
TINY = {"sample": {"num_train": 8, "num_val": 4, "num_test": 4}, "data": {"path": "data/mine"}, "validate": {"min_instances": 0}}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a dataset of the user's own that passed validation."""
    root = checkout.make(tmp_path_factory.mktemp("good") / "checkout", TINY)
    checkout.run(root, "dvc", "repro", "-q", "sample")
    shutil.copytree(root / "data/sample", root / "data/mine")
    checkout.run(root, "dvc", "add", "-q", "data/mine")
    checkout.run(root, "dvc", "repro", "-q", "-s", "validate")
    checkout.run(root, "git", "add", "-A")
    checkout.run(root, "git", "commit", "-qm", "A good state")
    return root


@pytest.fixture
def root(good: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "checkout"
    shutil.copytree(good, copy, symlinks=True)
    return copy


def state(root: Path) -> dict[str, str]:
    """The hash of every file that is not a tool's own."""
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(root.rglob("*"))
        if file.is_file() and not OWN_STATE & set(file.relative_to(root).parts)
    }


def block(output: str) -> list[str]:
    """The last error block of `output`; there must be one, and no traceback."""
    assert "Traceback" not in output
    lines = output.rstrip().splitlines()
    start = max(i for i, line in enumerate(lines) if line.startswith("error:"))
    assert any(line.startswith("where: ") for line in lines[start:])
    assert any(line.startswith("next:  ") for line in lines[start:])
    return lines[start:]


def params(**values: object) -> object:
    (section, pairs), *_ = values.items()
    return lambda root: checkout.set_params(root, {section: pairs})  # type: ignore[dict-item]


def empty_split(root: Path) -> None:
    for image in (root / "data/mine/images/val").iterdir():
        image.unlink()


def typo(root: Path) -> None:
    file = root / "params.yaml"
    file.write_text(file.read_text().replace("  min_gain:", "  min_gian:"))


def fake_weights(root: Path) -> None:
    (root / "models/fake.pt").write_text("version https://git-lfs.github.com/spec/v1\n")
    checkout.set_params(root, {"baseline": {"weights": "models/fake.pt"}})


def no_repository(root: Path) -> None:
    shutil.rmtree(root / ".git")


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        pytest.param(params(data={"path": "data/nowhere"}), "no such dataset folder", id="no such dataset"),
        pytest.param(empty_split, "split `val` has no images", id="empty split"),
        pytest.param(typo, "gate.min_gian: unknown key. Did you mean min_gain?", id="unknown key"),
        pytest.param(fake_weights, "not a PyTorch checkpoint (43 bytes)", id="not a checkpoint"),
        pytest.param(no_repository, "not a git repository", id="not a git repository"),
    ],
)
def test_what_can_be_seen_at_once_is_refused_before_anything_runs(root: Path, spoil: object, what: str) -> None:
    spoil(root)  # type: ignore[operator]
    before = state(root)

    output = checkout.run_flow(root, "flows.improve", ok=False)

    assert what in "\n".join(block(output))
    assert "Starting temporary server" not in output
    assert state(root) == before


def class_out_of_range(root: Path) -> str:
    label = root / "data/mine/labels/train/train_0000.txt"
    label.write_text("9 " + label.read_text().split(" ", 1)[1])
    return "labels/train/train_0000.txt:1"


def truncated_image(root: Path) -> str:
    image = root / "data/mine/images/train/train_0001.jpg"
    image.write_bytes(image.read_bytes()[:500])
    return "images/train/train_0001.jpg"


@pytest.mark.parametrize("spoil", [class_out_of_range, truncated_image])
@pytest.mark.parametrize("door", ["flow", "dvc repro"])
def test_bad_data_stops_at_validation_with_its_place(root: Path, spoil: object, door: str) -> None:
    place = spoil(root)  # type: ignore[operator]
    manifest = (root / "reports/dataset.json").read_bytes()

    if door == "flow":
        output = checkout.run_flow(root, "flows.improve", ok=False)
    else:
        output = checkout.run(root, "dvc", "repro", "-s", "validate", ok=False)

    assert place in output
    if door == "flow":
        assert place in "\n".join(block(output))
        assert (root / "reports/dataset.json").read_bytes() == manifest


def test_a_lock_held_by_another_process_is_waited_for_and_its_holder_named(root: Path) -> None:
    checkout.set_params(root, {"flow": {"lock_wait_s": 10}})
    lock = root / ".dvc/tmp/lock"
    with lock.open("w") as held:
        held.write(str(os.getpid()))
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        output = checkout.run_flow(root, "flows.improve", ok=False)

    assert "waiting up to 10 s for DVC's lock" in output
    assert f"process {os.getpid()}" in "\n".join(block(output))


def test_a_full_disk_is_named_and_leaves_the_old_result(root: Path, small_disk: Path) -> None:
    shutil.copytree(root / "reports", small_disk / "reports")
    shutil.rmtree(root / "reports")
    (root / "reports").symlink_to(small_disk / "reports")
    before = state(small_disk)
    with (small_disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"\0" * 4096)

    done = forked.run(root, "tasks.validate")

    assert done.code == 1
    assert "no space left on the disk" in "\n".join(block(done.printed))
    assert {name: digest for name, digest in state(small_disk).items() if name != "filler"} == before
