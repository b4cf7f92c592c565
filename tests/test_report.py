"""The report: complete from stored files, honest about what it does not have, and written in one step or not at all."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks import report
from tasks.common import params
from tasks.common.errors import EvaluationError, WorkspaceError
from tasks.common.page.document import Advice, Bullets, Cards, Figure, Gallery, Section, Table
from tasks.measure.errors import Errors
from tasks.report import catalogue, inputs, pullrequest, sections
from tasks.report.facts import Facts
from tasks.report.sections import errors as errors_section
from tasks.report.sections import lost, parts
from tests.report_data import ROOT, SITUATIONS, epoch, tiny_run

ERRORS = r"python -m tasks\.report --errors"
PROMOTE = r"python -m tasks\.registry promote vX\.Y\.Z --approver NAME --reason WHY"
OUTPUTS = ("report.md", "report.html", "errors.json", "curves.csv")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[Path, tuple[Section, ...]]]:
    """Every situation's folder with its report in Chinese, then English, and its sections in English."""
    found = {}
    for name, make in SITUATIONS.items():
        root = tmp_path_factory.mktemp(name.replace(" ", "_"))
        with chdir(root):
            settings = make().write(root)
            report.run(replace(settings, report=replace(settings.report, language="zh")))
            for output in OUTPUTS[:2]:
                Path("reports", output).rename(Path("reports", f"zh.{output}"))
            report.run(settings)
            found[name] = root, sections.write(Facts(inputs.read(), settings.report, settings.finetune.recipe))
    return found


def advice(written_sections: tuple[Section, ...], name: str) -> str:
    section = next(section for section in written_sections if section.id == name)
    return "\n".join(
        f"{item.deed} {item.reason}" for block in section.blocks if isinstance(block, Advice) for item in block.items
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SITUATIONS)
@pytest.mark.parametrize("language", ["", "zh."])
def test_the_page_needs_no_network_and_is_small(written, name: str, language: str) -> None:
    html = (written[name][0] / f"reports/{language}report.html").read_text()

    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link", html, re.I)
    assert len(html.encode()) < 2_000_000


@pytest.mark.parametrize("name", SITUATIONS)
def test_both_files_have_every_section(written, name: str) -> None:
    root, found = written[name]
    for language in ("en", "zh"):
        prefix = "zh." if language == "zh" else ""
        text, html = (root / f"reports/{prefix}report.md").read_text(), (root / f"reports/{prefix}report.html").read_text()
        words = catalogue.load(language)

        for number, section in enumerate(found, 1):
            title = words(f"{section.id}.title")
            assert f"\n## {number}. {title}\n" in text
            assert f'<section id="{section.id}">' in html
            assert title in html


@pytest.mark.parametrize("name", SITUATIONS)
def test_every_figure_names_a_stored_file(written, name: str) -> None:
    root, found = written[name]
    blocks = [block for section in found for block in section.blocks]

    sources = [block.source for block in blocks if isinstance(block, Table | Figure | Gallery | Cards | Bullets)]
    sources += [item.source for block in blocks if isinstance(block, Advice) for item in block.items]
    assert len(sources) > 20
    for source in sources:
        files = re.findall(r"(?:reports|models)/[\w*{},./]+", source)
        assert files or source in ("the files themselves", "params.yaml: report"), source
        for file in files:
            pattern = re.sub(r"\{[^}]*\}", "*", file).rstrip(".,")
            assert list(root.glob(pattern)), source


@pytest.mark.parametrize(
    ("name", "verdict", "first"),
    [
        ("gain", "PROMOTE", "**Target reached.**"),
        ("equal", "INCONCLUSIVE", "**Target reached, proof missing.**"),
        ("too little", "REJECT", "**Target missed.**"),
        ("guards", "REJECT", "**Target reached, but a guard failed.**"),
        ("point", "PROMOTE", "**Target reached.**"),
        ("worse", "REJECT", "**Target missed.**"),
    ],
)
def test_the_outcome_follows_the_verdict(written, name: str, verdict: str, first: str) -> None:
    text = (written[name][0] / "reports/report.md").read_text()

    assert text.startswith(f"# Training report\n\n**{verdict}** · ")
    assert first in text


