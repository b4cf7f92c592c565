"""A second export of the same project: what is new is added, what is gone is removed, and nothing changes sides or ids."""

from __future__ import annotations

import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from PIL import Image

from tasks import adopt
from tasks.adopt import record
from tasks.adopt.splits import OUT
from tasks.adopt.target import alone
from tasks.common import params, replace
from tasks.common.dataset import label_file, read_dataset
from tasks.common.errors import DatasetError, LockError
from tests import exports
from tests.exports import NAMES, Shot, adopt_export, shoot
from tests.validate_data import ROOT


def split_by_stem(folder: Path) -> dict[str, str]:
    return {image.stem: split for split, images in read_dataset(folder).splits.items() for image in images}


def saved_anew(shot: Shot, file: Path, quality: int = 80) -> Shot:
    """The same picture under another name and with other bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.open(shot.file).save(file, quality=quality)
    return Shot(file, shot.size, shot.things, shot.split)


def test_an_image_keeps_its_split_and_new_ones_are_drawn(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    shots = shoot(workspace / "shots", 40)
    exports.label_studio_json(workspace / "first", shots[:30])
    exports.label_studio_json(workspace / "second", shots[5:])
    before = split_by_stem(adopt_export(workspace / "first"))

    with caplog.at_level(logging.INFO):
        after = split_by_stem(adopt_export(workspace / "second"))

    assert {stem: split for stem, split in after.items() if stem in before} == {
        s.file.stem: before[s.file.stem] for s in shots[5:30]
    }
    assert set(after) == {shot.file.stem for shot in shots[5:]}
    assert "changes   10 added, 5 removed, 0 renamed, 0 with other labels" in caplog.text


def test_a_copy_that_was_renamed_or_saved_anew_follows_its_original_even_when_that_is_gone(workspace: Path) -> None:
    shots = shoot(workspace / "shots", 40)
    exports.voc(workspace / "first", shots)
    before = split_by_stem(adopt_export(workspace / "first"))
    exports.voc(workspace / "second", [saved_anew(shot, workspace / f"again/{shot.file.stem}_v2.jpg") for shot in shots])
    exports.voc(workspace / "none", [shots[0], *shoot(workspace / "others", 20, first=500)])

    adopt_export(workspace / "none")
    after = split_by_stem(adopt_export(workspace / "second"))

    assert {stem.removesuffix("_v2"): split for stem, split in after.items()} == before


@pytest.mark.parametrize("seed", range(4))
def test_over_random_later_exports_nothing_that_judged_ever_teaches(workspace: Path, seed: int) -> None:
    draw = random.Random(seed)
    shots = shoot(workspace / "shots", 36)
    roles: dict[str, set[bool]] = {}
    for number in range(4):
        listed = []
        for shot in draw.sample(shots, 24):
            if draw.random() < 0.5:
                file = workspace / f"e{number}/{shot.file.stem}.{draw.randint(0, 99)}.jpg"
                listed.append(saved_anew(shot, file, quality=draw.randint(60, 95)))
            else:
                listed.append(Shot(shot.file, shot.size, shot.things, draw.choice(["train", "valid", "test"])))
        folder = workspace / f"export{number}"
        draw.choice([exports.roboflow_coco, exports.voc, exports.label_studio_json])(folder, listed)
        adopt_export(folder)
        for split, images in read_dataset(Path("data/parts")).splits.items():
            for image in images:
                roles.setdefault(image.stem.partition(".")[0], set()).add(split == "train")

    assert {stem for stem, teaches in roles.items() if len(teaches) > 1} == set()


def test_another_order_of_the_classes_changes_no_label(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The worst fault there is: ids that are silently permuted."""
    shots = shoot(workspace / "shots", 20)
    exports.cvat_yolo_1_1(workspace / "first", shots, NAMES)
    exports.cvat_yolo_1_1(workspace / "second", shots, ("washer", "clip", "bolt", "nut"))
    folder = adopt_export(workspace / "first")
    before = {image.name: label_file(image).read_text() for image in read_dataset(folder).images}

    with caplog.at_level(logging.INFO):
        adopt_export(workspace / "second")

    dataset = read_dataset(folder)
    assert dataset.names == ("nut", "bolt", "washer", "clip")
    assert {image.name: label_file(image).read_text() for image in dataset.images} == before
    assert "new classes: clip, after those that there were" in caplog.text
    assert "the export has its classes in another order now; they keep their ids" in caplog.text


