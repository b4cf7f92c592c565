"""The question that a person reads before a version is promoted, as Markdown, in the language of report.language.

Figures, the gate's reasons and what its guards say stay as decision.json has them, in English.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from uuid import UUID

from flows.evidence import Evidence
from flows.naming import artifact_key
from flows.pictures import WORST, WORST_ALT, picture
from tasks.common.page.wording import Wording, wording
from tasks.common.paths import REPORT
from tasks.common.text import markdown, table
from tasks.gate.wording import interval, share
from tasks.measure.budget import share_spent
from tasks.measure.compare import Comparison
from tasks.measure.decision import ALL_SETS, Compared, Guard
from tasks.measure.errors import Lost
from tasks.measure.exported import ExportedFormat
from tasks.registry import Version

MAX_ROWS = 30
"""Most rows of a table; the report has them all."""
MOST_LOST = 10
"""Most golden sets, classes and slices in the table of those that lost."""
MOST_NAMED = 5
"""Most classes and images with lost labels that are named."""
MAX_IMAGES = 5
"""Most images that got worse; reports/errors.json of the version has them all."""


def page(evidence: Evidence, report_id: UUID | None = None) -> str:
    """The evidence as Markdown with a picture, well under the 500 kB that Prefect's database can take.

    `report_id` is the artifact with the report; without it the link leads to all reports of the version.
    """
    return "\n\n".join(_Page(evidence, wording(evidence.language)).sections(report_id))


def report_key(version: Version) -> str:
    """The key of the artifact that holds the report of a version."""
    return artifact_key(version.name, f"report-{version.version.replace('.', '-')}")


@dataclass(frozen=True)
class _Page:
    evidence: Evidence
    words: Wording

    def sections(self, report_id: UUID | None) -> Iterator[str]:
        evidence, decision, say = self.evidence, self.evidence.decision, self.words.say
        name, tag, link = evidence.version.name, evidence.version.tag, evidence.version.link
        yield "## " + say("Shall {version} go into production?", version=f"`{tag}`")  # bare, it becomes a link to write a mail
        yield from self._warnings()
        yield "\n".join(f"- **{head}**: {text}" for head, text in self._in_short())
        production = f"`{name}@{evidence.champion}`" if evidence.champion else say("nothing")
        # From the page of a run or of an artifact, in the old and in the new UI, two steps up is where the UI begins.
        artifact = f"artifact/{report_id}" if report_id else f"key/{report_key(evidence.version)}"
        report = f"[{say('The whole report')}](../../artifacts/{artifact})"
        text = "In production now: {production}. {report} is an artifact of this run. The form is below."
        yield say(text, production=production, report=report)
        if evidence.answers:
            yield self._section("Answered before", "\n".join(f"- {markdown(text)}" for text in evidence.answers))
        if evidence.picture:
            yield picture(say(WORST), say(WORST_ALT), evidence.picture)
        yield self._section("What was lost", "\n\n".join(self._lost()))
        yield self._section("Why", "\n".join(f"- {markdown(reason)}" for reason in decision.reasons))
        yield self._section("Metrics", self._comparisons("metric", decision.metrics.items()))
        failed = [guard for guard in decision.guards if not guard.passed]
        held, num = len(decision.guards) - len(failed), len(decision.guards)
        yield self._section("Guards: {held} of {all} hold", self._guards(failed), held=held, all=num)
        yield from self._counted()
        if evidence.exported and evidence.exported.formats:
            rows = [self._format(name, entry) for name, entry in evidence.exported.formats.items()]
            head = ("format", "", say("{metric} against the .pt", metric=decision.metric), "interval", "why")
            yield self._section("In other runtimes", self._table(head, rows))
        in_mlflow = say("{file} of version {version} in MLflow", file=REPORT, version=evidence.version.version)
        place = f"[{in_mlflow}]({link})" if link else f"    git show {tag}:{REPORT}"
        yield self._section("Report", f"SHA-256 `{evidence.report_sha256}`\n\n{place}")

    def _section(self, title: str, text: str, **values: object) -> str:
        return f"## {self.words.say(title, **values)}\n\n{text}"

    def _in_short(self) -> Iterator[tuple[str, str]]:
        """What one would ask first, a line each: more than the form shows at once cannot be expected to be read."""
        say, decision, errors, exported = self.words.say, self.evidence.decision, self.evidence.errors, self.evidence.exported
        values = say("{before} to {after}", before=f"{decision.reference:.4f}", after=f"{decision.candidate:.4f}")
        yield f"{decision.verdict}", f"{decision.metric} {values}, {self._gain()}"
        lost = say("no class and no slice lost")
        if self.worse:
            name, comparison = self.worse[0]
            lost = f"{markdown(name)}: {self._share(comparison.gain)} ({interval(comparison.gain_interval)})"
            if comparison.gain_interval and comparison.gain_interval.high >= 0:
                lost += say(", within noise")
        yield say("Lost most"), lost
        if errors is not None:
            pairs = [(self._confusion(p.labelled, p.detected), p.before, p.after) for p in errors.grown[:1]]
            grown = [f"{pair}, {say('{before} to {after}', before=f'{b:,}', after=f'{a:,}')}" for pair, b, a in pairs]
            yield say("Confusion that grew most"), grown[0] if grown else say("none")
            change = {"missed": f"{errors.before.missed:,} → {errors.after.missed:,}"}
            change |= {"false": f"{errors.before.false:,} → {errors.after.false:,}"}
            yield say("In service"), say("missed {missed}, false {false}; ", **change) + self._images()
        if exported is not None and exported.formats:
            status: dict[str, list[str]] = {}
            for name, entry in exported.formats.items():
                status.setdefault(entry.status, []).append(markdown(name))
            yield say("Other runtimes"), "; ".join(f"{say(word)}: {', '.join(names)}" for word, names in status.items())
        if (reign := decision.reign) is not None:
            spent = say("no budget limits the looks")
            if reign.budget is not None:
                shares = {"share": f"{share_spent(reign.look) * 100:.0f}%", "budget": f"{reign.budget * 100:.3g}%"}
                spent = say("{share} of its budget of {budget} is spent", **shares)
            yield (
                say("Look"),
                say("{look} at champion {champion}: {spent}", look=reign.look, champion=reign.champion, spent=spent),
            )

    @cached_property
    def worse(self) -> list[tuple[str, Comparison]]:
        """The golden sets, classes and slices that lost, the one that lost most first."""
        return [(self._part(part), part.comparison) for part in self.evidence.decision.losses]

    def _part(self, part: Compared) -> str:
        say = self.words.say
        if part.kind == "golden":
            return say("all golden sets") if part.value == ALL_SETS else say("golden set {name}", name=part.value)
        if part.kind == "class":
            return say("class {name}, {metric}", name=part.value, metric=part.metric)
        return f"{part.by} {part.value}"

    def _lost(self) -> Iterator[str]:
        """What was compared and what of it lost, with its interval; then the labels that only the reference finds."""
        say, decision = self.words.say, self.evidence.decision
        if not self.worse:
            yield self._compared() + say("None of them lost.")
        else:
            yield self._compared() + say("These lost, whether or not beyond noise:")
            yield self._comparisons("part", self.worse, MOST_LOST)
            yield from self._tested()
        if missing := [part.name for part in decision.golden if part.comparison is None]:
            text = "Not looked at: the golden sets {names}, since today's data still holds their images, or too few are left."
            yield say(text, names=markdown(", ".join(missing)))
        if (errors := self.evidence.errors) is not None and errors.lost is not None:
            yield self._objects(errors.lost)

    def _compared(self) -> str:
        """What the table of losses is about, a sentence."""
        decision, words = self.evidence.decision, self.words
        metrics = sorted({metric for comparisons in decision.per_class.values() for metric in comparisons})
        num_sets = len({part.value for part in decision.compared if part.kind == "golden"} - {ALL_SETS})
        values = {
            "sets": words.counted(num_sets, "golden set") if num_sets else words.say("no golden set"),
            "classes": words.counted(len(decision.per_class), "class", "classes"),
            "metrics": ", ".join(metrics) or decision.metric,
            "slices": words.counted(len(decision.slices), "slice") if decision.slices else words.say("no slice"),
        }
        return words.say("Compared: {sets}, {classes} by {metrics}, {slices}", **values) + words.stop

    def _tested(self) -> Iterator[str]:
        """How many of the figures lost beyond noise; nothing where no confidence was asked for."""
        say, decision = self.words.say, self.evidence.decision
        tested = [part.comparison for part in decision.compared if part.comparison.change_interval is not None]
        num_lost = sum(comparison.is_lost for comparison in tested)
        if decision.confidence is None:
            return
        if not tested:
            yield say("None was tested: too few independent groups of images.")
        elif num_lost:
            text = "**{num} of {all} figures with an interval lost beyond noise.**"
            yield say(text, num=f"{num_lost:,}", all=f"{len(tested):,}")
        else:
            yield say("Nothing lost beyond noise, of {all} figures with an interval.", all=f"{len(tested):,}")

    def _objects(self, lost: Lost) -> str:
        """Labels that only one of the models finds in service, the classes and the images with the most."""
        say = self.words.say
        values = {"lost": f"{lost.num_lost:,}", "gained": f"{lost.num_gained:,}"}
        text = say("Labels in service (counted, not tested): {lost} lost, {gained} newly found", **values)
        parts = [
            say(head, names=", ".join(f"{markdown(entry.name)} {entry.lost}" for entry in entries[:MOST_NAMED] if entry.lost))
            for head, entries in (("; by class {names}", lost.classes), ("; most on {names}", lost.images))
            if any(entry.lost for entry in entries)
        ]
        return "".join([text, *parts]) + self.words.stop.rstrip()

    def _images(self) -> str:
        errors = self.evidence.errors
        assert errors is not None
        values = {"worse": f"{len(errors.worsened):,}", "all": f"{errors.images:,}", "better": f"{errors.improved:,}"}
        return self.words.say("{worse} of {all} images got worse, {better} better", **values)

    def _confusion(self, labelled: str, detected: str) -> str:
        return markdown(self.words.say("{labelled} as {detected}", labelled=labelled, detected=detected))

    def _counted(self) -> Iterator[str]:
        """Confusions and images that got worse in service, counted and not tested."""
        say, errors = self.words.say, self.evidence.errors
        if errors is None:
            return
        rows = [(self._confusion(p.labelled, p.detected), f"{p.before:,}", f"{p.after:,}") for p in errors.grown]
        text = say("Each model at its own thresholds; counted, not tested. Confusions that grew:")
        grown = self._table(("confusion", "reference", "candidate"), rows)
        yield self._section("In service: {images}", f"{text}\n\n{grown}", images=self._images())
        images = [
            (markdown(image.image), *(say("{before} to {after}", before=b, after=a) for b, a in zip(*counts, strict=True)))
            for image in errors.worsened
            for counts in [(astuple(image.before), astuple(image.after))]
        ]
        if images:
            head = say("Images that got worse, the worst first:")
            yield f"{head}\n\n{self._table(('image', 'detected', 'missed', 'false'), images, MAX_IMAGES)}"

    def _warnings(self) -> Iterator[str]:
        say, version, record = self.words.say, self.evidence.version, self.evidence.version.record
        if version.version != self.evidence.newest:
            yield "> " + say("**Not the newest**: {version} is.", version=f"`{version.name}@{self.evidence.newest}`")
        if record and record.parent != self.evidence.champion:
            reference = record.parent or say("the baseline")
            yield "> " + say("**The champion has changed**: this version was judged against {reference}.", reference=reference)
        for text in self.evidence.since:
            yield "> " + say("**The gate has changed**: {text}.", text=markdown(text))

    def _gain(self) -> str:
        say, decision = self.words.say, self.evidence.decision
        text = say("{gain} over the {reference}", gain=share(decision.gain), reference=say(decision.reference_model))
        if (level := decision.level) is None:
            return text + say("; gate.confidence is null, so the point alone decided")
        confidence = f"{level.confidence * 100:.4g}%"
        return text + say(
            ", at least {bound} with {confidence} confidence", bound=share(level.lower_bound), confidence=confidence
        )

    def _share(self, gain: float | None) -> str:
        return self.words.say("none") if gain is None else share(gain)

    def _format(self, name: str, entry: ExportedFormat) -> tuple[str, ...]:
        """The row of an exported format."""
        change = entry.changes.get(self.evidence.decision.metric)
        gain, span = (change.gain, change.gain_interval) if change else (None, None)
        return markdown(name), self.words.say(entry.status), self._share(gain), interval(span), markdown("; ".join(entry.reasons))

    def _comparisons(self, head: str, rows: Iterable[tuple[str, Comparison]], most: int = MAX_ROWS) -> str:
        cells = [
            (
                markdown(name),
                self._share(comparison.gain),
                interval(comparison.gain_interval),
                f"{comparison.reference:.4f}",
                f"{comparison.candidate:.4f}",
            )
            for name, comparison in rows
        ]
        head_row = (head, "gain", "interval", "reference", "candidate")  # the form is narrow: what matters first
        return self._table(head_row, cells, most)

    def _guards(self, failed: Sequence[Guard]) -> str:
        yes, no = self.words.say("yes"), f"**{self.words.say('no')}**"
        guards = [*failed, *(guard for guard in self.evidence.decision.guards if guard.passed)]
        rows = [(markdown(guard.name), yes if guard.passed else no, markdown(guard.text)) for guard in guards]
        return self._table(("guard", "holds", "found"), rows)

    def _table(self, head: Sequence[str], rows: Sequence[Sequence[str]], most: int = MAX_ROWS) -> str:
        say = self.words.say
        if not rows:
            return say("None.")
        more = "\n\n" + say("and {num} more, in the report", num=len(rows) - most) if len(rows) > most else ""
        return table([say(name) for name in head], rows[:most]) + more