@pytest.mark.parametrize(
    ("name", "risk", "command"),
    [
        ("gain", r"class \d taken for class \d in service \d+ → \d+|false alarms", PROMOTE),
        (
            "equal",
            r"the gain may be luck: with the 95% confidence that it needs it is at least -\d",
            r"python -m tasks\.report --errors",
        ),
        ("too little", r"the gain of \+[\d.]+% misses the target of \+900\.00%", r"dvc exp run -S baseline\.epochs=6"),
        ("guards", r"guard `min_metric: box\.mAP50` fails \(2 in all\)", r"dvc exp run -S baseline\.epochs=6"),
        ("same model", r"the gain of \+0\.00% misses", r"dvc exp run -S baseline\.epochs=6"),
    ],
)
def test_the_first_lines_are_the_gain_with_its_bound_the_largest_risk_and_a_command(
    written, name: str, risk: str, command: str
) -> None:
    first = (written[name][0] / "reports/report.md").read_text().partition("## 1.")[2].split("\n\n")[1].splitlines()

    assert re.match(r"- \*\*Gain\*\*: \*\*[+-][\d.]+%\*\* in box mAP50 \(.*, at least \*\*[+-]", first[0])
    assert re.match(rf"- \*\*Largest risk\*\*: ({risk})", first[1])
    assert re.fullmatch(rf"- \*\*Next\*\*: `{command}`", first[2])


def test_a_loss_beyond_noise_is_the_risk_before_anything_that_was_counted(workspace: Path) -> None:
    run = tiny_run()
    run.after.append(_lose_class_1)
    report.run(run.write(workspace))

    assert "- **Largest risk**: worse beyond noise: class 1 (1 in all)\n" in (workspace / "reports/report.md").read_text()


def _lose_class_1(decision: dict[str, Any], evaluation: dict[str, Any]) -> None:
    decision["per_class"]["class 1"]["box.mAP50"] |= {"change": -0.2, "change_interval": {"low": -0.3, "high": -0.1}}


@pytest.mark.parametrize("name", ["gain", "champion", "too little"])
def test_a_section_names_its_sources_once_at_its_end(written, name: str) -> None:
    root, found = written[name]
    text, html = (root / "reports/report.md").read_text(), (root / "reports/report.html").read_text()

    parts = re.split(r"\n## \d+\. ", text)[1:]
    for part, section in zip(parts, found, strict=True):
        lines = [line for line in part.splitlines() if line.startswith("Source: ")]
        assert lines == [f"Source: {'; '.join(f'`{source}`' for source in section.sources)}"][: bool(section.sources)]
        assert not lines or part.rstrip().endswith(lines[0])
        files = [source.partition(": ")[0] for source in section.sources]
        assert len(files) == len(set(files))
    assert html.count('class="source"') == sum(bool(section.sources) for section in found)


def test_the_contents_are_folded_and_a_command_can_be_copied(written) -> None:
    html = (written["too little"][0] / "reports/report.html").read_text()

    assert '<details class="contents">' in html
    assert html.index("<dl class=") < html.index('class="cards"')
    assert '<pre class="command"><code>dvc exp run -S finetune.lr0=0.00015</code></pre>' in html


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("gain", "dvc exp run -S baseline.epochs=6"),
        ("too little", "dvc exp run -S finetune.epochs=3"),
        ("stopped early", "dvc exp run -S baseline.patience=6"),
        ("too little", "dvc exp run -S finetune.lr0=1.7e-05"),
        ("weak spots", "python -m tasks.report --errors"),
        ("weak spots", "dvc exp run -S train.imgsz="),
        ("same model", "python -m tasks.validate --fix"),
        ("guards", "dvc exp run -S 'export.require={precision: 0.81}'"),
    ],
)
def test_advice_has_the_command_that_follows_it(written, name: str, command: str) -> None:
    commands = [
        item.command
        for section in written[name][1]
        for block in section.blocks
        if isinstance(block, Advice)
        for item in block.items
    ]

    assert any(own.startswith(command) for own in commands), commands


def test_what_a_command_changes_is_a_parameter_and_may_have_that_value(written) -> None:
    """Each `-S` of the advice is loaded as the params of a run."""
    commands = {
        item.command
        for _, found in written.values()
        for section in found
        for block in section.blocks
        if isinstance(block, Advice)
        for item in block.items
    }
    changes = [word for command in commands if command.startswith("dvc") for word in shlex.split(command)[3:] if word != "-S"]

    assert len(changes) > 5
    for change in changes:
        params.load(ROOT / "params.yaml", [change])


