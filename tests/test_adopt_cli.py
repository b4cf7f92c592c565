"""The verb as it is typed: archives, what is not known, names, suggestions and errors."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tasks.adopt import archives, suggest
from tasks.adopt.__main__ import main
from tasks.adopt.names import file_names
from tasks.adopt.recognise import LOOKED_FOR
from tasks.adopt.yolo import class_names
from tasks.common import params
from tasks.common.dataset import label_file, read_dataset
from tasks.common.errors import DatasetError
from tests import exports
from tests.exports import NAMES, Shot, Thing, adopt_export, shoot
from tests.validate_data import ROOT


@pytest.fixture
def workspace(workspace: Path) -> Path:
    for name in ("dvc.yaml", "champion.yaml"):
        shutil.copy(ROOT / name, workspace)
    return workspace


def refusal_of(source: Path, **options: Any) -> DatasetError:
    with pytest.raises(DatasetError) as refusal:
        adopt_export(source, **options)
    return refusal.value


def test_the_name_of_the_export_becomes_that_of_the_dataset(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    exports.voc(workspace / "My Export (2)", shoot(workspace / "shots", 20))

    with caplog.at_level(logging.INFO):
        main(["My Export (2)"])

    assert (workspace / "data/my-export-2/data.yaml").is_file()
    assert "found     Pascal VOC (part_000.xml and so on): 20 images, 39 boxes" in caplog.text
    assert caplog.text.rstrip().endswith("next      put these lines into params.yaml, then make run")


def test_a_dry_run_writes_nothing(workspace: Path) -> None:
    exports.voc(workspace / "export", shoot(workspace / "shots", 20))

    main(["export", "--dry-run", "--write-params"])

    assert not (workspace / "data").exists()
    assert (workspace / "params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_suggestions_are_written_into_params_yaml_and_every_other_line_stays(workspace: Path) -> None:
    crowd = tuple(Thing("nut", ((x, 10), (x + 4, 14))) for x in range(1, 90)) * 4
    shots = [Shot(s.file, s.size, crowd if i == 0 else s.things) for i, s in enumerate(shoot(workspace / "shots", 20))]
    exports.voc(workspace / "parts", shots)
    before = (workspace / "params.yaml").read_text().splitlines()

    main(["parts", "--write-params", "--group", r"(part_\d+)"])

    after = (workspace / "params.yaml").read_text().splitlines()
    values = params.load()
    assert (values.data.path, values.baseline.weights) == ("data/parts", "models/tiny-det.yaml")
    assert values.evaluate.max_det == 450
    assert values.gate.group_by == {"pattern": r"(part_\d+)"}
    assert values.train.imgsz == 96
    changed = [line.split(":")[0].strip() for line in set(after) - set(before)]
    assert sorted(changed) == ["imgsz", "max_det", "path", "pattern", "weights"]
    assert {line.partition("#")[2] for line in before} <= {line.partition("#")[2] for line in after}


def test_what_was_raised_for_a_crowded_set_goes_back_for_another_set(workspace: Path) -> None:
    crowd = tuple(Thing("nut", ((x, 10), (x + 4, 14))) for x in range(1, 90)) * 4
    shots = shoot(workspace / "shots", 20)
    exports.voc(workspace / "crowded", [Shot(shots[0].file, shots[0].size, crowd), *shots[1:]])
    exports.voc(workspace / "parts", shots)
    main(["crowded", "--write-params", "--group", r"(part_\d+)"])
    by_hand = (workspace / "params.yaml").read_text().replace("max_det: 450", "max_det: 600")
    (workspace / "params.yaml").write_text(by_hand)

    main(["crowded", "--write-params"])
    kept = params.load()
    main(["parts", "--write-params"])

    assert (kept.evaluate.max_det, kept.gate.group_by) == (600, {"pattern": r"(part_\d+)"})
    assert (params.load().evaluate.max_det, params.load().gate.group_by) == (300, None)


def test_an_error_is_a_block(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["nowhere"])

    assert end.value.code == 1
    assert capsys.readouterr().err == (
        "error: no such folder or archive\n"
        f"where: {workspace / 'nowhere'}\n"
        "next:  Name the folder or the .zip file of the export.\n"
    )


def test_a_file_of_the_export_leads_to_its_folder(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exports.roboflow(workspace / "export", shoot(workspace / "shots", 5))

    with pytest.raises(SystemExit):
        main(["export/../export/data.yaml"])

    assert capsys.readouterr().err == (
        "error: expected a folder or a .zip file\n"
        f"where: {workspace / 'export/data.yaml'}\n"
        f"next:  Name the folder that holds it, {workspace / 'export'}; another archive than a .zip must be unpacked first.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ([], "no export is named"),
        (["export", "--name", "../x"], "'../x' cannot be the name of a folder below data/"),
        (["export", "--test", "0.9"], "expected a share between 0 and 0.5, got 0.9"),
        (["export", "--write"], "--write is for --resplit without a PATH"),
        (["export", "--name", "sample"], "data/sample is drawn by stage `sample`"),
        (["export", "--classes", "nut,screw"], "no class is called screw"),
        (["export", "--group", "site"], "'site' is no column, and as a pattern it has 0 groups"),
        (["export", "--group", "("], "'(' is no column and no regular expression"),
        (["."], "the export and data/x lie in each other"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    workspace: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], what: str
) -> None:
    exports.voc(workspace / "export", shoot(workspace / "shots", 12))
    if arguments == ["."]:
        arguments = [".", "--name", "x"]

    with pytest.raises(SystemExit):
        main(arguments)

    assert f"error: {what}" in capsys.readouterr().err
    assert not (workspace / "data").exists()


def test_an_unknown_folder_ends_with_what_was_looked_for_and_what_was_seen(workspace: Path) -> None:
    (workspace / "export/deep").mkdir(parents=True)
    (workspace / "export/notes.md").write_text("x")
    (workspace / "export/deep/labels.csv").write_text("x")
    shoot(workspace / "export", 2)

    error = refusal_of(workspace / "export")

    assert error.what == "not known: it has 4 files (2 .jpg, 1 .md, 1 .csv), such as notes.md, deep/labels.csv"
    assert error.fix.startswith(f"Looked for: {LOOKED_FOR}")


def test_the_xml_of_cvat_itself_is_named(workspace: Path) -> None:
    (workspace / "export").mkdir()
    (workspace / "export/annotations.xml").write_text("<annotations><version>1.1</version><image/></annotations>")

    assert refusal_of(workspace / "export").what == "CVAT for images (XML)"


@pytest.mark.parametrize("tool", ["CVAT COCO 1.0", "Label Studio JSON", "Pascal VOC", "CVAT YOLO 1.1"])
def test_an_export_without_images_says_how_to_get_them_and_takes_them_from_another_folder(workspace: Path, tool: str) -> None:
    shots = shoot(workspace / "shots", 12)
    exports.BOXES[tool](workspace / "export", shots, NAMES)
    for image in (workspace / "export").rglob("*.jpg"):
        image.unlink()

    assert "--images FOLDER" in refusal_of(workspace / "export").fix
    folder = adopt_export(workspace / "export", images=workspace / "shots")
    assert len(read_dataset(folder).images) == 12


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "a/../../evil.txt", "..\\evil.txt", "C:\\evil.txt"])
def test_an_archive_that_leads_out_of_its_folder_is_refused(workspace: Path, name: str) -> None:
    with zipfile.ZipFile(workspace / "export.zip", "w") as archive:
        archive.writestr(name, "evil")

    assert "leads out of the folder" in refusal_of(workspace / "export.zip").what
    assert list(workspace.rglob("*evil*")) == []


def test_an_archive_with_a_link_is_refused(workspace: Path) -> None:
    with zipfile.ZipFile(workspace / "export.zip", "w") as archive:
        link = zipfile.ZipInfo("images")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc")

    assert refusal_of(workspace / "export.zip").what == "'images' is a link"


def test_an_archive_that_is_too_large_is_refused_before_it_is_unpacked(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(workspace / "export.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.txt", b"0" * 300 * 2**20)

    assert "no export of images shrinks so much" in refusal_of(workspace / "export.zip").what
    monkeypatch.setattr(archives, "MAX_FILES", 0)
    assert refusal_of(workspace / "export.zip").what.startswith("1 file with 0.3 GB unpacked")


def test_an_archive_that_was_cut_off_says_so(workspace: Path) -> None:
    (workspace / "export.zip").write_bytes(b"PK\x03\x04 and no more")

    assert refusal_of(workspace / "export.zip").what == "cannot be unpacked: File is not a zip file"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a", "b"], ["a", "b"]),
        ({0: "a", 1: "b"}, ["a", "b"]),
        ({"1": "b", "0": "a"}, ["a", "b"]),
        ({0: "a", 2: "c"}, ["a", "unnamed 1", "c"]),
        ("a, b", ["a", "b"]),
        ([1, True], ["1", "True"]),
    ],
    ids=["list", "dict", "text keys", "a gap", "text", "no text"],
)
def test_class_names_in_every_form(names: Any, expected: list[str]) -> None:
    assert class_names(names, "data.yaml:1") == expected


@pytest.mark.parametrize("names", [None, [], {}, {"x": "a"}, {-1: "a"}, ["a", "a"], 5], ids=str)
def test_class_names_that_are_none_are_refused(names: Any) -> None:
    with pytest.raises(DatasetError):
        class_names(names, "data.yaml:1")


def test_images_of_equal_names_get_names_of_their_own() -> None:
    assert file_names(["a/1.jpg", "b/1.jpg", "b/1.png", "2.jpg"], ["aa" * 32, "bb" * 32, "cc" * 32, "dd" * 32], {}) == [
        "a/1.jpg", "b/1-bbbbbbbb.jpg", "b/1-cccccccc.png", "2.jpg",
    ]  # fmt: skip


def test_folders_with_equal_names_keep_their_labels_apart(workspace: Path) -> None:
    for site, first in (("a", 0), ("b", 10)):
        shots = shoot(workspace / f"shots_{site}", 10, first=first)
        for i, shot in enumerate(shots):
            exports.put(shot, workspace / f"export/{site}/{i}.jpg", workspace / f"export/{site}/{i}.txt")
    (workspace / "export/classes.txt").write_text("\n".join(NAMES))

    folder = adopt_export(workspace / "export")

    sources = {p.read_bytes(): p.with_suffix(".txt").read_text() for p in (workspace / "export").rglob("*.jpg")}
    images = read_dataset(folder).images
    assert len(images) == 20
    for image in images:
        numbers = [[float(word) for word in line.split()] for line in label_file(image).read_text().splitlines()]
        source = [[float(word) for word in line.split()] for line in sources[image.read_bytes()].splitlines()]
        assert numbers == source


def test_a_column_of_metadata_groups_and_comes_along(workspace: Path) -> None:
    shots = shoot(workspace / "shots", 20)
    exports.fiftyone(workspace / "export", shots)
    rows = [f"{shot.name},slide {i // 4}" for i, shot in enumerate(shots)]
    (workspace / "export/metadata.csv").write_text("image,slide\n" + "\n".join(rows) + "\n")

    main(["export", "--group", "slide", "--draw", "--write-params"])

    folder = workspace / "data/export"
    slides = {row.split(",")[0]: row.split(",")[1] for row in (folder / "metadata.csv").read_text().splitlines()[1:]}
    splits = {slide: {file.split("/")[1] for file, own in slides.items() if own == slide} for slide in slides.values()}
    assert all(len(found) == 1 for found in splits.values())
    assert params.load().gate.group_by == {"column": "slide"}


def test_an_image_that_two_splits_name_is_drawn(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    exports.cvat_ultralytics(workspace / "export", shoot(workspace / "shots", 20))
    file = workspace / "export/data.yaml"
    file.write_text(file.read_text() + "val: images/train\n")

    with caplog.at_level(logging.INFO):
        folder = adopt_export(workspace / "export")

    assert "data.yaml: 20 images that are in two splits are drawn anew, as where val is the folder of train" in caplog.text
    assert {split: len(images) for split, images in read_dataset(folder).splits.items()} == {"train": 12, "val": 2, "test": 6}


def test_the_image_size_goes_by_the_small_objects_and_not_beyond_the_image() -> None:
    from tasks.adopt.types import Item, Shape

    items = [Item(Path("a.jpg"), "a.jpg", [Shape("nut", "box", (0.5, 0.5, 0.025, 0.025))])]

    assert suggest.image_size(items, [2000.0]) == 640
    assert suggest.image_size(items, [300.0]) == 320
    assert suggest.image_size([], [2000.0]) is None


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    assert "--resplit" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("tool", "kind"), [("Roboflow YOLO", "boxes"), ("CVAT COCO 1.0", "polygons"), ("Pascal VOC", "boxes")])
def test_an_adopted_export_passes_validate_without_an_edit(workspace: Path, tool: str, kind: str) -> None:
    exports.BOXES[tool](workspace / "export", shoot(workspace / "shots", 60, kind), NAMES)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    for module in (["tasks.adopt", "export", "--write-params"], ["tasks.validate"]):
        done = subprocess.run(
            [sys.executable, "-m", *module], cwd=workspace, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    report = json.loads((workspace / "reports/validation.json").read_text())
    assert report["passed"]


@pytest.mark.parametrize("put", ["file", "link"])
def test_what_is_no_folder_is_never_replaced_by_a_dataset(workspace: Path, put: str) -> None:
    exports.voc(workspace / "export", shoot(workspace / "shots", 20))
    place = workspace / "data/parts"
    place.parent.mkdir(exist_ok=True)
    if put == "file":
        place.write_text("precious")
    else:
        (workspace / "elsewhere").mkdir()
        place.symlink_to(workspace / "elsewhere")

    assert "a link or a file is there" in refusal_of(workspace / "export").what
    assert place.is_symlink() or place.read_text() == "precious"


def test_links_out_of_the_export_and_pipes_are_left_out_and_counted(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    exports.label_img(workspace / "export", shoot(workspace / "shots", 20))
    inside = next((workspace / "export").rglob("*.jpg"))
    (workspace / "secret.jpg").write_text("root:x:0")
    inside.with_name("away.jpg").symlink_to(workspace / "secret.jpg")
    inside.with_name("nowhere.jpg").symlink_to(workspace / "gone.jpg")
    os.mkfifo(inside.with_name("pipe.jpg"))
    inside.with_name("phone.heic").write_bytes(b"")

    with caplog.at_level(logging.INFO):
        folder = adopt_export(workspace / "export")

    assert len(read_dataset(folder).images) == 20
    assert "3 entries are left out: links out of the export or nowhere, pipes and the like" in caplog.text
    assert "1 picture or video is of a kind that is not read, such as phone.heic" in caplog.text


def test_labels_in_a_folder_of_another_name_are_found_and_those_without_an_image_named(
    workspace: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exports.roboflow(workspace / "export", shoot(workspace / "shots", 30))
    labels = workspace / "export/train/labels"
    number = len(list(labels.iterdir()))
    labels.rename(labels.with_name("Labels"))
    next((workspace / "export/valid/images").iterdir()).unlink()

    with caplog.at_level(logging.INFO):
        folder = adopt_export(workspace / "export")

    assert f"{number} label files lie elsewhere than Ultralytics looks" in caplog.text
    assert "1 label file without an image left out" in caplog.text
    assert all(label_file(image).is_file() for image in read_dataset(folder).images)


def test_another_dataset_does_not_take_the_place_of_one(workspace: Path) -> None:
    exports.voc(workspace / "one", shoot(workspace / "shots", 20))
    exports.voc(workspace / "other", shoot(workspace / "others", 20, first=500))
    adopt_export(workspace / "one")

    assert "this is another dataset" in refusal_of(workspace / "other").what


def test_an_export_with_one_subset_contradicts_no_split(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    exports.cvat_ultralytics(workspace / "export", shoot(workspace / "shots", 30))
    adopt_export(workspace / "export")

    with caplog.at_level(logging.INFO):
        adopt_export(workspace / "export")

    assert "in another split in the export" not in caplog.text
    assert "changes   none" in caplog.text


def test_no_class_at_all_is_refused(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exports.voc(workspace / "export", shoot(workspace / "shots", 20))

    with pytest.raises(SystemExit):
        main(["export", "--classes", " , "])

    assert "it names no class" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("nc: 9\nnames: [nut, bolt, washer]", "`nc: 9`, but `names` has 3 classes"),
        ("names: [[nut], bolt, washer]", "['nut'] is no name of a class"),
        ("train: nowhere/images\nnames: [nut, bolt, washer]", "`train: nowhere/images` leads to no image of the export"),
    ],
    ids=["nc", "names", "train"],
)
def test_a_data_yaml_that_contradicts_itself_is_refused(workspace: Path, wrong: str, words: str) -> None:
    exports.roboflow(workspace / "export", shoot(workspace / "shots", 20))
    file = workspace / "export/data.yaml"
    replaced = {line.partition(":")[0] for line in wrong.splitlines()}
    kept = [line for line in file.read_text().splitlines() if line.partition(":")[0] not in {*replaced, "nc"}]
    file.write_text("\n".join([*kept, wrong]) + "\n")

    refusal = refusal_of(workspace / "export")

    assert words in refusal.what
    assert refusal.where.startswith(f"{file}:")


def test_the_error_of_an_archive_names_the_archive(workspace: Path) -> None:
    (workspace / "empty.txt").write_text("")
    with zipfile.ZipFile(workspace / "export.zip", "w") as archive:
        archive.write(workspace / "empty.txt", "empty.txt")

    assert refusal_of(workspace / "export.zip").where == str(workspace / "export.zip")


def test_edits_that_are_given_up_are_named(workspace: Path, caplog: pytest.LogCaptureFixture) -> None:
    exports.voc(workspace / "export", shoot(workspace / "shots", 20))
    folder = adopt_export(workspace / "export")
    label = label_file(min(read_dataset(folder).images))
    label.write_text("0 0.5 0.5 0.25 0.25\n")

    assert "1 file was changed" in refusal_of(workspace / "export").what
    with caplog.at_level(logging.INFO):
        adopt_export(workspace / "export", discard_edits=True)

    assert f"given up  1 change made in {folder}" in caplog.text
    assert label.name in caplog.text


def test_a_list_of_a_yolo_set_finds_its_images_in_the_folder_of_images(workspace: Path) -> None:
    exports.roboflow(workspace / "export", shoot(workspace / "shots", 20))
    (workspace / "pictures").mkdir()
    for image in sorted((workspace / "export").rglob("*.jpg")):
        image.rename(workspace / "pictures" / image.name)
    for split in ("train", "valid", "test"):
        names = sorted(file.stem for file in (workspace / f"export/{split}/labels").iterdir())
        (workspace / f"export/{split}.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    (workspace / "export/data.yaml").write_text("train: train.txt\nval: valid.txt\ntest: test.txt\nnames: [nut, bolt, washer]\n")

    folder = adopt_export(workspace / "export", images=workspace / "pictures")

    dataset = read_dataset(folder)
    assert len(dataset.images) == 20
    assert all(label_file(image).is_file() for image in dataset.images)
