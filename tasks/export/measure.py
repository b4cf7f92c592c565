"""What is measured of an artifact: in this process its accuracy, in a clean one its serving, speed and memory."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tasks.export import accuracy, decode, thresholds
from tasks.export.decode import Candidates, Thresholds
from tasks.export.formats import FORMATS, opener
from tasks.export.judge import agreement
from tasks.export.processes import Process, RuntimeEndedError, speed
from tasks.export.run import Artifact, Run
from tasks.measure.figures import metrics
from tasks.measure.predict import Image

if TYPE_CHECKING:
    from collections.abc import Sequence


log = logging.getLogger(__name__)
NUM_PARITY = 8
"""Images of the gate split, evenly spaced, whose raw outputs are compared."""
NUM_SERVED = 32
"""Images of the gate split, evenly spaced, that a clean process decodes."""


@dataclass(frozen=True)
class Reference:
    """What the .pt says, against which the others are compared."""

    images: list[Image]
    outputs: list[NDArray[Any]]


def accuracies(run: Run, artifacts: Sequence[Artifact], chosen: Thresholds) -> None:
    """Metrics of each artifact, the change against the first (the .pt), and what the thresholds give, on the gate split.

    An artifact that cannot be run is refused.
    """
    model, *others = artifacts
    reference = measure(run, model, chosen, None)
    for i, one in enumerate(others, 1):
        started = time.monotonic()
        try:
            measure(run, one, chosen, reference)
            log.info("export %s: measured in %.1f s, %d of %d", one.name, time.monotonic() - started, i, len(others))
        except Exception as error:  # a runtime that cannot run its own file must not stop a run of hours
            log.warning("export %s: it cannot be run", one.name, exc_info=error)
            one.leave("refused", f"it cannot be run: {str(error).strip().partition(chr(10))[0] or type(error).__name__}")


def measure(run: Run, one: Artifact, chosen: Thresholds, reference: Reference | None) -> Reference:
    """What an artifact says, with its facts filled in."""
    names = run.dataset.names
    images = accuracy.measured(one.file, run.scores.task, run.data, run.dataset, run.settings, run.split["name"])
    figures = metrics(images, names)
    one.facts["metrics"] = {f"{kind}.{name}": figures[kind][name] for kind in images[0].tp for name in accuracy.METRICS}
    one.facts["bytes"] = size(one.file)
    network = opener(one.name)(one.file, run.imgsz, run.max_rows)
    stored = thresholds.store(network, run.images, len(names), run.imgsz, run.end2end, run.data.parent / "raw")
    one.facts["verified"] = thresholds.figures(stored, chosen, names)
    outputs = network(inputs(some(run.images, NUM_PARITY), run.imgsz))
    if reference is not None:
        compared = accuracy.compare(reference.images, images, run.dataset, run.split, run.params.gate)
        one.facts["changes"] = {metric: asdict(found) for metric, found in compared.items()}
        one.facts["parity"] = accuracy.parity(outputs, reference.outputs, len(names), run.end2end)
        served = inputs(some(run.images, NUM_SERVED), run.imgsz)
        one.served = accuracy.ultralytics_detections(network, served, len(names), chosen, run.end2end)
    return Reference(images, outputs)


def processes(run: Run, artifacts: Sequence[Artifact], card: Path) -> dict[str, Any]:
    """Speed and memory of each artifact, by name; what a clean process finds goes into its facts.

    An artifact whose runtime ends is refused.
    """
    paths = [str(image) for image in some(run.images, NUM_SERVED)]
    with ExitStack() as stack:
        alive: dict[str, Process] = {}
        for one in (one for one in artifacts if one.status == "kept"):
            try:
                worker = Process(one.name, one.file, run.imgsz, run.max_rows, card.parent / f"{one.name}.log")
                process = stack.enter_context(worker)
                if one is not artifacts[0]:
                    _serve(one, process, paths, card)
                alive[one.name] = process
            except RuntimeEndedError as error:
                one.leave("refused", str(error))
        times = speed(alive)
        for name, process in alive.items():
            times[name]["peak_memory_bytes"] = process.ask("facts")["peak_memory_bytes"]
    return times


def _serve(one: Artifact, process: Process, paths: list[str], card: Path) -> None:
    found = [
        Candidates(
            np.array(own["box_xyxy"], np.float32).reshape(-1, 4),
            np.array(own["conf"], np.float32),
            np.array(own["cls"], np.int64),
            np.zeros((len(own["cls"]), 0), np.float32),
            True,
        )
        for own in process.ask("detect", images=paths, card=str(card))["found"]
    ]
    loaded = process.ask("facts")["modules"]
    modules = [name for name in loaded if name in FORMATS[one.name].serves]
    one.facts["serving"] = {"images": len(paths), "modules": modules, **agreement(found, one.served)}


def inputs(images: Sequence[Path], imgsz: int) -> NDArray[np.float32]:
    """(N, 3, imgsz, imgsz) the images as the network takes them."""
    return np.stack([decode.letterbox(np.asarray(cv2.imread(str(image)), np.uint8), imgsz)[0] for image in images])


def some(images: Sequence[Path], number: int) -> list[Path]:
    """At most `number` of the images, evenly spaced."""
    return [images[i * len(images) // number] for i in range(number)] if len(images) > number else list(images)


def size(file: Path) -> int:
    """Bytes of an artifact; OpenVINO's weights lie beside its graph."""
    return sum(part.stat().st_size for part in (file.parent.glob(f"{file.stem}.*") if file.suffix == ".xml" else [file]))