@pytest.mark.parametrize(
    ("name", "deed"),
    [
        ("gain", "Approve the candidate."),
        ("gain", "Train longer: raise `baseline.epochs`."),
        (
            "stopped early",
            "Raise `baseline.patience`. When patience 3 ran out after 5 epochs, box mAP50 on the validation split rose by",
        ),
        ("equal", "Decide by hand, or measure on more images."),
        ("few groups", "Measure on more independent groups of images, or decide by hand. The gain is +"),
        ("gain", "Enlarge the gate split to about"),
        ("too little", "Raise `finetune.lr0`."),
        ("too little", "Make the fine-tune gentler"),
        ("too little", "Stop the fine-tune earlier"),
        ("guards", "Mend what the guard `min_metric: box.mAP50` found"),
        ("same model", "Make a test split."),
        ("same model", "Mend the data: see `reports/issues.csv`. 1 check of the data failed, `class-rare` 3 times."),
        ("weak spots", "Look at class 0 in the gallery"),
        ("weak spots", "Label more of class class 0. Its box AP50 is 0.0100"),
        ("weak spots", "Help small (< 32² px) objects"),
        ("weak spots", "Check the labels of class 0 against class 1"),
        ("weak spots", "Raise recall"),
        ("weak spots", "Work on localisation"),
        ("weak spots", "masks lag behind boxes. mask mAP50 is 0.0500"),
        ("weak spots", "Regularise phase `finetune`"),
        (
            "guards",
            "Raise precision: add background images, or use the model at a higher confidence. In service (confidence 0.01, NMS",
        ),
    ],
)
def test_a_suggestion_quotes_the_figure_it_follows_from(written, name: str, deed: str) -> None:
    assert deed in advice(written[name][1], "next")


def test_more_epochs_are_no_advice_where_training_stopped_before_its_last(written) -> None:
    assert "epochs`" not in advice(written["stopped early"][1], "next")


@pytest.mark.parametrize(
    ("name", "deed"),
    [
        ("gain", "Do not repeat the run with other seeds"),
        (
            "too little",
            "judged alone, up to 5.0% of candidates that are no better pass, and of 10 such candidates judged one by one "
            "at least one passes in up to 40% of cases.",
        ),
        (
            "gain",
            "The same weights have a box mAP50 of 0.6200 on the one and",
        ),
        ("gain", "The augmentation is another one: mosaic 1.0 → 0.0."),
        ("equal", "Do not read anything into the change of class class 1. +0.0100 AP"),
        ("guards", "2 failed, first `min_metric: box.mAP50`"),
        ("worse", "Do not just train longer with the same settings."),
    ],
)
def test_a_warning_quotes_the_figure_it_follows_from(written, name: str, deed: str) -> None:
    assert deed in advice(written[name][1], "avoid")


@pytest.mark.parametrize("name", ["next", "avoid"])
def test_without_a_reason_there_is_no_advice(written, name: str) -> None:
    assert advice(written["no epochs"][1], name) == ""


def test_few_groups_have_no_interval_and_no_advice_about_images(written) -> None:
    text = (written["few groups"][0] / "reports/report.md").read_text()

    assert "4 independent groups of images show nothing; at least 10 are needed for an interval." in text
    assert not re.search(r"reliably detect|would be above zero as often|resamples with a gain|Enlarge the gate split", text)


def test_the_share_of_the_resamples_is_called_so_and_is_never_all_of_them(written) -> None:
    text = (written["gain"][0] / "reports/report.md").read_text()

    assert "The candidate is better in > 99.9% of the resamples." in text
    assert re.search(r"\| share of 1000 resamples with a gain \| > 99\.9% ", text)
    assert "100.0% of" not in text
    assert "probability of a" not in text.replace("not the probability of a gain", "")


def test_a_detection_model_has_no_mask_figures(written) -> None:
    text = (written["champion"][0] / "reports/report.md").read_text()

    assert "| **box mAP50** " in text
    assert not re.search(r"\bmask\b", text)


def test_a_champion_is_the_reference_and_the_baseline_stands_beside_it(written) -> None:
    text = (written["champion"][0] / "reports/report.md").read_text()

    assert re.search(r"\| metric +\| +baseline \| +champion \| +candidate \|", text)
    assert "confusion matrices of the 16 classes" in (written["champion"][0] / "reports/report.html").read_text().lower()


def test_labels_of_a_new_class_are_no_misses_of_the_champion_and_stand_in_the_matrix(workspace: Path) -> None:
    settings = SITUATIONS["grown classes"]().write(workspace)

    facts = Facts(inputs.read(), settings.report, settings.finetune.recipe)

    labelled = facts.inputs.whole.targets.cls
    for tally in facts.tallies.values():
        assert tally.found.sum() + tally.missed.sum() == (labelled < 2).sum()
    for matrix in facts.confusions.values():
        assert [int(row.sum()) for row in matrix[:3]] == [(labelled == c).sum() for c in range(3)]
    assert float(facts.entry("candidate")["box"]["mAP50"]) == pytest.approx(facts.decision.candidate)


