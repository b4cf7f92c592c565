"""Time and hardware of both phases, size and latency of the models."""

from __future__ import annotations

from tasks.common.page.document import Block, Section, Table
from tasks.common.paths import EVALUATION, SPEED
from tasks.common.text import markdown
from tasks.report.facts import Facts
from tasks.report.inputs import Phase


def section(facts: Facts) -> Section:
    return Section("compute", facts.words("compute.title"), (_phases_table(facts), _models_table(facts)))


def throughput(phase: Phase) -> float | None:
    """Training images per second; the time includes validation."""
    training = phase.training
    seconds = float(training["seconds"])
    return int(training["num_images"]) * int(training["epochs_run"]) / seconds if seconds > 0 else None


def _phases_table(facts: Facts) -> Block:
    words = facts.words
    columns = ("phase", "images", "epochs", "time", "per_epoch", "images_per_s", "device", "threads", "memory")
    rows = []
    for phase in facts.inputs.phases:
        training = phase.training
        num_epochs, seconds = int(training["epochs_run"]), float(training["seconds"])
        rows.append(
            (
                f"`{phase.name}`",
                f"{training['num_images']:,}",
                f"{num_epochs} / {training['epochs']}",
                words.duration(seconds),
                words.duration(seconds / num_epochs) if num_epochs else words.none,
                words.value(throughput(phase), 1),
                markdown(training["device"]),
                str(training["num_threads"]),
                words.size(training["peak_memory_bytes"]),
            )
        )
    header = words.columns(*columns)
    return Table(header, tuple(rows), "models/{baseline,finetune}/training.json", words("compute.phases"))


def _models_table(facts: Facts) -> Block:
    words = facts.words
    rows = []
    for name in facts.inputs.models:
        entry = facts.entry(name)
        latency = facts.inputs.speed.get(name, {}).get("latency_ms")
        shown = words.none if latency is None else f"{latency:.2f} ms"
        rows.append((facts.model(name), f"{entry['num_parameters']:,}", words.size(entry["tensor_bytes"]), shown))
    header = words.columns("model", "parameters", "tensors", "latency")
    device = markdown(facts.inputs.evaluation.settings["device"])
    source = f"{EVALUATION}: models.*.{{num_parameters,tensor_bytes}}; {SPEED}"
    return Table(
        header, tuple(rows), source, words("compute.models", device=device, imgsz=facts.inputs.evaluation.settings["imgsz"])
    )
