"""Datasets under a real DVC: what a version is called, what changed, what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tasks import snapshot
from tasks.common import params as params_module
from tasks.common.errors import DatasetError, WorkspaceError
from tasks.common.params import Params
from tests import workspace as ws
from tests.workspace import sh

DATA_YAML = "train: images/train\nval: images/val\nnames: [bolt, nut]\n"


@pytest.fixture
def params(root: Path) -> Params:
    """Parameters that name the user's dataset data/mine, which has two images."""
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            Path(f"data/mine/{kind}/{split}").mkdir(parents=True)
        Path(f"data/mine/images/{split}/Bild 1.png").write_bytes(split.encode())
        Path(f"data/mine/labels/{split}/Bild 1.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    Path("data/mine/data.yaml").write_text(DATA_YAML)
    return params_module.load(ws.ROOT / "params.yaml", ["data.path=data/mine"])


def test_compare_names_each_change_once() -> None:
    old, new = {"a": "1", "b": "1", "c": "1"}, {"a": "1", "b": "2", "d": "1"}

    assert snapshot.compare(old, new) == (("d",), ("b",), ("c",))


@pytest.mark.slow
def test_the_first_version_has_every_file_as_new(params: Params) -> None:
    taken = snapshot.take(params)

    assert (len(taken.version), taken.num_files, taken.previous, taken.pushed) == (32, 5, None, False)
    assert taken.num_bytes == sum(p.stat().st_size for p in Path("data/mine").rglob("*") if p.is_file())
    assert f"md5: {taken.version}.dir" in Path("data/mine.dvc").read_text()
    assert taken.added[:2] == ("data.yaml", "images/train/Bild 1.png")
    assert (taken.changed, taken.removed) == ((), ())


@pytest.mark.slow
def test_added_changed_and_removed_files_are_told_apart(params: Params) -> None:
    first = snapshot.take(params)
    Path("data/mine/images/train/ä.png").write_bytes(b"new")
    Path("data/mine/images/val/Bild 1.png").write_bytes(b"changed")
    Path("data/mine/labels/val/Bild 1.txt").unlink()

    second = snapshot.take(params)

    assert second.version != first.version
    assert second.previous == first.version
    assert second.added == ("images/train/ä.png",)
    assert second.changed == ("images/val/Bild 1.png",)
    assert second.removed == ("labels/val/Bild 1.txt",)


@pytest.mark.slow
def test_nothing_changed_is_the_same_version_although_training_left_caches(params: Params) -> None:
    first = snapshot.take(params)
    Path("data/mine/labels/train.cache").write_text("written by Ultralytics")
    Path("data/mine/images/train/Bild 1.npy").write_text("written by Ultralytics")

    again = snapshot.take(params)

    assert (again.version, again.previous) == (first.version, first.version)
    assert (again.added, again.changed, again.removed) == ((), (), ())
    assert "(unchanged)" in again.summary()


@pytest.mark.slow
def test_a_dataset_that_a_stage_makes_is_read_from_dvc_lock(params: Params) -> None:
    taken = snapshot.take(replace(params, data=replace(params.data, path="data/sample")))

    assert (taken.num_files, taken.added, taken.previous) == (7, (), taken.version)
    assert not Path("data/sample.dvc").exists()


@pytest.mark.slow
def test_a_sample_that_was_not_drawn_names_the_stage(params: Params) -> None:
    Path("dvc.lock").unlink()

    with pytest.raises(WorkspaceError, match="stage `sample` has not run Run `dvc repro sample`"):
        snapshot.take(replace(params, data=replace(params.data, path="data/sample")))


@pytest.mark.slow
def test_a_configured_remote_receives_the_files(params: Params, root: Path, tmp_path: Path) -> None:
    ws.add_dvc_remote(root, tmp_path / "store")

    assert snapshot.take(replace(params, registry=replace(params.registry, push=False))).pushed is False
    assert not (tmp_path / "store").exists()
    assert snapshot.take(params).pushed is True
    assert len([p for p in (tmp_path / "store").rglob("*") if p.is_file()]) == 5  # 4 contents, 1 list


def edit(file: str, text: str) -> Callable[[], object]:
    return lambda: Path(file).write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(edit("data/mine/data.yaml", DATA_YAML + "download: rm -rf\n"), "`download:` is refused", id="download"),
        pytest.param(edit("data/mine/data.yaml", "train: /etc\nval: images/val\nnames: [a]\n"), "absolute path", id="absolute"),
        pytest.param(edit("data/mine/data.yaml", "train: ../..\nval: images/val\nnames: [a]\n"), "leaves the", id="escaping"),
        pytest.param(edit("data/mine/data.yaml", "train: images/train\nnames: [a]\n"), "split `val` is missing", id="split"),
        pytest.param(
            lambda: Path("data/mine/images/train/x.png").symlink_to("/etc/hostname"),
            "1 link out of the dataset or to a folder",
            id="link out",
        ),
        pytest.param(
            lambda: Path("data/mine/images/more").symlink_to("train"),
            "1 link out of the dataset or to a folder",
            id="link to a folder",
        ),
        pytest.param(
            lambda: Path("data/mine/images/train/x.png").symlink_to("nowhere"),
            "1 link out of the dataset or to a folder",
            id="broken link",
        ),
        pytest.param(lambda: Path("data/mine").rename("data/other"), "no such dataset folder", id="missing"),
        pytest.param(
            lambda: (Path("data/mine").rename("data/other"), Path("data/mine").symlink_to("other")), "is a link", id="linked"
        ),
    ],
)
def test_what_cannot_be_a_version_is_refused_before_dvc_sees_it(
    params: Params, damage: Callable[[], object], message: str
) -> None:
    damage()

    with pytest.raises(DatasetError, match=message):
        snapshot.take(params)
    assert not Path("data/mine.dvc").exists()