def lost_section(written: Mapping[str, tuple[Path, tuple[Section, ...]]], name: str) -> str:
    text = (written[name][0] / "reports/report.md").read_text()
    return text.partition("\n## 2. What was lost\n\n")[2].partition("\n## 3. ")[0]


def cells(text: str, caption: str) -> list[list[str]]:
    """The rows of the table below the caption that begins so."""
    table = re.search(rf"^{re.escape(caption)}.*\n\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table, text
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[1].splitlines()[2:]]


def test_where_nothing_was_lost_the_report_says_what_was_looked_at_and_what_was_not(written) -> None:
    text, errors = lost_section(written, "gain"), Errors.read(written["gain"][0] / "reports/errors.json")
    few, point = lost_section(written, "few groups"), lost_section(written, "point")

    assert text.splitlines()[:4] == [
        "- **Golden sets.** Not looked at: a golden set is what an earlier champion was judged on, and there is no champion yet.",
        "- **Classes.** Nothing lost beyond noise in 3 classes by box AP50, mask AP50.",
        "- **Slices.** Nothing lost beyond noise in 3 slices. They are object sizes; `gate.slices` names no column of "
        "metadata.csv.",
        f"- **Objects.** The candidate finds all {errors.before.found} labels that the baseline finds in service, and newly "
        "finds 73 (counted, not tested).",
    ]
    assert "|" not in text
    assert "fewer than 10 independent groups of images show it: class 0, class 1, class 2. Not looked at, since" in few
    assert "the gate split has no object of it: class 3." in few
    assert "- **Slices.** The gate split has no slices." in point
    assert "Nothing is lower in 3 classes by box AP50, mask AP50; no interval was asked for." in point
    assert "`evaluate.golden` is off, or no gate split of an earlier champion is kept." in lost_section(written, "champion")


def test_each_golden_set_stands_by_its_version_with_its_limit_and_in_no_second_table(written) -> None:
    text, whole = lost_section(written, "forgotten"), (written["forgotten"][0] / "reports/report.md").read_text()

    assert (
        "- **Golden sets.** Worse beyond noise, of 2 golden sets: all golden sets together, `v1.0.0`, `v0.9.0`. "
        "Not looked at: `v0.8.0`. Today's data still holds its images" in text
    )
    rows = cells(text, "Golden sets: box mAP50")
    assert [(row[0], row[7], row[3], row[4]) for row in rows] == [
        ("all golden sets together", "40", "-1.00%", "fails"),
        ("`v1.0.0`", "40", "-1.00%", "fails"),
        ("`v0.9.0`", "20", "-1.00%", "fails"),
    ]
    assert all(re.fullmatch(r"-\d\d\.\d\d%", row[1]) and re.fullmatch(r"-[\d.]+% to -[\d.]+%", row[2]) for row in rows)
    assert "- **Largest risk**: guard `max_golden_drop: all, box.mAP50` fails (3 in all)" in whole
    assert "| `max_golden_drop" not in whole
    assert "the guards on golden sets stand with what was lost" in whole


def test_what_lost_beyond_noise_is_named_and_the_worst_comes_first(written) -> None:
    text = lost_section(written, "worse")

    changes = [float(row[1]) for row in cells(text, "Classes (box AP50")]
    assert len(changes) == 9
    assert changes == sorted(changes)
    assert re.search(r"- \*\*Classes\.\*\* Worse beyond noise, of 3 classes by box AP50, mask AP50: class \d, ", text)
    assert "- **Slices.** Worse beyond noise, of 3 slices: object size small (< 32² px), " in text


def test_the_lost_objects_are_those_that_the_reference_finds_and_the_candidate_misses(written) -> None:
    root, _ = written["weak spots"]
    errors = Errors.read(root / "reports/errors.json")
    assert errors.lost is not None

    # What the models found changed by what they lost and gained, in all and in each class and image.
    assert errors.after.found - errors.before.found == errors.lost.num_gained - errors.lost.num_lost
    worsened = {image.image: image for image in errors.worsened}
    both = [entry for entry in errors.lost.images if entry.name in worsened]
    assert len(both) > 5
    for entry in both:
        image = worsened[entry.name]
        assert image.after.found - image.before.found == entry.gained - entry.lost
    assert sum(entry.lost for entry in errors.lost.images) == errors.lost.num_lost > 0
    counts = [entry.lost for entry in errors.lost.images]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] > 0

    text = lost_section(written, "weak spots")
    rows = cells(text, "Images with the most lost labels")
    assert [(row[0].strip("`"), int(row[1])) for row in rows] == [(e.name, e.lost) for e in errors.lost.images[: len(rows)]]
    assert len(rows) == lost.MOST_IMAGES < len(counts)
    assert f"The candidate misses {errors.lost.num_lost} of the {errors.before.found} labels that the baseline finds" in text


