"""Ultralytics as the stages use it: offline, silent but for warnings, and with weights that are checked before they are loaded.

Only the stages that run a network import this module, see OWNERS in tests/test_contract.py; its functions import torch.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.common import isolation
from tasks.common.dataset import Dataset, name_problem, shown
from tasks.common.errors import DatasetError, ParamsError, WeightsError
from tasks.common.stage import write_text
from tasks.common.weights import FIX, require_weights
from tasks.measure import view

if TYPE_CHECKING:
    from ultralytics import YOLO

TASKS = ("detect", "segment")
INTEGRATIONS = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb")
"""Ultralytics settings that send data or write beside the stage's own outputs."""


def prepare(integrations: Sequence[str] = (), logs: Path = Path()) -> None:
    """Switch off Ultralytics' downloads and progress output for this process, and all but `integrations`, which log below `logs`.

    Raises:
        ParamsError: the package of an integration is not installed.
    """
    isolation.apply()
    for name in integrations:
        if importlib.util.find_spec(name) is None:
            raise ParamsError(
                f"{name} is not installed",
                where=f"params.yaml: train.{name}",
                fix=f"pip install {name}, or set train.{name}: false",
            )
    if "mlflow" in integrations:
        _prepare_mlflow(logs.resolve())
    import matplotlib
    from ultralytics.utils import LOGGER, SETTINGS, USER_CONFIG_DIR

    keep_images()
    LOGGER.setLevel(logging.WARNING)
    changed = {name: name in integrations for name in INTEGRATIONS if bool(SETTINGS.get(name)) != (name in integrations)}
    if changed:
        SETTINGS.update(changed)
    # check_font() downloads these two when they are not in the settings folder; any TrueType font serves.
    font = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    for name in ("Arial.ttf", "Arial.Unicode.ttf"):
        if not (USER_CONFIG_DIR / name).exists():
            shutil.copyfile(font, USER_CONFIG_DIR / name)


def keep_images() -> None:
    """Keep Ultralytics from writing a JPEG with bytes after its end anew, turned, into the dataset (check_image, 8.4.190)."""
    from ultralytics.data import utils

    utils._replace_image = lambda im_file, write: None


def _prepare_mlflow(logs: Path) -> None:
    """Name the experiment after the folder, and where the user names no server keep runs and their files below `logs`."""
    name = os.environ.setdefault("MLFLOW_EXPERIMENT_NAME", Path.cwd().name)
    if "MLFLOW_TRACKING_URI" in os.environ:
        return
    import mlflow

    logs.mkdir(parents=True, exist_ok=True)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{logs / 'mlflow.db'}"
    if mlflow.get_experiment_by_name(name) is None:  # else MLflow puts the files into ./mlruns
        mlflow.create_experiment(name, (logs / "mlflow").as_uri())


def load(weights: Path) -> YOLO:
    """The network of a `.yaml` (random weights) or a `.pt` checkpoint.

    Raises:
        WeightsError: the file is missing, is not a checkpoint, or is for another task than detect or segment.
    """
    require_weights(weights)
    from ultralytics import YOLO

    try:
        model = YOLO(str(weights), verbose=False)
    except Exception as error:  # Ultralytics and torch raise a dozen types for a broken file
        cause = str(error).strip().partition("\n")[0]
        raise WeightsError(f"cannot be loaded: {cause}", where=str(weights), fix=FIX) from error
    if model.task not in TASKS:
        raise WeightsError(f"a model for task {model.task}; expected {' or '.join(TASKS)}", where=str(weights), fix=FIX)
    return model


def write_data_yaml(dataset: Dataset, folder: Path) -> Path:
    """Write a data.yaml into `folder` whose splits are lists of the images in a new `view` there, and check how it reads.

    Ultralytics would resolve relative entries against its own settings; lists also let a run leave images out.

    Raises:
        DatasetError: Ultralytics would read other images or other classes.
    """
    from ultralytics.nn.autobackend import check_class_names
    from ultralytics.utils import YAML

    for image in dataset.images:
        if problem := name_problem(str(image.absolute())):
            where, fix = f"{shown(image, dataset.root)}: {problem}", "Rename the files, or the folders that they lie in."
            raise DatasetError("a path that Ultralytics cannot read from a list", where=where, fix=fix)
    content: dict[str, Any] = {"path": str(folder.resolve())}
    for split, paths in view.build(dataset, folder).items():
        listing = (folder / f"{split}.txt").resolve()
        write_text(listing, "".join(f"{path}\n" for path in paths))
        content[split] = str(listing)
    file = folder / "data.yaml"
    YAML.save(file, content | {"names": list(dataset.names)})
    parsed = YAML.load(file)
    if parsed | {"names": None} != content | {"names": None}:
        raise DatasetError("the path of this checkout does not survive YAML", where=ascii(str(folder.resolve())), fix="Move it.")
    names = check_class_names(parsed["names"])
    if tuple(names[i] for i in range(len(names))) != dataset.names:
        fix = "Rename the classes."
        raise DatasetError("Ultralytics would read other class names", where=f"{dataset.root}/data.yaml", fix=fix)
    return file


def of_split(dataset: Dataset, split: str) -> Dataset:
    """`dataset` with the images of one split alone; Ultralytics wants a train and a val of every data.yaml."""
    images = dataset.splits[split]
    return replace(dataset, splits={"train": images, "val": images, split: images})


def class_names(model: Any) -> tuple[str, ...]:
    """The names of a model's classes; the index is the class id."""
    return tuple(str(model.names[i]) for i in sorted(model.names))


def tensors_digest(model: Any) -> str:
    """SHA-256 over the names, types, shapes and bytes of a torch module's tensors.

    Unlike the hash of a `.pt` file it does not depend on the date and paths that Ultralytics stores in it.
    """
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        total.update(f"{name}\0{values.dtype}\0{tuple(values.shape)}\n".encode())
        total.update(values.numpy().tobytes())
    return total.hexdigest()


def file_digest(file: Path) -> str:
    """SHA-256 of a file's bytes."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def library_versions() -> dict[str, str]:
    """Versions of the libraries that can change a metric."""
    from importlib.metadata import version

    return {name: version(name) for name in ("ultralytics", "torch", "torchvision", "numpy", "opencv-python")}


def device_argument(device: str | int | Sequence[int]) -> Any:
    """`train.device` as Ultralytics takes it: '' means its own choice."""
    return None if device == "" else device


def nms_argument(nms: bool) -> Any:
    """`evaluate.nms` as Ultralytics takes it: None suppresses outside the network, and True would build it into an export."""
    return None if nms else False


def has_nms_free_head(network: Any) -> bool:
    """Whether a YOLO's torch module has a head whose boxes need no suppression, as in YOLO26 and YOLOv10."""
    return getattr(network.model[-1], "one2one_cv2", None) is not None