def test_a_class_that_is_gone_keeps_its_id(workspace: Path) -> None:
    shots = shoot(workspace / "shots", 20)
    exports.label_studio_json(workspace / "first", shots)
    adopt_export(workspace / "first")
    fewer = [Shot(s.file, s.size, tuple(t for t in s.things if t.name != "nut")) for s in shots]
    exports.label_studio_json(workspace / "second", fewer)

    folder = adopt_export(workspace / "second")

    assert read_dataset(folder).names == ("bolt", "nut", "washer")
    ids = {line.split()[0] for image in read_dataset(folder).images for line in label_file(image).read_text().splitlines()}
    assert ids == {"0", "2"}


def test_the_choice_of_classes_and_groups_is_remembered(workspace: Path) -> None:
    shots = shoot(workspace / "shots", 24)
    exports.voc(workspace / "export", shots)
    adopt_export(workspace / "export", classes=["washer", "nut"], group=r"part_(\d\d)\d")

    folder = adopt_export(workspace / "export")

    assert read_dataset(folder).names == ("washer", "nut")
    assert set(record.read(folder)["group"]) == {"00", "01", "02"}
    with pytest.raises(DatasetError) as refusal:
        adopt_export(workspace / "export", classes=["nut", "washer"])
    assert "the ids 0 to 1, and models were trained on them" in refusal.value.what


def test_labels_that_were_mended_in_the_dataset_are_not_overwritten_unasked(workspace: Path) -> None:
    exports.voc(workspace / "export", shoot(workspace / "shots", 20))
    folder = adopt_export(workspace / "export")
    label = label_file(read_dataset(folder).images[0])
    adopted = label.read_text()
    label.write_text("0 0.5 0.5 0.2 0.2\n")

    with pytest.raises(DatasetError) as refusal:
        adopt_export(workspace / "export")

    assert refusal.value.what.startswith("1 file was changed in the dataset since it was adopted, which would be lost")
    assert label.read_text() == "0 0.5 0.5 0.2 0.2\n"
    adopt_export(workspace / "export", discard_edits=True)
    assert label.read_text() == adopted


def test_git_ignores_the_dataset_before_dvc_does(workspace: Path) -> None:
    exports.voc(workspace / "export", shoot(workspace / "shots", 20))
    (workspace / "data").mkdir()
    (workspace / "data/.gitignore").write_text("/sample")

    adopt_export(workspace / "export")
    adopt_export(workspace / "export")

    assert (workspace / "data/.gitignore").read_text() == "/sample\n/parts\n"


def test_the_same_export_twice_gives_the_same_bytes(workspace: Path) -> None:
    exports.roboflow(workspace / "export", shoot(workspace / "shots", 20))

    def content() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in Path("data/parts").rglob("*") if p.is_file()}

    adopt_export(workspace / "export")
    first = content()
    adopt_export(workspace / "export")

    assert content() == first


def test_the_export_is_not_touched(workspace: Path) -> None:
    exports.roboflow(workspace / "export", shoot(workspace / "shots", 20))
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (workspace / "export").rglob("*") if p.is_file()}

    folder = adopt_export(workspace / "export")

    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (workspace / "export").rglob("*") if p.is_file()} == before
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_hard_links_share_the_bytes_of_the_export(workspace: Path) -> None:
    exports.roboflow(workspace / "export", shoot(workspace / "shots", 20))

    folder = adopt_export(workspace / "export", link="hard")

    assert all(image.stat().st_nlink == 2 for image in read_dataset(folder).images)


def test_a_second_adoption_at_the_same_time_is_refused(workspace: Path) -> None:
    exports.voc(workspace / "export", shoot(workspace / "shots", 20))

    with alone("parts"), pytest.raises(LockError) as refusal:
        adopt_export(workspace / "export")

    assert refusal.value.what == "another `python -m tasks.adopt`, or `annotate`, is writing this dataset"
    assert not Path("data/parts").exists()