def test_an_image_that_lost_objects_leads_to_its_drawing_where_the_page_has_one(written) -> None:
    with_pictures, without = ((written[name][0] / "reports/report.html").read_text() for name in ("weak spots", "worse"))

    links = re.findall(r'<td class="x "><a href="#(image-\d+)">', with_pictures)
    assert links
    assert all(f'id="{link}"' in with_pictures for link in links)
    assert '<a href="#image-' not in without
    assert "Images with the most lost labels" in without


def test_the_images_that_changed_are_counted(written) -> None:
    text, errors = (written["gain"][0] / "reports/report.md").read_text(), Errors.read(written["gain"][0] / "reports/errors.json")

    assert f"Of 40 images {errors.improved} got better, {len(errors.worsened)} got worse" in text


def test_the_confusions_that_grew_and_the_images_that_lost_are_listed_worst_first(written) -> None:
    root, _ = written["weak spots"]
    text, errors = (root / "reports/report.md").read_text(), Errors.read(root / "reports/errors.json")

    growths = [pair.after - pair.before for pair in errors.grown]
    assert growths == sorted(growths, reverse=True)
    assert growths[0] > 0
    first = errors.grown[0]
    assert (
        f"Confusions that grew in service (counted, not tested): {first.labelled} as {first.detected} {first.before} → " in text
    )
    rows = cells(text, "Images that got worse, the worst")
    assert len(rows) == errors_section.MOST_IMAGES < len(errors.worsened)
    assert f"the worst {len(rows)} of {len(errors.worsened)}; `reports/errors.json` has them all" in text
    worst = errors.worsened[0]
    assert rows[0][:2] == [f"`{worst.image}`", f"{worst.before.found} → {worst.after.found}"]


def test_the_head_says_which_data_and_which_training_it_is_about(written) -> None:
    head = [(written[name][0] / "reports/report.md").read_text().splitlines()[2] for name in ("too little", "worse")]

    assert head[0] == (
        "**REJECT** · `data/tiny`, data version `17c04c193c06`, segmentation; judged on 40 images of split `test` with 198 "
        "labelled objects. Fine-tune by recipe `origin`: AdamW, batch 8, patience 10"
    )
    assert "`data/tiny`, data that DVC does not know, segmentation" in head[1]


