"""Classes are known by name: whose rows go on, whose detections are whose, and what nobody explained is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.common import params as parameters
from tasks.common.classes import Difference, class_ids, difference, require_explained
from tasks.common.dataset import Dataset, read_dataset
from tasks.common.errors import EvaluationError, ParamsError
from tasks.common.params import DataParams, Params
from tasks.sample.draw import draw_dataset

ROOT = Path(__file__).parents[1]
PARTS = ("washer", "nut", "bolt")


def load(*overrides: str) -> Params:
    return parameters.load(ROOT / "params.yaml", overrides)


def refusal(known: tuple[str, ...], names: tuple[str, ...], *overrides: str) -> EvaluationError:
    with pytest.raises(EvaluationError) as caught:
        require_explained("champion", known, Dataset(Path("data/parts"), names, {}), data_params(*overrides))
    return caught.value


def data_params(*overrides: str) -> DataParams:
    return load(*(f"data.{text}" for text in overrides)).data


@pytest.mark.parametrize(
    ("names", "renamed", "ids"),
    [
        (PARTS, {}, (0, 1, 2)),
        (("bolt", "washer", "nut"), {}, (1, 2, 0)),
        (("washer", "plate", "nut", "bolt"), {}, (0, 2, 3)),
        (("washer", "bolt"), {}, (0, -1, 1)),
        (("washer", "hex nut", "bolt"), {"nut": "hex nut"}, (0, 1, 2)),
        (("hex nut", "washer", "bolt"), {"nut": "hexnut", "hexnut": "hex nut"}, (1, 0, 2)),
        (("Washer", "nut", "bolt"), {}, (-1, 1, 2)),
    ],
    ids=["same", "other order", "grown", "gone", "renamed", "renamed twice", "another case"],
)
def test_a_class_keeps_its_name_whatever_its_number(
    names: tuple[str, ...], renamed: dict[str, str], ids: tuple[int, ...]
) -> None:
    assert class_ids(PARTS, names, renamed) == ids


def test_an_older_dataset_with_the_old_name_is_understood_too() -> None:
    assert class_ids(("hex nut", "plate"), ("nut",), {"nut": "hex nut"}) == (0, -1)


def test_the_difference_names_what_is_unknown_renamed_and_absent() -> None:
    found = difference(PARTS, ("plate", "bolt", "hex nut"), {"nut": "hex nut"})

    assert found == Difference(unknown=("plate",), renamed={"nut": "hex nut"}, absent=("washer",))
    assert not difference(PARTS, PARTS[::-1], {})


@pytest.mark.parametrize(
    ("names", "overrides"),
    [
        (PARTS[::-1], []),
        (("plate", *PARTS), []),
        (("washer", "hex nut", "bolt"), ["renamed_classes.nut=hex nut"]),
        (("washer", "bolt"), ["removed_classes=[nut]"]),
        (PARTS, ["renamed_classes.screw=bolt", "removed_classes=[rivet]"]),
        (("washer", "bolt"), ["renamed_classes.nut=hex nut", "removed_classes=[hex nut]"]),
    ],
    ids=["other order", "grown", "renamed", "gone", "entries of long ago", "gone under its other name"],
)
def test_what_params_explain_is_accepted(names: tuple[str, ...], overrides: list[str]) -> None:
    require_explained("champion", PARTS, Dataset(Path("data/parts"), names, {}), data_params(*overrides))


def test_a_class_that_is_gone_without_a_word_is_refused_with_the_keys_to_set() -> None:
    error = refusal(PARTS, ("washer", "hex nut", "plate"))

    assert error.what == (
        "the champion knows classes that it does not name: nut\nbolt\n"
        "it names classes that the champion does not know: hex nut\nplate"
    )
    assert error.where == "data/parts/data.yaml"
    assert error.fix == (
        "Say in params.yaml what became of each: data.renamed_classes: {OLD: NEW} where it has another name now, "
        "data.removed_classes: [OLD] where it is gone."
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("renamed_classes.nut=washer", "data.renamed_classes: nut"),
        ("removed_classes=[bolt]", "data.removed_classes: bolt"),
    ],
    ids=["renamed", "removed"],
)
def test_params_that_contradict_data_yaml_are_refused(override: str, words: str) -> None:
    assert words in refusal(PARTS, PARTS, override).what


def test_two_classes_that_became_one_are_refused() -> None:
    error = refusal(PARTS, ("washer", "bolt"), "renamed_classes.nut=washer")

    assert error.what == "several classes of the champion are one class now: washer, nut -> washer"


@pytest.mark.parametrize(
    "overrides",
    [
        ["renamed_classes.nut=bolt", "renamed_classes.bolt=nut"],
        ["renamed_classes.nut=nut"],
        ["renamed_classes.a=b", "renamed_classes.b=c", "renamed_classes.c=b"],
        ["renamed_classes.nut=bolt", "removed_classes=[nut]"],
        ["removed_classes=[nut, nut]"],
    ],
    ids=["swapped", "itself", "a circle further on", "renamed and removed", "twice"],
)
def test_what_says_two_things_of_a_class_is_refused(overrides: list[str]) -> None:
    with pytest.raises(ParamsError, match="data"):
        data_params(*overrides)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detect", "segment"])
@pytest.mark.parametrize("ids", [[2, -1, 0, 3], [0, 1, 2, 3], [1, 2, 3, 0]], ids=["gone and moved", "same", "all moved"])
def test_rows_of_known_classes_keep_their_weights_and_every_other_tensor_its_bytes(task: str, ids: list[int]) -> None:
    import torch

    trained = start(task, ids)
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}

    after = trainer(task, ids).get_model(cfg=trained.yaml, weights=trained, verbose=False).state_dict()

    heads = {name for name in after if name.rpartition(".")[0].endswith(HEADS)}
    assert len(heads) == 4
    assert [name for name in after if name not in heads and not torch.equal(after[name], before[name])] == []
    for name in heads:
        assert all(torch.equal(after[name][new], before[name][old]) for old, new in enumerate(ids) if new >= 0), name


HEADS = ("cv3.0.2", "cv3.1.2")
"""Layers of tiny-seg and tiny-det with a row for each class."""
NAMES = {0: "A", 1: "a", 2: "b", 3: "c", 4: "d"}
"""Ultralytics' own `cls_remap` takes the first two for one class."""


