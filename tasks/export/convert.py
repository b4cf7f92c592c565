"""The candidate as a file of another runtime, by Ultralytics' exporter. Imports ultralytics."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tasks.common.dataset import Dataset
from tasks.common.stage import write_text
from tasks.export.formats import FORMATS, file_of
from tasks.measure import yolo

LOUD = (None, "nncf", "torch.utils.cpp_extension")
"""Names of loggers that warn of what nobody here can change; None is the root logger."""


def convert(name: str, weights: Path, folder: Path, imgsz: int, data: Path | None, max_rows: int | None) -> Path:
    """Write the format's files to `folder`/<name>/. Returns the one of them that a runtime opens.

    `data` is a data.yaml as `calibration` writes it; with `max_rows` the head is used that gives so many detections and needs no
    suppression. Raises whatever the exporter raises: a format that cannot be made.
    """
    export_format, target = FORMATS[name], file_of(folder, name)
    shutil.rmtree(target.parent, ignore_errors=True)
    target.parent.mkdir(parents=True)
    source = target.parent / "model.pt"  # the exporter writes beside its source, under its name
    shutil.copyfile(weights, source)
    arguments = {"device": "cpu", **export_format.arguments} | (
        {"data": str(data), "split": "val"} if export_format.is_int8 else {}
    )
    if max_rows is not None:
        arguments |= {"nms": False, "max_det": max_rows}
    with _quiet():
        output = Path(yolo.load(source).export(format=export_format.exporter, imgsz=imgsz, **arguments))
    source.unlink()
    for file in output.iterdir() if output.is_dir() else [output]:
        file.replace(target.parent / (target.name if file.suffix == target.suffix else file.name))
    if output.is_dir():
        output.rmdir()
    _undate(target)
    return target


def calibration(dataset: Dataset, num_images: int, folder: Path) -> Path:
    """A data.yaml whose split val is `num_images` images of split train, evenly spaced: what INT8 is calibrated with."""
    train = dataset.splits["train"]
    step = max(len(train) / num_images, 1.0)
    chosen = tuple(train[int(i * step)] for i in range(min(num_images, len(train))))
    return yolo.write_data_yaml(replace(dataset, splits={"train": chosen, "val": chosen}), folder)


def _undate(file: Path) -> None:
    """Remove the date that the exporter writes, so that the same weights give the same bytes."""
    if file.suffix == ".onnx":
        import onnx

        model = onnx.load(str(file))
        dated = [entry for entry in model.metadata_props if entry.key == "date"]
        for entry in dated:
            model.metadata_props.remove(entry)
        onnx.save(model, str(file))
    elif file.suffix == ".xml":
        notes = file.with_name("metadata.yaml")
        kept = [line for line in notes.read_text(encoding="utf-8").splitlines(keepends=True) if not line.startswith("date:")]
        write_text(notes, "".join(kept))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the warnings, INFO lines and progress bars of torch, nncf and onnxruntime; errors come as exceptions."""
    loggers = [logging.getLogger(name) for name in LOUD]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