def test_the_validation_losses_before_and_after_are_those_of_both_best_weights(written) -> None:
    text = (written["gain"][0] / "reports/report.md").read_text()

    rows = text.partition("Validation losses of the weights")[2].partition("\n\n")[2].partition("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert cells[2] == ["box_loss", "2.1000", "1.8000", "-0.3000", "-14.29%"]
    assert cells[-1] == ["sum", "6.3000", "5.4000", "-0.9000", "-14.29%"]


def test_the_strategy_is_said_in_words_and_settings(written) -> None:
    gain, worse = ((written[name][0] / "reports/report.md").read_text() for name in ("gain", "worse"))

    assert "recipe `restart`: a warm restart, " in gain
    assert "Its learning rate is 5e-05 in every epoch; the images are varied by nothing." in gain
    assert "Its learning rate is 5e-05 at first, on a cosine down to 2.5e-06" in worse
    assert re.search(r"\| learning rate +\| 0\.01 at first, on a straight line down to 0\.001 +\|", gain)


def test_the_conclusion_has_the_risk_and_the_next_step_of_the_first_screen(written) -> None:
    text = (written["gain"][0] / "reports/report.md").read_text()

    last = text.partition(". Conclusion\n\n")[2].partition("\n\n")[0].splitlines()
    first = text.partition("**Largest risk**: ")[2].partition("\n")[0]
    assert last[0].startswith("- **Target reached.**")
    assert last[-2:] == [f"- What speaks most against it: {first}.", "- Next: Approve the candidate."]


def test_a_model_compared_with_itself_has_no_confusion_that_grew_and_no_image_that_lost(written) -> None:
    root, _ = written["same model"]
    text, errors = (root / "reports/report.md").read_text(), Errors.read(root / "reports/errors.json")

    assert (errors.grown, errors.worsened, errors.improved) == ((), (), 0)
    assert errors.before == errors.after
    assert errors.lost is not None
    assert (errors.lost.classes, errors.lost.images) == ((), ())
    assert "- No confusion grew in service.\n- Of 40 images 0 got better, 0 got worse" in text


def test_a_champion_taken_over_stands_once(written) -> None:
    text = (written["taken over"][0] / "reports/report.md").read_text()

    assert re.search(r"\| metric +\| +champion \| +candidate \|", text)
    assert "taken over as it is; it was trained further for 3 epochs" in text
    assert "None" not in text


def test_a_point_gate_shows_no_interval(written) -> None:
    text = (written["point"][0] / "reports/report.md").read_text()

    assert "the point alone decides" in text
    assert "BCa" not in text
    assert "90% interval" not in text
    assert "noise" not in text


def test_the_report_is_the_same_after_a_repeat(workspace: Path) -> None:
    settings = tiny_run().write(workspace)
    report.run(settings)
    first = [(workspace / "reports" / name).read_bytes() for name in OUTPUTS]

    report.run(settings)

    assert [(workspace / "reports" / name).read_bytes() for name in OUTPUTS] == first


def test_the_curves_have_a_row_an_epoch_on_one_axis(workspace: Path) -> None:
    run = tiny_run()
    run.rows = {"baseline": [epoch(0.5, 2.0, 1.5)], "finetune": [epoch(0.6, float("nan"), 1.25)]}
    for training in run.training.values():
        training |= {"epochs_run": 1, "best_epoch": 1}
    report.run(run.write(workspace))

    header, first, second = (workspace / "reports/curves.csv").read_text().splitlines()

    assert header == (
        "epoch,phase,phase_epoch,box_mAP50,box_mAP50-95,mask_mAP50,mask_mAP50-95,box_precision,box_recall,mask_precision,"
        "mask_recall,train_box_loss,train_seg_loss,train_cls_loss,val_box_loss,val_seg_loss,val_cls_loss,lr"
    )
    assert first == "1,baseline,1,0.5,0.3,0.5,0.3,0.5,0.5,,,2,2,2,1.5,1.5,1.5,0.001"
    assert second == "2,finetune,1,0.6,0.36,0.6,0.36,0.6,0.6,,,,,,1.25,1.25,1.25,0.001"


def test_the_curves_begin_with_the_start_weights_where_the_baseline_ended(written) -> None:
    rows = (written["kept start"][0] / "reports/curves.csv").read_text().splitlines()

    assert [",".join(row.split(",")[:4]) for row in rows[3:6]] == ["3,baseline,3,0.5", "3,finetune,0,0.5", "4,finetune,1,0.49"]
    assert re.search(r"\| \*\*start\*\* +\| `finetune`", (written["kept start"][0] / "reports/report.md").read_text())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gain", "`finetune`: ran its 3 epochs to the end. The best was its epoch 3."),
        (
            "guards",
            "`baseline`: ran its 3 epochs to the end. The best was its epoch 3; "
            "patience 2 would have stopped it after 2 epochs more without a better one.",
        ),
        (
            "stopped early",
            "`baseline`: stopped by patience after 5 of its 20 epochs. "
            "The best was its epoch 2, and 3 epochs brought nothing better.",
        ),
        (
            "stopped early",
            "`finetune`: stopped after 3 of its 8 epochs, since the gain of `finetune.stop_at_gain` had been held. "
            "The best was its epoch 3.",
        ),
        (
            "kept start",
            "`finetune`: stopped by patience after 3 of its 20 epochs. "
            "The best was its start, and 3 epochs brought nothing better.",
        ),
    ],
)
def test_each_phase_says_why_it_ended(written, name: str, sentence: str) -> None:
    assert f"- {sentence}\n" in (written[name][0] / "reports/report.md").read_text()


@pytest.mark.parametrize(("name", "num_stops"), [("gain", 0), ("kept start", 1), ("stopped early", 2)])
def test_the_chart_marks_where_a_phase_stopped_early(written, name: str, num_stops: int) -> None:
    html = (written[name][0] / "reports/report.html").read_text()

    assert html.count('class="stop"/>') == 4 * num_stops, "in each of four panels"
    assert ("stopped early</li>" in html) == bool(num_stops)


