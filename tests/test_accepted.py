"""What a stage reads is what its manifest says, before and after; what cannot be handed on unchanged is refused first."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.common import filecache, hashes
from tasks.common import params as parameters
from tasks.common.accepted import accepted_dataset, unchanged
from tasks.common.dataset import LINE_BREAKS, digest, label_file, label_path, read_dataset
from tasks.common.errors import DatasetError
from tasks.common.params import Params
from tasks.measure import yolo
from tasks.measure.view import images_folder
from tests import training, validate_data
from tests.validate_data import LABEL, ROOT, SQUARE, TRIANGLE, add_image, draw, run

data = validate_data.data


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a validated dataset."""
    workspace = tmp_path_factory.mktemp("validated")
    with contextlib.chdir(workspace):
        validate_data.copy_settings(workspace)
        validate_data.make_dataset(Path("data/tiny"))
        images = sorted(file.relative_to("data/tiny").as_posix() for file in Path("data/tiny").rglob("*.jpg"))
        Path("data/tiny/metadata.csv").write_text("image,site\n" + "".join(f"{image},a\n" for image in images))
        run()
    return workspace


@pytest.fixture
def accepted(validated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that workspace, to be changed; returns the set's folder."""
    shutil.copytree(validated, tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w/data/tiny"


def settings() -> Params:
    return parameters.load(overrides=["data.path=data/tiny"])


def read(*splits: str, with_metadata: bool = False, during: Callable[[], object] = lambda: None) -> None:
    with accepted_dataset(settings(), *(splits or ("train", "val")), with_metadata=with_metadata):
        during()


def swap(first: Path, second: Path) -> None:
    first.rename(first.with_name("x"))
    second.rename(first)
    first.with_name("x").rename(second)


def rename_a_class(data: Path) -> None:
    layout = data / "data.yaml"
    layout.write_text(layout.read_text().replace("nut", "bun"))


def edit_keeping_size_and_time(file: Path) -> None:
    before = file.stat()
    file.write_bytes(file.read_bytes()[::-1])
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = {
    "a label": (lambda d: (d / LABEL).write_text(SQUARE), "labels/train/1.txt changed"),
    "a label of the same size and time": (lambda d: edit_keeping_size_and_time(d / LABEL), "labels/train/1.txt changed"),
    "a picture": (lambda d: draw(d / "images/val/0.jpg", 999), "images/val/0.jpg changed"),
    "a label that went": (lambda d: (d / LABEL).unlink(), "labels/train/1.txt is gone"),
    "a picture that went": (lambda d: (d / "images/train/3.jpg").unlink(), "images/train/3.jpg is gone"),
    "a picture that came": (lambda d: draw(d / "images/train/new.jpg", 5), "images/train/new.jpg is new"),
    "two that changed places": (
        lambda d: swap(d / "images/train/0.jpg", d / "images/train/1.jpg"),
        "images/train/0.jpg changed\nimages/train/1.jpg changed",
    ),
    "a class": (rename_a_class, "data.yaml: other classes"),
    "a folder as label": (lambda d: ((d / LABEL).unlink(), (d / LABEL).mkdir()), "labels/train/1.txt is gone"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
def test_data_that_is_not_as_it_was_validated_is_refused_before_it_is_read(accepted: Path, name: str) -> None:
    change, named = CHANGES[name]
    read()
    change(accepted)

    with pytest.raises(DatasetError) as caught:
        read(during=lambda: pytest.fail("it was read"))

    assert named in caught.value.what
    assert " changed since it was validated (" in caught.value.what
    assert caught.value.fix == "Run `dvc repro validate`."


@pytest.mark.parametrize("name", CHANGES)
def test_data_that_changes_while_it_is_read_is_refused(accepted: Path, name: str) -> None:
    change, named = CHANGES[name]

    with pytest.raises(DatasetError) as caught:
        read(during=lambda: change(accepted))

    assert named in caught.value.what


def test_what_a_changed_file_does_to_a_library_is_told_by_the_file(accepted: Path) -> None:
    def library() -> None:
        (accepted / "images/train/3.jpg").unlink()
        raise FileNotFoundError("from the depths")

    with pytest.raises(DatasetError, match=r"images/train/3\.jpg is gone"):
        read(during=library)


def test_an_error_over_data_that_stayed_is_kept(accepted: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        read(during=lambda: 1 / 0)


def test_only_what_is_read_is_compared(accepted: Path) -> None:
    (accepted / "labels/test/0.txt").write_text(SQUARE)
    (accepted / "metadata.csv").write_text("image,site\n")

    read("train", "val")

    with pytest.raises(DatasetError, match=r"labels/test/0\.txt changed"):
        read("test")
    with pytest.raises(DatasetError, match=r"metadata\.csv changed"):
        read("val", with_metadata=True)


def test_a_file_that_was_touched_or_copied_in_place_is_the_same(accepted: Path) -> None:
    content = (accepted / LABEL).read_bytes()
    (accepted / LABEL).unlink()
    (accepted / LABEL).write_bytes(content)
    os.utime(accepted / "images/train/0.jpg", (0, 0))

    read()


@pytest.mark.slow
def test_a_manifest_that_is_written_anew_while_data_is_read_is_noticed(accepted: Path) -> None:
    def validate_again() -> None:
        (accepted / LABEL).write_text(SQUARE)
        run()

    with pytest.raises(DatasetError, match="validated anew"):
        read(during=validate_again)


def test_without_its_memory_a_checkout_names_the_split(accepted: Path) -> None:
    (accepted / LABEL).write_text(SQUARE)
    shutil.rmtree("runs")

    with pytest.raises(DatasetError, match="split train: files changed"):
        read()


def test_the_first_twenty_changes_are_named(accepted: Path) -> None:
    for number in range(30):
        draw(accepted / f"images/train/new{number:02d}.jpg", number)

    with pytest.raises(DatasetError) as caught:
        read()

    assert caught.value.what.startswith(
        "split `train` changed since it was validated (30 changes):\nimages/train/new00.jpg is new\n"
    )
    assert caught.value.what.endswith("images/train/new19.jpg is new\nand 10 more")


def test_a_second_look_reads_no_file(accepted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filecache, "RACY_NS", -(10**12))
    read()
    monkeypatch.setattr(hashes, "sha256_of", lambda file: pytest.fail(f"{file} was read again"))

    read()


@pytest.mark.parametrize("content", [b"", b"PAR1 junk", b"\0" * 1000], ids=["cut", "junk", "zeros"])
def test_a_broken_memory_of_hashes_is_made_anew(accepted: Path, content: bytes) -> None:
    read()
    for file in Path("runs/hashes").iterdir():
        file.write_bytes(content)

    read()


@pytest.mark.slow
def test_images_that_are_left_out_are_left_out_of_what_every_stage_reads(data: Path) -> None:
    for number in range(4, 8):
        add_image(data, str(number), 50 + number)
    (data / "labels/train/7.txt").write_text("9 0.1 0.1 0.3 0.1 0.3 0.3\n")
    run("validate.on_bad=quarantine", "validate.max_quarantined_share=0.2")

    with accepted_dataset(settings(), "train") as found:
        names = [image.name for image in found.dataset.splits["train"]]
        (data / "labels/train/7.txt").write_text("1 0.1 0.1 0.3 0.1 0.3 0.3\n")

    assert names == [f"{number}.jpg" for number in range(7)]


@pytest.mark.slow
def test_data_that_changes_while_it_is_validated_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks import validate

    genuine = validate.reports

    def slow(*arguments: Any) -> dict[str, bytes]:
        (data / LABEL).write_text(SQUARE)
        return genuine(*arguments)

    monkeypatch.setattr(validate, "reports", slow)

    with pytest.raises(DatasetError, match=r"changed while it was read \(1 change\):\nlabels/train/1\.txt changed"):
        run()
    assert not Path("reports/dataset.json").exists()


def test_a_folder_without_a_manifest_must_stay_while_it_is_read(data: Path) -> None:
    dataset = read_dataset(data)

    with unchanged(dataset, "val") as sha256:
        (data / LABEL).write_text(SQUARE)
    with pytest.raises(DatasetError, match=r"labels/val/1\.txt changed"), unchanged(dataset, "val"):
        (data / "labels/val/1.txt").write_text(SQUARE)

    assert sha256 != digest(data, dataset.splits["val"])


def names(data: Path, written: str) -> tuple[str, ...]:
    (data / "data.yaml").write_text(f"train: images/train\nval: images/val\ntest: images/test\nnames: {written}\n")
    return read_dataset(data).names


LOST = {
    '["a\\nb", c]': "line break", '["a\\rb", c]': "line break", '["a\\x0bb", c]': "line break", '["a\\x1cb", c]': "line break",
    '["a\\x85b", c]': "line break", '["a\\u2028b", c]': "line break", '["a\\u2029b", c]': "line break",
    '["a\\0b", c]': "control", '["a\\eb", c]': "control", '["\\tb", c]': "control", '["a\\x7f", c]': "control",
    '["\\ud800", c]': "control", "[yes, null]": "class 1: a name that is not text", "[~, c]": "not text", "[1e5, c]": "not text",
    "[0x10, c]": "not text", "[007, c]": "not text", "[2020-01-01, c]": "not text", "[1.0, c]": "not text",
    "[[a], c]": "not text",
    "[true, c]": "not text", "['', c]": "empty", "['  ', c]": "empty", "[a, b, a]": "same name as class 0",
    f"[{'x' * 201}, c]": "201 characters", "[n01440764, n01443537]": "ImageNet", "{0: a, x: b}": "class ids",
}  # fmt: skip


@pytest.mark.parametrize("written", LOST)
def test_a_class_name_that_would_not_come_back_is_refused(data: Path, written: str) -> None:
    with pytest.raises(DatasetError) as caught:
        names(data, written)

    assert LOST[written] in str(caught.value)
    caught.value.block().encode()


KEPT = (
    *('["#", "a: b"]', "[' a', 'a ']", "[it's, 'say \"hi\"']", "['yes', 'null']", "['~', '1e5']", "[yes, no]", "[7, 8]"),
    *(
        "['007', '0x10']",
        '["\\u00e9", "e\\u0301"]',
        "[Nut, nut]",
        "['{a}', '[b]']",
        "['%TAG', '- x']",
        "['&a', '*b']",
        "['!x', '|']",
    ),
    *(
        '["\\u00a0a", "\\u200d"]',
        '["\\U0001F529", "\\u202e"]',
        "['\\n', 'a\\tb']",
        f"[{'x' * 200}, y]",
        "[n01440764x, n02]",
        "[a/b, ..]",
    ),
)


@pytest.mark.parametrize("written", KEPT)
def test_a_class_name_goes_through_the_files_unchanged(data: Path, written: str) -> None:
    from ultralytics.nn.autobackend import check_class_names
    from ultralytics.utils import YAML

    expected = names(data, written)
    file = yolo.write_data_yaml(read_dataset(data), Path("runs/x"))

    assert tuple(check_class_names(YAML.load(file)["names"]).values()) == expected


@pytest.mark.parametrize("character", [*LINE_BREAKS, os.fsdecode(b"\xe9")], ids=ascii)
def test_a_path_that_no_list_can_hold_is_refused_by_validate_and_again_before_training(data: Path, character: str) -> None:
    draw(data / f"images/train/a{character}b.jpg", 7)

    with pytest.raises(DatasetError) as caught:
        yolo.write_data_yaml(read_dataset(data), Path("runs/x"))

    assert "a path that Ultralytics cannot read" in caught.value.what
    caught.value.block().encode()


@pytest.mark.parametrize("character", ["\n", "\x0b", "\u2028", os.fsdecode(b"\xe9")], ids=ascii)
def test_a_checkout_in_a_folder_that_no_list_can_hold_is_refused(
    data: Path, monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    checkout = data.parents[1] / f"a{character}b"
    checkout.mkdir()
    (data.parent).rename(checkout / "data")
    monkeypatch.chdir(checkout)

    with pytest.raises(DatasetError) as caught:
        read_dataset(Path("data/tiny"))

    assert "the path of this folder holds" in caught.value.what
    caught.value.block().encode()


@pytest.mark.parametrize(
    "name", ["#", "a b", " a", "'", '"', "%41", "a\tb", "a\x1bb", "\u202e", "é", "日本", "*[a]?", "{x}", "-", "\\n", "x" * 200]
)
def test_an_odd_path_is_read_from_the_list_as_it_was_written(data: Path, name: str) -> None:
    draw(data / f"images/train/{name}.jpg", 7)
    dataset = read_dataset(data)

    file = yolo.write_data_yaml(dataset, Path("runs/x"))

    listed = file.with_name("train.txt").read_text(encoding="utf-8-sig").strip().splitlines()
    assert [Path(line).resolve() for line in listed] == [image.resolve() for image in dataset.splits["train"]]


def test_the_order_of_a_digest_is_that_of_paths(data: Path) -> None:
    for name in ("a/1.jpg", "a.b/1.jpg", "a b/1.jpg", "a-1.jpg", "a/b/0.jpg", "é.jpg", "Z.jpg"):
        draw(data / "images/train" / name, 3)

    images = read_dataset(data).splits["train"]

    assert list(images) == sorted(images)


def read_by_ultralytics(data: Path, split: str) -> SimpleNamespace:
    """Ultralytics' dataset of a split, from a view in runs/x."""
    top = images_folder(Path("runs/x"))
    files = [top / file.relative_to(data) for file in sorted((data / f"images/{split}").iterdir())]
    return SimpleNamespace(labels=[{"im_file": str(file), "cls": np.array([[0], [1]])} for file in files])


def test_images_and_objects_that_the_trainer_dropped_stop_it_before_the_first_epoch(accepted: Path) -> None:
    from tasks.train import counts

    own = {split: read_by_ultralytics(accepted, split) for split in ("train", "val")}
    plan = SimpleNamespace(stage="baseline")

    counts.require_accepted(plan, own, Path("runs/x"))  # type: ignore[arg-type]
    own["train"].labels[1]["cls"] = np.zeros((1, 1))
    with pytest.raises(DatasetError, match="read 4 images and 7 objects of split train, accepted were 4 and 8") as caught:
        counts.require_accepted(plan, own, Path("runs/x"))  # type: ignore[arg-type]
    assert caught.value.what.endswith("\nimages/train/1.jpg: 1 of 2 objects loaded")
    own["train"].labels[1]["cls"] = np.array([[0], [0]])
    with pytest.raises(DatasetError, match=r"\nimages/train/1\.jpg: classes \[0, 0\] loaded, its labels have \[0, 1\]"):
        counts.require_accepted(plan, own, Path("runs/x"))  # type: ignore[arg-type]
    del own["train"].labels[1]
    with pytest.raises(DatasetError, match=r"read 3 images and 6 objects .*\nimages/train/1\.jpg: not loaded"):
        counts.require_accepted(plan, own, Path("runs/x"))  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("line", ["0 0.5 0.5 0.2 0.2\n" * 2, "0 1.5 0.5 0.2 0.2\n"], ids=["line twice", "outside"])
def test_what_was_never_validated_is_compared_with_its_files_too(data: Path, line: str) -> None:
    """A golden set, and the data of `watch`: the images and labels that a model is shown are those of the folder."""
    from tasks.measure.predict import evaluation_settings, predict

    for label in (data / "labels").rglob("*.txt"):
        label.write_text("0 0.5 0.5 0.2 0.2\n")
    dataset = read_dataset(data)
    yolo.prepare()
    model = yolo.load(ROOT / "models/tiny-det.yaml")
    settings = evaluation_settings(parameters.load(overrides=["train.imgsz=64", "train.device=cpu"]))
    file = yolo.write_data_yaml(dataset, Path("runs/x"))

    ids = range(len(yolo.class_names(model)))
    assert len(predict(model, ids, file, dataset, settings, "val", Path("runs/x"))) == len(dataset.splits["val"])
    label_file(dataset.splits["val"][1]).write_text(line)
    file = yolo.write_data_yaml(dataset, Path("runs/x"))
    with pytest.raises(DatasetError, match=r"split `val` otherwise than its files say\nimages/val/1\.jpg: "):
        predict(model, ids, file, dataset, settings, "val", Path("runs/x"))


@pytest.mark.slow
def test_labels_of_two_images_count_once(data: Path) -> None:
    draw(data / "images/train/1.png", 88)
    assert label_path(str(data / "images/train/1.png")) == str(data / LABEL)
    checks = Path("expectations.yaml").read_text()  # `label-of-two-images` stops the run unless somebody lets it pass
    lenient = checks.replace(
        "{column: label_shared_with}\n    severity: critical", "{column: label_shared_with}\n    severity: warning"
    )
    Path("expectations.yaml").write_text(lenient)
    run()
    from tasks.train import counts

    counts.require_accepted(SimpleNamespace(stage="x"), {"train": read_by_ultralytics(data, "train")}, Path("runs/x"))  # type: ignore[arg-type]


def test_ultralytics_does_not_write_into_the_dataset(data: Path) -> None:
    from ultralytics.data.utils import check_image

    image = data / "images/train/1.jpg"
    image.write_bytes(image.read_bytes() + b"more")
    before = image.read_bytes()
    yolo.keep_images()

    check_image(str(image))

    assert image.read_bytes() == before


def test_labels_with_a_mark_and_odd_line_ends_are_read_the_same_everywhere(data: Path) -> None:
    from tasks.common.rows import lines_of

    (data / LABEL).write_bytes(b"\xef\xbb\xbf" + SQUARE.strip().encode() + b"\x0b" + TRIANGLE.encode())

    assert lines_of(data / LABEL) == [SQUARE.strip(), TRIANGLE.strip()]


EDIT_IN_EPOCH_2 = """
genuine = own._on_train_epoch_start
def edit(self):
    genuine(self)
    if self.epoch == 1:
        label = sorted(Path("data/sample/labels/train").iterdir())[0]
        label.write_text("0 0.5 0.5 0.9 0.5 0.9 0.9\\n")
own._on_train_epoch_start = edit
"""


@pytest.mark.slow
def test_a_training_whose_labels_are_edited_publishes_nothing_and_goes_on_with_the_old_ones(tmp_path: Path) -> None:
    root = training.make(tmp_path / "ws", {"sample": {"num_train": 8, "num_val": 4, "num_test": 4}})
    label = sorted((root / "data/sample/labels/train").iterdir())[0]
    content = label.read_bytes()

    edited = training.train_with(root, EDIT_IN_EPOCH_2, "baseline", is_forked=False)
    again = training.train(root, "baseline", ok=False)
    label.write_bytes(content)
    restored = training.train(root, "baseline")

    assert (edited.returncode, edited.stdout) == (1, "")
    assert "error: split `train` changed since it was validated (1 change):\n       split train: files changed" in edited.stderr
    assert "Traceback" not in edited.stderr
    assert again.startswith("error: split `train` changed since it was validated")
    assert "continues the unfinished run in runs/baseline after epoch 1 of 3" in restored
    assert training.result(root, "baseline")["resumed_after"] == [1]