@pytest.mark.slow
def test_links_that_dvc_itself_made_are_fine(params: Params) -> None:
    snapshot.take(params)
    with Path(".dvc/config").open("a") as config:
        config.write("[cache]\n    type = symlink\n")
    ws.dvc("checkout", "--relink", "data/mine.dvc")
    assert Path("data/mine/data.yaml").is_symlink()

    taken = snapshot.take(params)

    assert taken.previous == taken.version


@pytest.mark.slow
def test_a_dataset_that_is_not_here_but_on_the_remote_names_the_command(params: Params) -> None:
    snapshot.take(params)
    Path("data/mine").rename("data/elsewhere")

    with pytest.raises(DatasetError, match=r"Run `dvc pull data/mine\.dvc`"):
        snapshot.take(params)


@pytest.mark.slow
def test_a_dataset_that_git_tracks_says_how_to_hand_it_over(params: Params) -> None:
    sh("git", "add", "-f", "data/mine")
    sh("git", "commit", "-qm", "Images in git")

    with pytest.raises(WorkspaceError, match="git rm -r --cached 'data/mine'"):
        snapshot.take(params)
    assert not Path("data/mine.dvc").exists()


@pytest.mark.slow
def test_a_full_disk_leaves_the_version_before(params: Params, small_disk: Path) -> None:
    with Path(".dvc/config").open("a") as config:
        config.write(f"[cache]\n    dir = {small_disk}\n")
    snapshot.take(params)
    before = Path("data/mine.dvc").read_text()
    Path("data/mine/images/train/large.png").write_bytes(os.urandom(2**20))

    with pytest.raises(WorkspaceError, match="no space left on the disk"):
        snapshot.take(params)

    assert Path("data/mine.dvc").read_text() == before


@pytest.mark.slow
def test_the_program_prints_one_block(params: Params) -> None:
    command = [sys.executable, "-m", "tasks.snapshot", "--set", "data.path=data/mine"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)

    lines = result.stderr.splitlines()
    assert result.returncode == 0, result.stderr
    assert [line.split()[0] for line in lines] == ["dataset", "version", "files", "added", "changed", "removed", "stored"]
    assert lines[3].startswith("added    5: data.yaml, images/train/Bild 1.png")


@pytest.mark.slow
def test_hard_links_to_a_cache_on_another_disk_are_refused_before_dvc_takes_files_away(params: Params, small_disk: Path) -> None:
    files = sorted(Path("data/mine").rglob("*"))
    ws.dvc("cache", "dir", str(small_disk / "cache"))
    ws.dvc("config", "cache.type", "hardlink")

    with pytest.raises(WorkspaceError, match="hard links, the only ones") as caught:
        snapshot.take(params)

    assert caught.value.fix == "Run `dvc config cache.type hardlink,copy`, and run again."
    ws.dvc("config", "cache.type", "hardlink,copy")
    assert snapshot.take(params).num_files == 5
    assert sorted(Path("data/mine").rglob("*")) == files
