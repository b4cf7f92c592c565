"""Answers come back whole or not at all, and change what a person changed and nothing else."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.adopt import record
from tasks.annotate import journal
from tasks.annotate.bundle import Bundle
from tasks.annotate.types import MARK
from tasks.common.errors import DatasetError, LabelError, PipelineError
from tests.labelling import (
    BOXES,
    LINES,
    ROOT,
    TOOLS,
    answer,
    ask,
    doubt,
    every_byte,
    make_dataset,
    new_images,
    review,
)

EXPORT = Path("export")
DOUBTED = [doubt(0, 1), doubt(1, 2), doubt(0, None, "overlooked", "val", "60 40 80 60")]


REPOSITORY = Path(__file__).parents[1]
KILLED = """
import os, sys
from pathlib import Path
from tests.labelling import answer

replace = Path.replace

def killed(self, target):
    if target.name == "1.txt":
        os._exit(9)
    return replace(self, target)

Path.replace = killed
answer(Path(sys.argv[1]))
"""


def asked(tool: str, kind: str = "boxes") -> tuple[Path, Any]:
    """A bundle about three images, and the tool that has read it."""
    make_dataset(kind)
    review(DOUBTED)
    bundle = ask(tool)
    return bundle, TOOLS[tool](bundle)


def changes(bundle: Path) -> list[tuple[str, str, str, str, str]]:
    rows = csv.DictReader((bundle / "changes.csv").read_text().splitlines())
    return [(row["file"], row["line"], row["change"], row["before"], row["after"]) for row in rows]


def nothing_changes(source: Path, error: type[PipelineError] = DatasetError, **options: Any) -> PipelineError:
    """The error of taking `source`, after which every byte is what it was."""
    before = every_byte()
    with pytest.raises(error) as refusal:
        answer(source, **options)
    assert every_byte() == before
    return refusal.value


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("tool", TOOLS)
def test_answers_without_an_edit_leave_every_label_file_as_it_is(workspace: Path, tool: str, kind: str) -> None:
    bundle, person = asked(tool, kind)
    before = every_byte(ROOT)

    answer(person.write(EXPORT))

    assert every_byte(ROOT) == before
    assert [row[2] for row in changes(bundle)] == ["confirmed"] * 3


@pytest.mark.parametrize("kind", LINES)
def test_the_yolo_bundle_of_cvat_comes_back_without_a_change(workspace: Path, kind: str) -> None:
    bundle, _ = asked("cvat", kind)
    before = every_byte(ROOT)

    answer(bundle / "yolo.zip")

    assert every_byte(ROOT) == before


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("tool", TOOLS)
def test_each_edit_comes_back_as_what_it_is(workspace: Path, tool: str, kind: str) -> None:
    bundle, person = asked(tool, kind)
    lines = [line for line in LINES[kind] if line.strip()]
    first, second, *_ = person.objects(0)
    person.move(first, 6)
    person.rename(second, "washer")
    last = [thing for thing in person.objects(1) if thing is not None][-1]
    person.remove(1, last)
    person.move(person.add(2, person.objects(2)[0]), 9)

    answer(person.write(EXPORT))

    edited = (ROOT / "labels/train/0.txt").read_text().splitlines(keepends=True)
    assert edited[1] == lines[1].lstrip().replace("1", "2", 1)
    assert edited[0].startswith("0 ")
    assert edited[0] != lines[0]
    assert float(edited[0].split()[1]) == pytest.approx(float(lines[0].split()[1]) + 6 / 96, abs=1e-3)
    assert "".join(edited[2:]) == "".join(LINES[kind][2:])
    assert (ROOT / "labels/train/1.txt").read_text() == "".join(LINES[kind][:-1])
    added = (ROOT / "labels/val/0.txt").read_text()
    assert added.startswith("".join(LINES[kind]) + "\n0 ")
    assert added.count("\n") == "".join(LINES[kind]).count("\n") + 2
    assert (ROOT / "labels/train/2.txt").read_text() == "".join(LINES[kind])
    number = len(LINES[kind])
    assert changes(bundle) == [
        ("images/train/0.jpg", "1", "moved", "nut", "nut"),
        ("images/train/0.jpg", "2", "class changed", "bolt", "washer"),
        ("images/train/1.jpg", str(number), "removed", "bolt" if kind == "boxes" else "washer", ""),
        ("images/train/1.jpg", "2", "confirmed", "bolt", "bolt"),
        ("images/val/0.jpg", "", "added", "", "nut"),
        ("images/val/0.jpg", "", "confirmed", "", ""),
    ]


def test_a_region_that_drew_the_eye_becomes_a_label_once_it_has_a_class(workspace: Path) -> None:
    bundle, person = asked("label-studio")
    mark = next(thing for thing in person.objects(2) if thing["value"]["rectanglelabels"] == [MARK])
    person.rename(mark, "bolt")

    answer(person.write(EXPORT))

    assert (ROOT / "labels/val/0.txt").read_text() == "".join(BOXES) + "\n1 0.72916667 0.78125 0.20833333 0.3125\n"
    assert [row[2] for row in changes(bundle) if row[0] == "images/val/0.jpg"] == ["added"]


@pytest.mark.parametrize("tool", TOOLS)
def test_a_second_time_changes_nothing(workspace: Path, tool: str, caplog: pytest.LogCaptureFixture) -> None:
    _, person = asked(tool)
    person.rename(person.objects(0)[0], "bolt")
    answer(person.write(EXPORT))
    before = every_byte()

    with caplog.at_level("INFO"):
        answer(person.write(EXPORT))

    assert every_byte() == before
    assert "nothing changed" in caplog.text


def test_a_person_may_correct_an_answer_that_was_taken(workspace: Path) -> None:
    _, person = asked("coco")
    person.rename(person.objects(0)[0], "bolt")
    answer(person.write(EXPORT))
    person.rename(person.objects(0)[0], "washer")

    answer(person.write(EXPORT))

    assert (ROOT / "labels/train/0.txt").read_text() == "2" + "".join(BOXES)[1:]


def test_labels_that_changed_in_between_are_not_lost(workspace: Path) -> None:
    _, person = asked("coco")
    person.rename(person.objects(0)[0], "bolt")
    (ROOT / "labels/train/0.txt").write_text("0 0.5 0.5 0.1 0.1\n")

    refusal = nothing_changes(person.write(EXPORT), LabelError)

    assert refusal.what == "1 label file changed since the bundle was made, which would be lost\nlabels/train/0.txt"


def truncated(person: Any, bundle: Path) -> Path:
    file: Path = person.write(EXPORT)
    file.write_text(file.read_text()[:-40])
    return file


def without_an_image(person: Any, bundle: Path) -> Path:
    person.drop_image(1)
    file: Path = person.write(EXPORT)
    return file


def of_another_image(person: Any, bundle: Path) -> Path:
    person.content["images"][1]["file_name"] = "elsewhere.jpg"
    file: Path = person.write(EXPORT)
    return file


def of_no_bundle(person: Any, bundle: Path) -> Path:
    shutil.rmtree(bundle)
    file: Path = person.write(EXPORT)
    return file


def of_another_class(person: Any, bundle: Path) -> Path:
    person.rename(person.objects(1)[0], "rivet")
    file: Path = person.write(EXPORT)
    return file


def of_an_image_that_changed(person: Any, bundle: Path) -> Path:
    image = ROOT / "images/train/1.jpg"
    image.write_bytes(image.read_bytes() + b"\0")
    file: Path = person.write(EXPORT)
    return file


def of_a_bundle_cut_off(person: Any, bundle: Path) -> Path:
    (bundle / "bundle.json").write_text((bundle / "bundle.json").read_text()[:200])
    shutil.copy(person.write(EXPORT) / "instances_default.json", bundle)
    return bundle


def of_a_bundle_of_a_later_release(person: Any, bundle: Path) -> Path:
    file = bundle / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 2}))
    (bundle / "instances.json").write_text((person.write(EXPORT) / "instances_default.json").read_text())
    return bundle


@pytest.mark.parametrize(
    ("spoil", "what"),
    [
        (without_an_image, "1 of 3 images of the bundle are not in it"),
        (of_another_image, "1 image is named that this bundle did not ask about"),
        (of_no_bundle, "no bundle below runs/annotate asked about its images"),
        (of_another_class, "objects that data/parts cannot hold"),
        (of_an_image_that_changed, "images/train/1.jpg changed, or is gone, since it was asked about"),
        (of_a_bundle_cut_off, "not JSON"),
        (of_a_bundle_of_a_later_release, "format 2, which a later release"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_broken_or_foreign_answers_change_nothing(workspace: Path, spoil: Callable[[Any, Path], Path], what: str) -> None:
    bundle, person = asked("coco")
    person.rename(person.objects(0)[0], "bolt")
    source = spoil(person, bundle)

    refusal = nothing_changes(source)

    assert what in refusal.what
    assert refusal.fix


def test_an_export_that_was_cut_off_changes_nothing(workspace: Path) -> None:
    bundle, person = asked("label-studio")
    person.rename(person.objects(0)[0], "bolt")

    refusal = nothing_changes(truncated(person, bundle))

    assert "not JSON" in refusal.what


def test_a_part_of_the_images_is_taken_where_that_is_meant(workspace: Path) -> None:
    _, person = asked("coco")
    person.rename(person.objects(0)[0], "bolt")
    person.drop_image(1)

    answer(person.write(EXPORT), is_partial=True)

    assert (ROOT / "labels/train/0.txt").read_text() == "1" + "".join(BOXES)[1:]
    assert (ROOT / "labels/train/1.txt").read_text() == "".join(BOXES)


@pytest.mark.parametrize("images", ["path", "url"])
def test_images_that_stayed_where_they_are_are_told_apart_by_their_folders(workspace: Path, images: str) -> None:
    make_dataset()
    review([doubt(0, 1), doubt(0, 1, split="val"), doubt(1, 1)])
    folder = {"path": str(workspace / "data"), "url": "https://images.example/set%20one"}[images]
    for _ in range(2):
        bundle = ask("label-studio", images=images, prefix=folder)
    person = TOOLS["label-studio"](bundle)
    person.rename(person.objects(1)[0], "bolt")

    answer(person.write(EXPORT))

    assert (ROOT / "labels/train/0.txt").read_text() == "".join(BOXES)
    assert (ROOT / "labels/val/0.txt").read_text() == "1" + "".join(BOXES)[1:]
    assert ("images/val/0.jpg", "1", "class changed", "nut", "bolt") in changes(bundle)


def test_a_task_that_nobody_submitted_is_no_answer(workspace: Path) -> None:
    bundle, person = asked("label-studio")
    person.tasks[0]["annotations"] = []

    answer(person.write(EXPORT))

    assert "images/train/0.jpg" not in {row[0] for row in changes(bundle)}


def test_an_export_of_boxes_does_not_replace_outlines(workspace: Path) -> None:
    _, person = asked("coco", "polygons")
    for thing in person.content["annotations"]:
        thing["segmentation"] = []

    refusal = nothing_changes(person.write(EXPORT))

    assert refusal.what == "the export has boxes where the dataset has outlines"


def test_a_bundle_that_nobody_touched_confirms_nothing(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundle, _ = asked("cvat")
    before = every_byte()

    with caplog.at_level("INFO"):
        answer(bundle)

    assert every_byte() == before
    assert "as they were written, so nobody has answered" in caplog.text


def test_a_doubt_is_not_asked_twice(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, person = asked("label-studio")
    person.rename(person.objects(1)[1], "washer")
    answer(person.write(EXPORT))
    review([*DOUBTED, doubt(2, 1), doubt(0, None, "overlooked", "val", "61 41 81 61"), doubt(0, 2)])

    with caplog.at_level("INFO"):
        second = ask("label-studio")

    entries = Bundle.open(second).entries
    assert [(entry.file, [d.line for d in entry.doubts]) for entry in entries] == [
        ("data/parts/images/train/0.jpg", [2]),
        ("data/parts/images/train/2.jpg", [1]),
    ]
    assert "4 doubts answered before left out" in caplog.text


def test_answers_are_remembered_by_image_and_line_and_survive_a_new_name(workspace: Path) -> None:
    _, person = asked("coco")
    answer(person.write(EXPORT))
    for kind, suffix in (("images", "jpg"), ("labels", "txt")):
        (ROOT / f"{kind}/train/0.{suffix}").rename(ROOT / f"{kind}/train/renamed.{suffix}")
    row = doubt(0, 1) | {"image": "images/train/renamed.jpg"}
    review([row, doubt(2, 1)])

    second = ask("coco")

    assert [entry.file for entry in Bundle.open(second).entries] == ["data/parts/images/train/2.jpg"]


def from_folder(what: str, num: int = 3) -> tuple[Path, Any]:
    """A bundle of new images, in which a person has drawn a nut on each."""
    make_dataset()
    new_images(Path("pool"), num)
    bundle = ask("coco", what, images_from=Path("pool"), num=num, is_blank=True)
    person = TOOLS["coco"](bundle)
    for number in range(num):
        nut = {"category_id": 1, "bbox": [10, 10, 20, 20], "segmentation": [], "iscrowd": 0}
        person.content["annotations"].append(nut | {"id": number, "image_id": person.content["images"][number]["id"]})
    return bundle, person


def test_images_for_the_gate_go_into_split_test_and_nowhere_else(workspace: Path) -> None:
    bundle, person = from_folder("gate")
    record_file = ROOT / record.RECORD
    record_file.write_bytes(record.as_csv(record.read(ROOT)))

    refusal = nothing_changes(person.write(EXPORT), split="train")
    answer(person.write(EXPORT))

    assert refusal.what == "answers to `gate` go to split test"
    images = sorted(file.name for file in (ROOT / "images/test").iterdir())
    assert len(images) == 5
    assert {"0.jpg", "1.jpg", "2.jpg"} < set(images)
    label = "0 0.20833333 0.3125 0.20833333 0.3125\n"
    assert [file.read_text() for file in sorted((ROOT / "labels/test").iterdir()) if file.name not in ("0.txt", "1.txt")] == [
        label
    ] * 3
    assert record.read(ROOT).select("split", "file").rows() == [("test", "")] * 3
    before = every_byte()
    answer(person.write(EXPORT))
    assert every_byte() == before
    assert len({entry.sha256 for entry in Bundle.open(bundle).entries}) == 3


def test_a_rule_that_was_changed_by_hand_is_refused(workspace: Path) -> None:
    bundle, person = from_folder("gate")
    file = bundle / "bundle.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"splits": ["train"]}))

    refusal = nothing_changes(person.write(EXPORT), named=bundle)

    assert refusal.what == "it says that its answers may go to train; those of `gate` go to split test"


def test_an_image_that_judges_by_now_is_not_taught(workspace: Path) -> None:
    _, person = asked("coco")
    person.rename(person.objects(0)[0], "bolt")
    for kind, suffix in (("images", "jpg"), ("labels", "txt")):
        (ROOT / f"{kind}/train/0.{suffix}").rename(ROOT / f"{kind}/test/moved.{suffix}")

    refusal = nothing_changes(person.write(EXPORT))

    assert "is in split test" in refusal.what


def test_an_image_that_splits_csv_remembers_as_judging_is_not_taught(workspace: Path) -> None:
    bundle, person = from_folder("gate")
    entry = Bundle.open(bundle).entries[0]
    (ROOT / record.RECORD).write_text(f"{','.join(record.SCHEMA)}\n{entry.sha256},train,,,,,\n")

    refusal = nothing_changes(person.write(EXPORT))

    assert f"{entry.name} was in split train, as splits.csv says" in refusal.what


@pytest.mark.parametrize("at", [1, 2], ids=["first", "second"])
def test_an_error_at_the_replace_leaves_the_old_labels_whole(workspace: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    _, person = asked("coco")
    for image in (0, 1):
        person.rename(person.objects(image)[0], "washer")
    source, before, replace, calls = person.write(EXPORT), every_byte(), Path.replace, list[Path]()

    def broken(self: Path, target: Path) -> Path:
        if target.suffix == ".txt":
            calls.append(target)
            if len(calls) == at:
                raise OSError(5, "the disk fails")
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", broken)
        with pytest.raises(OSError, match="the disk fails"):
            answer(source)
    assert every_byte() == before
    assert journal.mend() == []

    answer(source)

    assert (ROOT / "labels/train/1.txt").read_text() == "2" + "".join(BOXES)[1:]


def test_a_kill_in_the_middle_is_mended_by_the_next_call(workspace: Path) -> None:
    _, person = asked("coco")
    for image in (0, 1):
        person.rename(person.objects(image)[0], "washer")
    source, before = person.write(EXPORT), every_byte()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(source)], env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, check=False
    )
    assert done.returncode == 9
    assert (ROOT / "labels/train/0.txt").read_bytes() != before[str(ROOT / "labels/train/0.txt")]

    (backup,) = journal.mend()

    after = every_byte()
    assert {name: content for name, content in after.items() if name in before} == before
    assert backup.parent == journal.BACKUPS
