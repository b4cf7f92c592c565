"""How the training went: losses, every epoch, milestones."""

from __future__ import annotations

from tasks.common.page.document import Bullets, Cell, Figure, Panel, Paragraph, Section, Table, blocks, tone_of
from tasks.common.paths import CURVES
from tasks.report import figures
from tasks.report.curves import COLUMNS, Epoch, components, milestones, span
from tasks.report.facts import Facts
from tasks.report.figures import Series
from tasks.report.inputs import Phase


def losses_section(facts: Facts) -> Section:
    """The validation losses before and after, and every loss component of both phases: first epoch, last epoch, change."""
    words = facts.words
    columns = ("phase", "component", "train_first", "train_last", "train_change", "val_first", "val_last", "val_change")
    rows = []
    for phase in facts.inputs.phases:
        for name in components(phase.rows):
            values: list[Cell | str] = []
            for side in ("train", "val"):
                loss = span(facts.epochs_of(phase), side, name)
                tone = tone_of(None if loss.change is None else -loss.change)
                values += [words.value(loss.first), words.value(loss.last), Cell(words.gain(loss.change), tone)]
            rows.append((f"`{phase.name}`", name, *values))
    table = Table(
        words.columns(*columns),
        tuple(rows),
        "models/{baseline,finetune}/results.csv: train/*, val/*",
        words("losses.caption"),
        num_text_columns=2,
        empty=words("losses.none"),
    )
    return Section(
        "losses",
        words("losses.title"),
        blocks(
            _before_and_after(facts),
            Paragraph(words("losses.note"), "models/*/args.yaml: mosaic, scale, hsv_*"),
            table,
            _loss_figure(facts),
        ),
    )


def _before_and_after(facts: Facts) -> Table:
    """Each loss component on the validation split of the weights that the fine-tune began with, and of those it ended with."""
    words, finetune = facts.words, facts.inputs.finetune
    before, after = finetune.start or facts.inputs.baseline.best or {}, finetune.best or {}
    names = [name for name in components((before, after)) if f"val/{name}" in before and f"val/{name}" in after]
    pairs = [(name, before[f"val/{name}"], after[f"val/{name}"]) for name in names]
    known = [(name, old, new) for name, old, new in pairs if old is not None and new is not None]
    if len(known) > 1:
        known.append((words("losses.sum"), sum(old for _, old, _ in known), sum(new for _, _, new in known)))
    rows = []
    for name, old, new in known:
        gain = (new - old) / old if old > 0 else None
        change = Cell(words.gain(gain), tone_of(None if gain is None else -gain))
        rows.append((name, words.value(old), words.value(new), words.points(new - old), change))
    header = (*words.columns("component", "before", "after", "change", "gain"),)
    source = "models/{baseline,finetune}/results.csv: val/*; models/finetune/training.json: start_metrics, best_epoch"
    return Table(header, tuple(rows), source, words("losses.before_after"), empty=words("losses.none"))


def _loss_figure(facts: Facts) -> Figure | None:
    panels = []
    for name in components(epoch.row for epoch in facts.epochs):
        series = [
            Series(side, [(e.number, v) for e in facts.epochs if (v := e.loss(side, name)) is not None])
            for side in ("train", "val")
        ]
        panels.append(Panel(name, figures.losses_chart(name, series, _boundary(facts))))
    if not panels:
        return None
    words = facts.words
    legend = (("train", words("legend.train")), ("val", words("legend.val")), ("shade", words("legend.finetune")))
    return Figure(words("losses.figure"), tuple(panels), f"{CURVES}: train_*, val_*", legend)


def _boundary(facts: Facts) -> int:
    """The baseline's last epoch on the common axis."""
    return len(facts.inputs.baseline.rows)


def epochs_section(facts: Facts) -> Section:
    """How each phase ended, and every epoch with its gain against the baseline's best on the validation split."""
    words, best = facts.words, facts.baseline_best
    shown = [name.replace("_", ".") for name in COLUMNS if name.partition("_")[0] in facts.inputs.kinds and "mAP" in name]
    titles = [name.replace(".", " ") for name in shown]
    header = (*words.columns("epoch", "phase", "rate"), *titles, words("column.epoch_gain"))
    rows: list[tuple[Cell | str, ...]] = []
    for epoch in facts.all_epochs:
        value = epoch.metric(facts.metric)
        gain = (value - best) / best if best and value is not None else None
        number = words("epochs.start") if epoch.phase_epoch == 0 else str(epoch.number)
        number = f"**{number}**" if _is_best(facts, epoch) else number
        rate = words.none if epoch.learning_rate is None else f"{epoch.learning_rate:.3g}"
        values = [words.value(epoch.metric(name)) for name in shown]
        cell = Cell(words.gain(gain), tone_of(gain) if epoch.phase == "finetune" else "")
        rows.append((number, f"`{epoch.phase}`", rate, *values, cell))
    source = "models/{baseline,finetune}/results.csv: metrics/*, lr/pg0; training.json: best_epoch, start_metrics"
    number = facts.inputs.baseline.training["best_epoch"]
    text = words("epochs.note", metric=facts.metric_name, best=words.value(best), epoch=number)
    table = Table(header, tuple(rows), source, words("epochs.caption"), num_text_columns=2, empty=words("epochs.none"))
    content = blocks(_endings(facts), _epoch_figure(facts, shown), Paragraph(text, source), table)
    return Section("epochs", words("epochs.title"), content)