def test_a_training_of_an_earlier_release_says_nothing_of_its_end(workspace: Path) -> None:
    run = tiny_run()
    for training in run.training.values():
        for key in ("ended_by", "epochs_since_best", "patience"):
            del training[key]

    report.run(run.write(workspace))

    text = (workspace / "reports/report.md").read_text()
    assert "Epoch by epoch" in text
    assert "to the end. The best was" not in text


@pytest.mark.parametrize(
    ("name", "chosen"), [("kept start", "was better than"), ("kept start by", "was better by ultralytics than")]
)
def test_a_fine_tune_that_did_not_help_is_said_to_have_not(written, name: str, chosen: str) -> None:
    text = (written[name][0] / "reports/report.md").read_text()

    assert f"**Fine-tuning did not help.** On the validation split none of 3 epochs {chosen}" in text
    assert "(box mAP50 0.4900 at best, 0.5000 at the start). The candidate is the baseline itself." in text
    assert "did not help" not in (written["gain"][0] / "reports/report.md").read_text()


@pytest.mark.parametrize(
    ("file", "made_by"),
    [
        ("reports/dataset.json", "validate"),
        ("reports/validation.json", "validate"),
        ("reports/evaluation.json", "evaluate"),
        ("reports/evaluation.npz", "evaluate"),
        ("reports/speed.json", "evaluate"),
        ("reports/export.json", "export"),
        ("reports/decision.json", "gate"),
        ("models/baseline/training.json", "baseline"),
        ("models/baseline/results.csv", "baseline"),
        ("models/finetune/args.yaml", "finetune"),
        ("models/finetune/best.pt", "finetune"),
    ],
)
def test_a_missing_file_names_the_stage_to_run_and_keeps_the_old_report(workspace: Path, file: str, made_by: str) -> None:
    settings = tiny_run().write(workspace)
    (workspace / "reports/report.md").write_text("the old report")
    (workspace / file).unlink()

    with pytest.raises((WorkspaceError, EvaluationError)) as error:
        report.run(settings)

    assert (error.value.where, error.value.fix) == (file, f"Run `dvc repro {made_by}`.")
    assert (workspace / "reports/report.md").read_text() == "the old report"
    assert not (workspace / "reports/report.html").exists()


def test_broken_arrays_name_the_stage_to_run(workspace: Path) -> None:
    settings = tiny_run().write(workspace)
    (workspace / "reports/evaluation.npz").write_bytes(b"not a zip")

    with pytest.raises(EvaluationError, match=r"reports/evaluation.npz: not a .npz of plain arrays.*dvc repro evaluate"):
        report.run(settings)


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("results.csv", "garbage\n1,2,3\n", "1 epochs, training.json counts 3"),
        ("results.csv", "", "0 epochs, training.json counts 3"),
        ("training.json", "{}", "without weights, data_sha256, epochs"),
    ],
)
def test_a_broken_training_names_the_stage_to_run(workspace: Path, file: str, content: str, what: str) -> None:
    settings = tiny_run().write(workspace)
    (workspace / "models/finetune" / file).write_text(content)

    with pytest.raises(WorkspaceError) as error:
        report.run(settings)

    assert error.value.what.startswith(what)
    assert (error.value.where, error.value.fix) == (f"models/finetune/{file}", "Run `dvc repro finetune`.")


def test_a_decision_about_other_models_is_refused(workspace: Path) -> None:
    run = tiny_run()
    run.after.append(lambda decision, evaluation: evaluation["models"]["candidate"].update(tensors_sha256="99" * 32))
    settings = run.write(workspace)

    with pytest.raises(EvaluationError, match=r"about a candidate with tensors 000000000000.*Run `dvc repro gate`"):
        report.run(settings)


def test_images_that_changed_since_are_not_shown(workspace: Path) -> None:
    settings = tiny_run().write(workspace)
    for file in workspace.glob("data/tiny/images/**/*.jpg"):
        Image.new("RGB", (64, 48)).save(file)

    report.run(settings)

    assert "there is no gallery" in (workspace / "reports/report.md").read_text()
    assert "data:image" not in (workspace / "reports/report.html").read_text()


def test_an_image_that_cannot_be_read_is_left_out(workspace: Path) -> None:
    settings = tiny_run().write(workspace)
    report.run(settings)
    shown = re.findall(r'"about"><code>(\S+?)</code>', (workspace / "reports/report.html").read_text())
    (workspace / "data/tiny" / shown[0]).write_bytes(b"\xff\xd8 truncated")

    report.run(settings)

    again = re.findall(r'"about"><code>(\S+?)</code>', (workspace / "reports/report.html").read_text())
    assert again == shown[1:]


