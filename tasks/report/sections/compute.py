"""Time and compute of both phases, size and latency of the models."""

from __future__ import annotations

from tasks.common.page.document import Block, Section, Table
from tasks.common.paths import EVALUATION, SPEED
from tasks.common.text import markdown
from tasks.report.inputs import Phase
from tasks.report.material import Material


def section(m: Material) -> Section:
    return Section("compute", m.words("compute.title"), (_phases_table(m), _models_table(m)))


def throughput(phase: Phase) -> float | None:
    """Training images a second, validation included in the time."""
    training = phase.training
    seconds = float(training["seconds"])
    return int(training["num_images"]) * int(training["epochs_run"]) / seconds if seconds > 0 else None


def _phases_table(m: Material) -> Block:
    words = m.words
    columns = ("phase", "images", "epochs", "time", "per_epoch", "images_per_s", "device", "threads", "memory")
    rows = []
    for phase in m.inputs.phases:
        t = phase.training
        run = int(t["epochs_run"])
        each = words.duration(float(t["seconds"]) / run) if run else words.none
        done = f"{run} / {t['epochs']}"
        numbers = (f"{t['num_images']:,}", done, words.duration(float(t["seconds"])), each, words.value(throughput(phase), 1))
        rows.append(
            (f"`{phase.name}`", *numbers, markdown(t["device"]), str(t["num_threads"]), words.size(t["peak_memory_bytes"]))
        )
    header = tuple(words(f"column.{name}") for name in columns)
    return Table(header, tuple(rows), "models/{baseline,finetune}/training.json", words("compute.phases"))


def _models_table(m: Material) -> Block:
    words = m.words
    rows = []
    for name in m.inputs.models:
        facts = m.facts(name)
        latency = m.inputs.speed.get(name, {}).get("latency_ms")
        shown = words.none if latency is None else f"{latency:.2f} ms"
        rows.append((m.model(name), f"{facts['num_parameters']:,}", words.size(facts["tensor_bytes"]), shown))
    header = tuple(words(f"column.{name}") for name in ("model", "parameters", "tensors", "latency"))
    device = markdown(m.inputs.evaluation.settings["device"])
    source = f"{EVALUATION}: models.*.{{num_parameters,tensor_bytes}}; {SPEED}"
    return Table(header, tuple(rows), source, words("compute.models", device=device, imgsz=m.inputs.evaluation.settings["imgsz"]))
