"""Advice about the data: classes, sizes, labels."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.common.paths import DECISION, EVALUATION, OPERATING, VALIDATION
from tasks.common.text import code, markdown
from tasks.measure.decision import class_metric
from tasks.report.advice.item import ERRORS, Item, Rule, rerun
from tasks.report.facts import Facts
from tasks.report.quality import balance
from tasks.report.sections.assets import failed_checks
from tasks.report.sections.parts import class_comparisons, slice_value

STRIDE = 32
"""Sides of images that a network takes are multiples of it, px."""


def feed_weak_class(facts: Facts) -> Iterator[Item]:
    classes = class_comparisons(facts, facts.metric)
    name = min(classes, key=lambda name: classes[name].candidate, default=None)
    mean = facts.decision.candidate
    if name is not None and len(classes) > 1 and mean - classes[name].candidate > facts.report_params.weak_class_gap:
        values = {
            "name": markdown(name),
            "value": facts.words.value(classes[name].candidate),
            "mean": facts.words.value(mean),
            "instances": f"{classes[name].instances:,}",
            "metric": class_metric(facts.metric),
        }
        yield Item("weak_class", values, f"{DECISION}: per_class")


def feed_weak_size(facts: Facts) -> Iterator[Item]:
    sizes = [part for part in facts.decision.slices if part.by == "size"]
    weakest = min(sizes, key=lambda part: part.comparison.candidate, default=None)
    mean = facts.decision.candidate
    if weakest is not None and len(sizes) > 1 and mean - weakest.comparison.candidate > facts.report_params.weak_class_gap:
        values = {
            "size": slice_value(facts, weakest),
            "value": facts.words.value(weakest.comparison.candidate),
            "mean": facts.words.value(mean),
            "metric": facts.metric_name,
            "imgsz": str(facts.inputs.evaluation.settings["imgsz"]),
        }
        yield Item("weak_size", values, f"{DECISION}: slices", _larger_images(facts))


def look_at_losses(facts: Facts) -> Iterator[Item]:
    """Advise to look at the class or slice that lost most, of those that lost beyond noise."""
    parts = {markdown(name): comparison for name, comparison in class_comparisons(facts, facts.metric).items()}
    parts |= {f"{markdown(part.by)} {markdown(part.value)}": part.comparison for part in facts.decision.slices}
    worse = {name: comparison for name, comparison in parts.items() if comparison.is_lost}
    if worse:
        name = min(worse, key=lambda name: worse[name].change)
        values = {
            "name": name,
            "change": facts.words.points(worse[name].change),
            "interval": facts.words.changes(worse[name].change_interval),
        }
        yield Item("worse_part", values, f"{DECISION}: per_class, slices", ERRORS)


def untangle_pair(facts: Facts) -> Iterator[Item]:
    i, j, _, count = next(iter(facts.confused), (0, 0, 0, 0))
    if count >= facts.report_params.min_confusions:
        values = {
            "labelled": markdown(facts.inputs.names[i]),
            "detected": markdown(facts.inputs.names[j]),
            "count": facts.words.count("times", count),
            "point": facts.point("candidate"),
            "iou": facts.min_iou,
        }
        yield Item("confused_pair", values, str(OPERATING), ERRORS)


def even_out(facts: Facts) -> Iterator[Item]:
    """Advise for more recall or more precision where the candidate operates."""
    counts = facts.tallies["candidate"]
    found, missed, false = (int(part.sum()) for part in (counts.found, counts.missed, counts.false))
    metrics = {"precision": found / max(found + false, 1), "recall": found / max(found + missed, 1)}
    finding = balance(metrics, facts.report_params)
    if finding.verdict in ("misses", "invents"):
        values = {name: facts.words.value(value) for name, value in metrics.items()}
        low = min(metrics, key=lambda name: metrics[name])
        command = rerun(f"export.require={{{low}: {max(metrics.values()):.2f}}}")
        yield Item(finding.verdict, values | {"point": facts.point("candidate")}, str(OPERATING), command)


def tighten_boxes(facts: Facts) -> Iterator[Item]:
    metrics = facts.entry("candidate")[facts.kind]
    if metrics["mAP50"] > 0 and metrics["mAP50-95"] < facts.report_params.loose_ratio * metrics["mAP50"]:
        values = {
            "loose": facts.words.value(metrics["mAP50"]),
            "strict": facts.words.value(metrics["mAP50-95"]),
            "kind": facts.kind,
            "ratio": facts.words.share(metrics["mAP50-95"] / metrics["mAP50"]),
            "imgsz": str(facts.inputs.evaluation.settings["imgsz"]),
        }
        yield Item("loose_boxes", values, f"{EVALUATION}: models.candidate.{facts.kind}", _larger_images(facts))


def mend_masks(facts: Facts) -> Iterator[Item]:
    if "mask" not in facts.inputs.kinds:
        return
    box, mask = (float(facts.entry("candidate")[kind]["mAP50"]) for kind in ("box", "mask"))
    if box > 0 and 1 - mask / box > facts.report_params.mask_gap:
        values = {"box": facts.words.value(box), "mask": facts.words.value(mask), "gap": facts.words.gain(mask / box - 1)}
        yield Item("mask_gap", values, f"{EVALUATION}: models.candidate.{{box,mask}}.mAP50")


def mend_data(facts: Facts) -> Iterator[Item]:
    failed = failed_checks(facts)
    if failed:
        values = {
            "name": code(failed[0][0]),
            "count": facts.words.count("times", failed[0][2]),
            "checks": facts.words.count("checks", len(failed)),
        }
        yield Item("mend_data", values, f"{VALIDATION}: checks", "python -m tasks.validate --fix")


def _larger_images(facts: Facts) -> str:
    """The command that runs everything on images half as large again."""
    return rerun(f"train.imgsz={round(facts.inputs.evaluation.settings['imgsz'] * 1.5 / STRIDE) * STRIDE}")


RULES: tuple[Rule, ...] = (
    *(look_at_losses, feed_weak_class, feed_weak_size, untangle_pair),
    *(even_out, tighten_boxes, mend_masks, mend_data),
)
