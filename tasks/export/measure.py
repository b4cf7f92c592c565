"""Measure an artifact: its accuracy in this process, and in a clean one what it detects, its speed and its memory."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.export import accuracy, decode, thresholds
from tasks.export.decode import Candidates, Thresholds
from tasks.export.formats import FORMATS, opener
from tasks.export.judge import agreement
from tasks.export.processes import Process, RuntimeEndedError, speed
from tasks.export.types import Artifact, Run
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
    """What the .pt detects, against which the artifacts are compared."""

    images: list[Image]
    outputs: list[NDArray[Any]]
    """Raw outputs for `NUM_PARITY` images."""


def accuracies(run: Run, artifacts: Sequence[Artifact], chosen: Thresholds) -> None:
    """Measure each artifact on the gate split: metrics, change against the first (the .pt), figures at the thresholds.

    An artifact that cannot be run is refused.
    """
    model, *converted = artifacts
    reference = measure(run, model, chosen, None)
    for i, artifact in enumerate(converted, 1):
        started = time.monotonic()
        try:
            measure(run, artifact, chosen, reference)
            log.info("export %s: measured in %.1f s, %d of %d", artifact.name, time.monotonic() - started, i, len(converted))
        except Exception as error:  # a runtime that cannot run its own file must not stop a run of hours
            log.warning("export %s: it cannot be run", artifact.name, exc_info=error)
            artifact.exclude("refused", f"it cannot be run: {str(error).strip().partition(chr(10))[0] or type(error).__name__}")


def measure(run: Run, artifact: Artifact, chosen: Thresholds, reference: Reference | None) -> Reference:
    """Fill in the facts of an artifact. Returns what it detects."""
    names = run.dataset.names
    split, compute = run.split["name"], run.params.compute
    images = accuracy.measured(artifact.file, run.scores.task, run.data, run.dataset, run.settings, split, compute)
    figures = metrics(images, names)
    artifact.facts["metrics"] = {f"{kind}.{name}": figures[kind][name] for kind in images[0].tp for name in accuracy.METRICS}
    artifact.facts["bytes"] = size(artifact.file)
    network = opener(artifact.name)(artifact.file, run.imgsz, run.max_rows)
    stored = thresholds.store(network, run.images, len(names), run.imgsz, run.end2end, run.data.parent / "raw")
    artifact.facts["verified"] = thresholds.figures(stored, chosen, names)
    outputs = network(inputs(evenly_spaced(run.images, NUM_PARITY), run.imgsz))
    if reference is not None:
        compared = accuracy.compare(reference.images, images, run.dataset, run.split, run.params.gate)
        artifact.facts["changes"] = {metric: asdict(comparison) for metric, comparison in compared.items()}
        artifact.facts["parity"] = accuracy.parity(outputs, reference.outputs, len(names), run.end2end)
        batch = inputs(evenly_spaced(run.images, NUM_SERVED), run.imgsz)
        artifact.expected = accuracy.ultralytics_detections(network, batch, len(names), chosen, run.end2end)
    return Reference(images, outputs)


def processes(run: Run, artifacts: Sequence[Artifact], card: Path) -> dict[str, Any]:
    """Speed and memory of each artifact, by name; what a clean process detects goes into its facts.

    An artifact whose runtime ends is refused.
    """
    paths = [str(image) for image in evenly_spaced(run.images, NUM_SERVED)]
    with ExitStack() as stack:
        alive: dict[str, Process] = {}
        for artifact in (artifact for artifact in artifacts if artifact.status == "kept"):
            try:
                worker = Process(artifact.name, artifact.file, run.imgsz, run.max_rows, card.parent / f"{artifact.name}.log")
                process = stack.enter_context(worker)
                if artifact is not artifacts[0]:
                    _serve(artifact, process, paths, card)
                alive[artifact.name] = process
            except RuntimeEndedError as error:
                artifact.exclude("refused", str(error))
        times = speed(alive)
        for name, process in alive.items():
            times[name]["peak_memory_bytes"] = process.ask("facts")["peak_memory_bytes"]
    return times


def _serve(artifact: Artifact, process: Process, paths: list[str], card: Path) -> None:
    served = [
        Candidates(
            np.array(objects["box_xyxy"], np.float32).reshape(-1, 4),
            np.array(objects["conf"], np.float32),
            np.array(objects["cls"], np.int64),
            np.zeros((len(objects["cls"]), 0), np.float32),
            True,
        )
        for objects in process.ask("detect", images=paths, card=str(card))["found"]
    ]
    loaded = process.ask("facts")["modules"]
    modules = [name for name in loaded if name in FORMATS[artifact.name].serves]
    artifact.facts["serving"] = {"images": len(paths), "modules": modules, **agreement(served, artifact.expected)}


def inputs(images: Sequence[Path], imgsz: int) -> NDArray[np.float32]:
    """The images as the network takes them, (N, 3, imgsz, imgsz)."""
    return np.stack([decode.letterbox(decode.pixels(image), imgsz)[0] for image in images])


def evenly_spaced(images: Sequence[Path], number: int) -> list[Path]:
    """At most `number` of the images, evenly spaced."""
    return [images[i * len(images) // number] for i in range(number)] if len(images) > number else list(images)


def size(file: Path) -> int:
    """Bytes of an artifact; OpenVINO's weights lie beside its graph."""
    return sum(part.stat().st_size for part in (file.parent.glob(f"{file.stem}.*") if file.suffix == ".xml" else [file]))
