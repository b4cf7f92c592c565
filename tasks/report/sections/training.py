"""How the training went: losses, every epoch, milestones."""

from __future__ import annotations

from tasks.common.page.document import Cell, Figure, Panel, Paragraph, Section, Table, blocks, tone_of
from tasks.common.paths import CURVES
from tasks.report import figures
from tasks.report.curves import COLUMNS, Epoch, components, milestones, span
from tasks.report.figures import Series
from tasks.report.material import Material


def losses_section(m: Material) -> Section:
    """Every loss component of both phases: first epoch, last epoch, change."""
    words = m.words
    columns = ("phase", "component", "train_first", "train_last", "train_change", "val_first", "val_last", "val_change")
    rows = []
    for phase in m.inputs.phases:
        for name in components(phase.rows):
            values: list[Cell | str] = []
            for side in ("train", "val"):
                found = span(m.of(phase), side, name)
                tone = tone_of(None if found.change is None else -found.change)
                values += [words.value(found.first), words.value(found.last), Cell(words.gain(found.change), tone)]
            rows.append((f"`{phase.name}`", name, *values))
    table = Table(
        tuple(words(f"column.{name}") for name in columns),
        tuple(rows),
        "models/{baseline,finetune}/results.csv: train/*, val/*",
        words("losses.caption"),
        num_text_columns=2,
        empty=words("losses.none"),
    )
    return Section(
        "losses", words("losses.title"), blocks(Paragraph(words("losses.note"), _augmentation_source()), table, _loss_figure(m))
    )


def _augmentation_source() -> str:
    return "models/*/args.yaml: mosaic, scale, hsv_*"


def _loss_figure(m: Material) -> Figure | None:
    panels = []
    for name in components(epoch.row for epoch in m.epochs):
        series = [
            Series(side, [(e.number, v) for e in m.epochs if (v := e.loss(side, name)) is not None]) for side in ("train", "val")
        ]
        panels.append(Panel(name, figures.losses_chart(name, series, _boundary(m))))
    if not panels:
        return None
    legend = (("train", m.words("legend.train")), ("val", m.words("legend.val")), ("shade", m.words("legend.finetune")))
    return Figure(m.words("losses.figure"), tuple(panels), f"{CURVES}: train_*, val_*", legend)


def _boundary(m: Material) -> int:
    """The baseline's last epoch on the common axis."""
    return len(m.inputs.baseline.rows)


def epochs_section(m: Material) -> Section:
    """Every epoch, with its gain against the baseline's best on the validation split."""
    words, best = m.words, m.baseline_best
    shown = [name.replace("_", ".") for name in COLUMNS if name.partition("_")[0] in m.inputs.kinds and "mAP" in name]
    header = (
        words("column.epoch"),
        words("column.phase"),
        words("column.rate"),
        *(name.replace(".", " ") for name in shown),
        words("column.epoch_gain"),
    )
    rows: list[tuple[Cell | str, ...]] = []
    for epoch in m.all_epochs:
        value = epoch.metric(m.metric)
        gain = (value - best) / best if best and value is not None else None
        number = words("epochs.start") if epoch.phase_epoch == 0 else str(epoch.number)
        number = f"**{number}**" if _is_best(m, epoch) else number
        rate = words.none if epoch.learning_rate is None else f"{epoch.learning_rate:.3g}"
        rows.append(
            (
                number,
                f"`{epoch.phase}`",
                rate,
                *(words.value(epoch.metric(name)) for name in shown),
                Cell(words.gain(gain), tone_of(gain) if epoch.phase == "finetune" else ""),
            )
        )
    source = "models/{baseline,finetune}/results.csv: metrics/*, lr/pg0; training.json: best_epoch, start_metrics"
    number = m.inputs.baseline.training["best_epoch"]
    text = words("epochs.note", metric=m.metric_name, best=words.value(best), epoch=number)
    table = Table(header, tuple(rows), source, words("epochs.caption"), num_text_columns=2, empty=words("epochs.none"))
    return Section("epochs", words("epochs.title"), (_epoch_figure(m, shown), Paragraph(text, source), table))


def _is_best(m: Material, epoch: Epoch) -> bool:
    phase = m.inputs.baseline if epoch.phase == "baseline" else m.inputs.finetune
    return epoch.phase_epoch == int(phase.training["best_epoch"])


def _epoch_figure(m: Material, shown: list[str]) -> Figure:
    """Both phases on one axis; the dashed line is the baseline's best."""
    panels = []
    for name in shown:
        series = [
            Series(
                phase.name, [(e.number, v) for e in m.all_epochs if e.phase == phase.name and (v := e.metric(name)) is not None]
            )
            for phase in m.inputs.phases
        ]
        best = [(e.number, v) for e in m.all_epochs if _is_best(m, e) and (v := e.metric(name)) is not None]
        level = best[0][1] if best and best[0][0] <= _boundary(m) else None
        title = name.replace(".", " ")
        panels.append(Panel(title, figures.epochs_chart(title, series, _boundary(m), level, best)))
    words = m.words
    legend = (
        ("baseline", words("model.baseline")),
        ("finetune", words("legend.finetune")),
        ("level", words("legend.level")),
        ("ring", words("legend.best")),
    )
    return Figure(words("epochs.figure"), tuple(panels), f"{CURVES}: {', '.join(f'{kind}_*' for kind in m.inputs.kinds)}", legend)


def milestones_section(m: Material) -> Section:
    """When each value of the metric was reached first."""
    words = m.words
    rows: list[tuple[Cell | str, ...]] = []
    for found in milestones(m.epochs, m.metric, m.rule.milestones):
        if found.epoch is None:
            rows.append((f"{found.value:g}", words("milestones.missed"), words.none, words.none))
        else:
            reached = words.value(found.epoch.metric(m.metric))
            rows.append((f"{found.value:g}", Cell(str(found.epoch.number), "good"), f"`{found.epoch.phase}`", reached))
    header = (
        words("column.milestone", metric=m.metric_name),
        words("column.epoch"),
        words("column.phase"),
        words("column.value"),
    )
    source = f"{CURVES}; params.yaml: report.milestones"
    table = Table(header, tuple(rows), source, words("milestones.caption"), num_text_columns=3, empty=words("milestones.none"))
    return Section("milestones", words("milestones.title"), (table,))