def test_names_from_the_data_cannot_become_markup(workspace: Path) -> None:
    run = tiny_run()
    run.content["names"] = ["<b>bold</b>", "a|b", "`x` **y** \\z"]
    report.run(run.write(workspace))

    text, html = (workspace / "reports/report.md").read_text(), (workspace / "reports/report.html").read_text()

    assert "<b>bold" not in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html
    assert '<td class="x ">`x` **y** \\z</td>' in html
    assert r"| a\|b " in text
    table = text.partition("By class: box AP50\n\n")[2].partition("\n\n")[0].splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {7}


def test_a_report_names_data_that_the_models_were_not_trained_on(written) -> None:
    text = (written["same model"][0] / "reports/report.md").read_text()

    assert "Trained on other data than now (data version `17c04c193c06`): `baseline`." in text
    assert "The gate split is `val`" in text
    assert "the model was compared with itself" in text


@pytest.mark.slow
def test_the_heavy_libraries_stay_out(workspace: Path) -> None:
    tiny_run().write(workspace)
    (workspace / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    code = (
        "import sys; from tasks.report import run; from tasks.common import params; run(params.load());"
        "print({'torch', 'ultralytics', 'pandas', 'matplotlib', 'cv2'} & set(sys.modules))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)})

    assert done.stdout == "set()\n"


def test_assets_carry_the_hash_and_size_of_their_bytes(workspace: Path) -> None:
    report.run(tiny_run().write(workspace))

    text = (workspace / "reports/report.md").read_text()

    digest = hashlib.sha256(b"finetune").hexdigest()
    assert re.search(rf"\| `models/finetune/best.pt` +\| `{digest}` \| +8 B \|", text)


def test_each_exported_format_has_a_row_with_its_change_its_time_and_the_reason(written) -> None:
    text = (written["exported"][0] / "reports/report.md").read_text()

    rows = {
        line.split("`")[1]: [cell.strip() for cell in line.split(" | ")] for line in text.splitlines() if line.startswith("| `")
    }
    assert rows["onnx"][1:6] == ["kept", "0.8123 (-0.40%)", "-0.60% to -0.20%", "2.00 ms", "4.0x faster than .pt"]
    assert rows["onnx-int8"][1:4] == ["refused", "0.8123 (-30.00%)", catalogue.load("en").none]
    assert "box.mAP50 falls by 30.00%; one image takes \\| 9.00 ms" in text
    assert rows["engine"][1] == "skipped"


def test_where_nothing_is_exported_the_report_says_why(written) -> None:
    assert "`export.formats` is empty" in (written["gain"][0] / "reports/report.md").read_text()
    assert "rejected, so nothing was exported" in (written["too little"][0] / "reports/report.md").read_text()


def test_of_many_classes_the_best_the_worst_and_the_lost_are_shown(written) -> None:
    text = (written["many classes"][0] / "reports/report.md").read_text()

    shown = re.findall(r"\(the best and worst (\d+) of (\d+); ", text)
    rows = [row for metric in ("box", "mask") for row in cells(text, f"By class: {metric} AP50")]
    assert len(shown) == 2  # box and mask
    assert sum(int(count) for count, _ in shown) == len(rows)
    assert {count for _, count in shown} == {shown[0][1]}
    assert int(shown[0][0]) > int(shown[1][0]) == parts.BEST_ROWS + parts.WORST_ROWS  # losses in the box alone
    assert re.search(r"Worse beyond noise, of \d+ classes by box AP50: (class \d+, ){20}and \d+ more\. Not tested, since", text)
    assert len(cells(text, "Classes (box AP50")) == lost.MOST_LOST


def test_the_comment_on_a_pull_request_has_verdict_metrics_and_the_three_worst_things(
    workspace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = SITUATIONS["guards"]().write(workspace)
    pullrequest.run(settings)

    shown = capsys.readouterr().out
    assert shown.startswith("## Training report: REJECT\n")
    assert "- **Largest risk**: guard `min_metric" in shown
    assert "| **box mAP50**" in shown
    worst = shown.partition("**What speaks against it**\n\n")[2].partition("\n\n")[0].splitlines()
    assert len(worst) == 3
    assert worst[0].startswith("- `min_metric: box.mAP50`: ")
    assert "`python -m tasks.report --errors` draws every image" in shown


def test_the_comment_says_where_nothing_speaks_against_the_candidate(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = SITUATIONS["same model"]().write(workspace)
    pullrequest.run(settings)

    assert "Nothing was found: no guard failed" in capsys.readouterr().out