def test_a_dataset_without_a_record_is_not_replaced(workspace: Path) -> None:
    exports.voc(workspace / "export", shoot(workspace / "shots", 20))
    (workspace / "data/parts").mkdir(parents=True)
    (workspace / "data/parts/mine.txt").write_text("mine")

    with pytest.raises(DatasetError) as refusal:
        adopt_export(workspace / "export")

    assert refusal.value.what == "it exists and has no splits.csv, so nothing says which images judged"
    assert (workspace / "data/parts/mine.txt").read_text() == "mine"


def test_a_dataset_whose_files_are_only_in_dvc_is_not_begun_anew(workspace: Path) -> None:
    exports.voc(workspace / "export", shoot(workspace / "shots", 20))
    (workspace / "data").mkdir()
    (workspace / "data/parts.dvc").write_text("outs:\n- path: parts\n")

    with pytest.raises(DatasetError) as refusal:
        adopt_export(workspace / "export")

    assert refusal.value.fix == "Run `dvc pull data/parts.dvc`, then adopt again."


@pytest.mark.slow
def test_killed_while_it_writes_nothing_is_half_made(workspace: Path) -> None:
    exports.voc(workspace / "export", shoot(workspace / "shots", 300))
    for name in ("dvc.yaml", "champion.yaml"):
        shutil.copy(ROOT / name, workspace)
    command = [sys.executable, "-m", "tasks.adopt", "export", "--name", "parts"]
    process = subprocess.Popen(command, cwd=workspace, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.DEVNULL)
    unfinished = workspace / "data/.parts.unfinished"
    while process.poll() is None and not unfinished.exists():
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()

    assert not (workspace / "data/parts").exists() or len(read_dataset(workspace / "data/parts").images) == 300
    subprocess.run(command, cwd=workspace, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
    assert len(read_dataset(workspace / "data/parts").images) == 300
    assert sorted(path.name for path in (workspace / "data").iterdir()) == [".gitignore", "parts"]


def test_splits_that_leak_are_named_and_resplit_mends_them_towards_train(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shots = shoot(workspace / "shots", 20)
    listed = [Shot(s.file, s.size, s.things, ("train", "train", "valid", "test")[i % 4]) for i, s in enumerate(shots)]
    copy = saved_anew(shots[0], workspace / "copy/a_copy.jpg")
    exports.roboflow_coco(workspace / "export", [*listed, Shot(copy.file, copy.size, copy.things, "test")])

    with caplog.at_level(logging.INFO):
        leaking = split_by_stem(adopt_export(workspace / "export"))
        mended = split_by_stem(adopt_export(workspace / "export", "mended", resplit=True))

    assert "leaks     1 image looks like one of a split that judges more: validate will stop there" in caplog.text
    assert (leaking["part_000"], leaking["a_copy"]) == ("train", "test")
    assert mended == leaking | {"a_copy": "train"}
    assert "moved     1 from test to train" in caplog.text


def test_a_dataset_in_use_loses_the_judges_that_look_like_teachers_and_keeps_their_files(workspace: Path) -> None:
    shots = shoot(workspace / "shots", 20)
    listed = [Shot(s.file, s.size, s.things, ("train", "train", "valid", "test")[i % 4]) for i, s in enumerate(shots)]
    copy = saved_anew(shots[0], workspace / "copy/a_copy.jpg")
    exports.roboflow_coco(workspace / "export", [*listed, Shot(copy.file, copy.size, copy.things, "test")])
    folder = adopt_export(workspace / "export")

    adopt.mend_splits(folder, params.load(), write=False)
    assert "a_copy" in split_by_stem(folder)
    adopt.mend_splits(folder, params.load(), write=True)

    assert "a_copy" not in split_by_stem(folder)
    assert (folder / "left-out/images/test/a_copy.jpg").is_file()
    rows = record.read(folder)
    assert rows.filter(pl.col("split") == OUT)["file"].to_list() == [""]
    assert "a_copy" not in split_by_stem(adopt_export(workspace / "export"))


@pytest.mark.parametrize("many", [1, 10**9], ids=["one call for the file system", "a call a file"])
def test_a_replaced_folder_is_whole_however_it_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    monkeypatch.setattr(replace, "MANY", many)
    for text in ("old", "new"):
        with replace.replacing(tmp_path / "set") as folder:
            folder.mkdir()
            (folder / "a.txt").write_text(text)

    assert (tmp_path / "set/a.txt").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
