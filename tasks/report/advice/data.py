"""What to do next about the data: classes, sizes, labels."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.common.paths import DECISION, EVALUATION, STATISTICS, VALIDATION
from tasks.common.text import code, markdown
from tasks.measure.compare import Comparison
from tasks.report.advice.item import Item, Rule
from tasks.report.material import Material
from tasks.report.quality import balance
from tasks.report.sections.assets import failed_checks
from tasks.report.sections.errors import pairs
from tasks.report.sections.parts import is_lost, of_classes


def feed_weak_class(m: Material) -> Iterator[Item]:
    found = of_classes(m, m.metric)
    name = min(found, key=lambda own: found[own].candidate, default=None)
    mean = m.inputs.decision.candidate
    if name is not None and len(found) > 1 and mean - found[name].candidate > m.rule.weak_class_gap:
        values = {
            "name": markdown(name),
            "value": m.words.value(found[name].candidate),
            "mean": m.words.value(mean),
            "instances": f"{found[name].instances:,}",
            "metric": _of_class(m),
        }
        yield Item("weak_class", values, f"{DECISION}: per_class")


def _of_class(m: Material) -> str:
    return m.metric_name.replace("mAP", "AP")


def feed_weak_size(m: Material) -> Iterator[Item]:
    sizes = {part.value: part.comparison for part in m.inputs.decision.slices if part.by == "size"}
    value = min(sizes, key=lambda own: sizes[own].candidate, default=None)
    mean = m.inputs.decision.candidate
    if value is not None and len(sizes) > 1 and mean - sizes[value].candidate > m.rule.weak_class_gap:
        size = m.words(f"slice.{value}") if m.words.has(f"slice.{value}") else markdown(value)
        values = {
            "size": size,
            "value": m.words.value(sizes[value].candidate),
            "mean": m.words.value(mean),
            "metric": m.metric_name,
        }
        yield Item("weak_size", values | {"imgsz": str(m.inputs.evaluation.settings["imgsz"])}, f"{DECISION}: slices")


def look_at_losses(m: Material) -> Iterator[Item]:
    """The part whose loss is beyond noise and largest."""
    parts: dict[str, Comparison] = {markdown(name): found for name, found in of_classes(m, m.metric).items()}
    parts |= {f"{markdown(part.by)} {markdown(part.value)}": part.comparison for part in m.inputs.decision.slices}
    worse = {name: own for name, own in parts.items() if is_lost(own)}
    if worse:
        name = min(worse, key=lambda own: worse[own].change)
        values = {
            "name": name,
            "change": m.words.points(worse[name].change),
            "interval": m.words.changes(worse[name].change_interval),
        }
        yield Item("worse_part", values, f"{DECISION}: per_class, slices")


def untangle_pair(m: Material) -> Iterator[Item]:
    i, j, _, count = next(iter(pairs(m)), (0, 0, 0, 0))
    if count >= m.rule.min_confusions:
        values = {
            "labelled": markdown(m.inputs.names[i]),
            "detected": markdown(m.inputs.names[j]),
            "count": f"{count:,}",
            **m.point,
        }
        yield Item("confused_pair", values, str(STATISTICS))


def even_out(m: Material) -> Iterator[Item]:
    """More recall or more precision, for the kind that decides."""
    facts = m.facts("candidate")[m.kind]
    found = balance(facts, m.rule)
    if found.verdict in ("misses", "invents"):
        values = {name: m.words.value(float(facts[name])) for name in ("precision", "recall")}
        yield Item(found.verdict, values | {"kind": m.kind}, f"{EVALUATION}: models.candidate.{m.kind}")


def tighten_boxes(m: Material) -> Iterator[Item]:
    facts = m.facts("candidate")[m.kind]
    if facts["mAP50"] > 0 and facts["mAP50-95"] < m.rule.loose_ratio * facts["mAP50"]:
        values = {"loose": m.words.value(facts["mAP50"]), "strict": m.words.value(facts["mAP50-95"]), "kind": m.kind}
        ratio = m.words.share(facts["mAP50-95"] / facts["mAP50"])
        values |= {"ratio": ratio, "imgsz": str(m.inputs.evaluation.settings["imgsz"])}
        yield Item("loose_boxes", values, f"{EVALUATION}: models.candidate.{m.kind}")


def mend_masks(m: Material) -> Iterator[Item]:
    if "mask" not in m.inputs.kinds:
        return
    box, mask = (float(m.facts("candidate")[kind]["mAP50"]) for kind in ("box", "mask"))
    if box > 0 and 1 - mask / box > m.rule.mask_gap:
        values = {"box": m.words.value(box), "mask": m.words.value(mask), "gap": m.words.gain(mask / box - 1)}
        yield Item("mask_gap", values, f"{EVALUATION}: models.candidate.{{box,mask}}.mAP50")


def mend_data(m: Material) -> Iterator[Item]:
    failed = failed_checks(m)
    if failed:
        values = {"name": code(failed[0][0]), "count": f"{failed[0][2]:,}", "checks": str(len(failed))}
        yield Item("mend_data", values, f"{VALIDATION}: checks")


RULES: tuple[Rule, ...] = (
    *(look_at_losses, feed_weak_class, feed_weak_size, untangle_pair),
    *(even_out, tighten_boxes, mend_masks, mend_data),
)