def start(task: str, ids: list[int]) -> Any:
    """A network of four classes with weights of its own."""
    import torch
    from ultralytics.nn.tasks import DetectionModel, SegmentationModel

    torch.manual_seed(0)
    cls, file = (SegmentationModel, "tiny-seg") if task == "segment" else (DetectionModel, "tiny-det")
    network = cls(str(ROOT / f"models/{file}.yaml"), nc=len(ids), verbose=False)
    for parameter in network.parameters():
        parameter.data += 0.01 * torch.randn_like(parameter)
    network.names = {old: NAMES.get(new, "gone") for old, new in enumerate(ids)}
    return network


def trainer(task: str, ids: list[int]) -> Any:
    """The stage's trainer before it has a model."""
    from tasks.train.trainer import TRAINERS

    built = object.__new__(TRAINERS[task])
    built.plan, built.args = SimpleNamespace(class_ids=ids), SimpleNamespace()
    built.data = {"nc": len(NAMES), "names": NAMES, "channels": 3}
    return built


@pytest.mark.slow
@pytest.mark.parametrize("task", ["detect", "segment"])
def test_a_network_with_ids_of_its_own_is_measured_as_one_with_those_of_the_data(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from tasks.measure import predict, yolo

    monkeypatch.chdir(tmp_path)
    small = load("sample.imgsz=64", "sample.num_train=1", "sample.num_val=1", "sample.num_test=8", "evaluate.max_det=3000")
    small = replace(small, sample=replace(small.sample, classes=list(DRAWN)))
    draw_dataset(small.sample, Path("data"), num_workers=1)
    dataset, ids = read_dataset(Path("data")), [3, 0, -1, 2]
    yolo.prepare()
    data = yolo.write_data_yaml(yolo.of_split(dataset, "test"), tmp_path / "work")
    settings = predict.evaluation_settings(small) | {"conf": 0.05, "imgsz": 64}

    def measured(network: Any, class_ids: Sequence[int]) -> list[predict.Image]:
        model = SimpleNamespace(task=task, ckpt_path="none.pt", model=network.eval())
        return predict.predict(model, class_ids, data, dataset, settings, "test", tmp_path / "work")

    own = start(task, ids)
    for name, parameter in own.named_parameters():
        if name.endswith(tuple(f"{head}.bias" for head in HEADS)):
            parameter.data += 6.0 + torch.randn_like(parameter)  # so that it detects something
    remapped = trainer(task, ids).get_model(cfg=own.yaml, weights=own, verbose=False)
    own.names, remapped.names = {0: "bolt", 1: "washer", 2: "rivet", 3: "nut"}, dict(enumerate(DRAWN))

    by_name, by_id = measured(own, ids), measured(remapped, range(len(DRAWN)))

    assert sum(len(image.conf) for image in by_name) > 100
    assert {int(cls) for image in by_name for cls in image.target_cls} == {0, 1, 2, 3, 4}
    for one, other in zip(by_name, by_id, strict=True):
        assert np.array_equal(one.target_cls, other.target_cls)
        assert _rows(one) == _rows(other)


DRAWN = ("washer", "plate", "nut", "bolt", "bracket")


def _rows(image: Any) -> list[tuple[Any, ...]]:
    """Class, confidence, corners of the box and matches of every detection of an old class."""
    columns = image.pred_cls, image.conf, *image.box_xyxy.T, *(column for tp in image.tp.values() for column in tp.T)
    return sorted(tuple(map(float, row)) for row in zip(*columns, strict=True) if row[0] in (0, 2, 3))