def _endings(facts: Facts) -> Bullets | None:
    """Why each phase ended, a sentence each; None where no phase was trained, or training.json does not say."""
    phases = [phase for phase in facts.inputs.phases if phase.rows and "ended_by" in phase.training]
    source = "models/{baseline,finetune}/training.json: ended_by, epochs_run, epochs, best_epoch, epochs_since_best, patience"
    return Bullets(tuple(_ending(facts, phase) for phase in phases), source) if phases else None


def _ending(facts: Facts, phase: Phase) -> str:
    words, training = facts.words, phase.training
    patience, since = int(training["patience"]), int(training["epochs_since_best"])
    best = words("ended.at_start") if phase.kept_start else words("ended.at_epoch", number=training["best_epoch"])
    values = {
        "phase": phase.name,
        "best": best,
        "last": training["epochs_run"],
        "epochs": words.count("epochs", training["epochs"]),
        "patience": patience,
        "since": words.count("epochs", training["epochs_run"] if phase.kept_start else since),
        "more": words.count("epochs", patience - since),
    }
    is_open = training["ended_by"] == "epochs" and since < patience < training["epochs"]
    return words("ended.epochs_open" if is_open else f"ended.{training['ended_by']}", **values)


def _is_best(facts: Facts, epoch: Epoch) -> bool:
    phase = facts.inputs.baseline if epoch.phase == "baseline" else facts.inputs.finetune
    return epoch.phase_epoch == int(phase.training["best_epoch"])


def _epoch_figure(facts: Facts, shown: list[str]) -> Figure:
    """Both phases on one axis; the dashed line is the baseline's best, an upright one the end of a phase that stopped early."""
    panels = []
    stops = [facts.epochs_of(phase)[-1].number for phase in facts.inputs.phases if phase.stopped_early]
    for name in shown:
        measured = [(epoch, value) for epoch in facts.all_epochs if (value := epoch.metric(name)) is not None]
        series = [
            Series(phase.name, [(epoch.number, value) for epoch, value in measured if epoch.phase == phase.name])
            for phase in facts.inputs.phases
        ]
        best = [(epoch.number, value) for epoch, value in measured if _is_best(facts, epoch)]
        level = best[0][1] if best and best[0][0] <= _boundary(facts) else None
        title = name.replace(".", " ")
        panels.append(Panel(title, figures.epochs_chart(title, series, _boundary(facts), level, best, stops)))
    words = facts.words
    legend = [
        ("baseline", words("model.baseline")),
        ("finetune", words("legend.finetune")),
        ("level", words("legend.level")),
        ("ring", words("legend.best")),
        *([("stop", words("legend.stop"))] if stops else []),
    ]
    source = f"{CURVES}: {', '.join(f'{kind}_*' for kind in facts.inputs.kinds)}"
    return Figure(words("epochs.figure"), tuple(panels), source, tuple(legend))


def milestones_section(facts: Facts) -> Section:
    """The epoch that reached each value of report.milestones first."""
    words = facts.words
    rows: list[tuple[Cell | str, ...]] = []
    for milestone in milestones(facts.epochs, facts.metric, facts.report_params.milestones):
        if milestone.epoch is None:
            rows.append((f"{milestone.value:g}", words("milestones.missed"), words.none, words.none))
        else:
            reached = words.value(milestone.epoch.metric(facts.metric))
            number = Cell(str(milestone.epoch.number), "good")
            rows.append((f"{milestone.value:g}", number, f"`{milestone.epoch.phase}`", reached))
    header = (words("column.milestone", metric=facts.metric_name), *words.columns("epoch", "phase", "value"))
    source = f"{CURVES}; params.yaml: report.milestones"
    table = Table(header, tuple(rows), source, words("milestones.caption"), num_text_columns=3, empty=words("milestones.none"))
    return Section("milestones", words("milestones.title"), (table,))
