"""The engines of `compute.engine`: one map over shards, and parts of a split that are predicted as the whole."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tasks.common import cluster, engine, params
from tasks.common.dataset import read_dataset
from tasks.common.errors import DatasetError, ParamsError, WorkspaceError
from tasks.common.params import ComputeParams
from tasks.common.yaml import load_yaml

ROOT = Path(__file__).parents[1]
RAY = ComputeParams(engine="ray", num_cpus=1, num_gpus=0.0)


def double(factor: int, number: int) -> tuple[int, str]:
    return factor * number, threading.current_thread().name


@pytest.mark.parametrize("num_threads", [1, 2])
def test_the_local_engine_keeps_the_order_and_imports_no_ray(num_threads: int) -> None:
    before = "ray" in sys.modules  # other tests of this process may have imported it

    results = list(engine.mapped(double, 3, range(20), "Counting", num_threads=num_threads))

    assert [result for result, _ in results] == [3 * number for number in range(20)]
    assert {name == "MainThread" for _, name in results} == {num_threads == 1}
    assert list(engine.mapped(double, 3, [], "Counting", RAY)) == []
    assert ("ray" in sys.modules) == before


def test_an_error_of_ours_survives_the_way_between_processes() -> None:
    error = DatasetError("an image is gone", where="data/a.jpg", fix="Put it back.")

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is DatasetError
    assert copy.block() == error.block()


def test_ray_that_is_not_installed_is_said_in_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    cluster._connected.cache_clear()

    with pytest.raises(ParamsError) as raised:
        list(engine.mapped(double, 3, [1], "Counting", RAY))

    assert raised.value.what == "ray is not installed"
    assert "yolo-ratchet[ray]" in raised.value.fix


@pytest.mark.parametrize(
    ("device", "num_gpus", "words"),
    [("cpu", 0.5, r"Set one of the two\."), (0, 0, r"Give a task a GPU, or a share of one\.")],
    ids=["a GPU that is not used", "a device that no task sees"],
)
def test_a_task_of_ray_sees_the_device_that_it_predicts_on(device: object, num_gpus: float, words: str) -> None:
    overrides = [f"train.device={device}", f"compute.num_gpus={num_gpus}"]

    assert params.load(ROOT / "params.yaml", overrides).compute.engine == "local"
    with pytest.raises(ParamsError, match=rf"train\.device is {device} and compute\.num_gpus {num_gpus}: .*{words}"):
        params.load(ROOT / "params.yaml", ["compute.engine=ray", *overrides])


def test_a_machine_without_the_workspace_or_with_other_libraries_does_not_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cluster.isolation, "apply", lambda: None)
    settle = cluster._settle.__wrapped__

    settle(str(tmp_path), tuple(cluster._versions().items()))
    with pytest.raises(WorkspaceError, match=r"of the cluster cannot enter the workspace: No such file or directory Mount"):
        settle(str(tmp_path / "none"), ())
    with pytest.raises(WorkspaceError, match=r"other libraries than the stage: numpy [\d.]+, stage has 0\.1 Install"):
        settle(str(tmp_path), (("numpy", "0.1"),))


@pytest.mark.parametrize(
    ("num_cpus", "num_gpus", "slots"),
    [(1, 0.0, 21), (4, 0.0, 5), (1, 0.25, 8), (2, 1.0, 2)],
    ids=["cores", "few", "shares", "GPUs"],
)
def test_as_many_tasks_run_as_the_machines_have_room_for(
    num_cpus: int, num_gpus: float, slots: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Ray would say of machines that are not here: one with two GPUs, one without, one that is lost."""
    nodes = [
        {"Alive": True, "Resources": {"CPU": 16.0, "GPU": 2.0}},
        {"Alive": True, "Resources": {"CPU": 5.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    monkeypatch.setattr(cluster, "_connected", lambda: SimpleNamespace(nodes=lambda: nodes))

    assert cluster.num_slots(num_cpus, num_gpus) == slots
    with pytest.raises(WorkspaceError, match=r"no machine of the cluster has 17 CPU and 1 GPU for a task"):
        cluster.num_slots(17, 1.0)


def test_no_stage_depends_on_who_computes() -> None:
    stages = load_yaml(ROOT / "dvc.yaml")["stages"].values()

    assert not [name for stage in stages for name in stage["params"] if str(name).split(".")[0] == "compute"]


def draw_many(root: Path, num_images: int = 23) -> None:
    """Images of many shapes in split test, the same in train and val; each with two outlines, but for some backgrounds."""
    rng = np.random.default_rng(0)
    for number in range(num_images):
        height, width = (int(side) for side in rng.integers(40, 160, 2))
        image, label = root / f"images/test/{number}.png", root / f"labels/test/{number}.txt"
        for file in (image, label):
            file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(image)
        label.write_text("0 0.2 0.2 0.4 0.2 0.3 0.5\n1 0.6 0.7 0.9 0.7 0.9 0.9 0.6 0.8\n" if number % 5 else "")
    (root / "data.yaml").write_text("train: images/test\nval: images/test\ntest: images/test\nnames: [a, b, c, d]\n")


def network() -> Any:
    """A network that has learned nothing and detects a lot."""
    import torch
    from ultralytics import YOLO

    torch.manual_seed(0)
    model = YOLO(str(ROOT / "models/tiny-seg.yaml"), verbose=False)
    model.model.names = dict(enumerate("abcd"))
    for name, parameter in model.model.named_parameters():
        if ".cv3." in name and name.endswith("2.bias"):
            parameter.data += 6.0 + torch.randn_like(parameter)
    return model.model.eval()


def differing(one: Sequence[Any], other: Sequence[Any]) -> list[tuple[str, str]]:
    """Path and field of what is not the same to the last byte."""
    pairs = ((a, b, field.name) for a, b in zip(one, other, strict=True) for field in fields(a))
    return [(a.path, name) for a, b, name in pairs if pickle.dumps(getattr(a, name)) != pickle.dumps(getattr(b, name))]


@pytest.mark.slow
@pytest.mark.parametrize("rect", [True, False], ids=["rectangles", "squares"])
def test_parts_of_a_split_are_predicted_as_the_whole(rect: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the parts go through pickle in one process; with Ray they do so in test_ray.py."""
    from tasks.measure import predict, yolo

    monkeypatch.chdir(tmp_path)
    draw_many(Path("data"))
    dataset = read_dataset(Path("data"))
    yolo.prepare()
    data = yolo.write_data_yaml(dataset, tmp_path / "work")
    settings = {"batch": 3, "conf": 0.05, "iou": 0.7, "max_det": 50, "nms": True, "rect": rect, "imgsz": 96}
    settings |= {"device": "cpu", "half": False}
    parts: list[int] = []

    def by_pickle(function: Callable[..., Any], shared: Any, shards: Sequence[Any], *args: Any) -> Iterator[Any]:
        shared = pickle.loads(pickle.dumps(shared))
        for shard in shards:
            parts.append(len(shard))
            yield pickle.loads(pickle.dumps(function(shared, pickle.loads(pickle.dumps(shard)))))

    def measured(compute: ComputeParams) -> list[predict.Image]:
        model = SimpleNamespace(task="segment", ckpt_path="none.pt", model=network())
        return predict.predict(model, range(4), data, dataset, settings, "test", tmp_path / "work", 0.3, compute)

    whole = measured(params.LOCAL)
    monkeypatch.setattr(cluster, "mapped", by_pickle)
    monkeypatch.setattr(cluster, "num_slots", lambda *args: 1)

    assert differing(whole, measured(RAY)) == []
    assert parts == [6, 6, 6, 5]
    assert sum(len(image.conf) for image in whole) > 100
    assert sum(len(image.masks) for image in whole) > 10
