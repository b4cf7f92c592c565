"""Ask a person, in the Prefect UI, and wait without holding a process.

A suspended run starts again from the top when somebody answers, so the key of a question holds the digest of what is asked. An
answer counts for exactly that evidence and in that run of the flow: after a change the question is asked anew. It outlives a
failure, so that a Retry does not ask. A rejection goes into the registry; so does silence, see `flows.unanswered`.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal, cast
from uuid import UUID

from prefect import State, get_client, suspend_flow_run
from prefect.artifacts import Artifact, create_markdown_artifact
from prefect.client.schemas.objects import Artifact as ArtifactResponse
from prefect.input import RunInput
from prefect.logging import get_run_logger
from prefect.states import Completed
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from flows import unanswered
from flows.evidence import Evidence
from flows.naming import PROMOTION, artifact_key, title
from flows.pictures import WORST, WORST_ALT, with_picture
from flows.question import page, report_key
from tasks.common.errors import RegistryError
from tasks.common.params import PromoteParams
from tasks.common.text import markdown
from tasks.registry import Registry, Version, is_approver

Kind = Literal["approve", "second"]
AGAIN_HEAD = "> **Asked again**: "
AGAIN = f"{AGAIN_HEAD}version, champion or report changed after the last question, so its answer does not count."
ANOTHER = f"{AGAIN_HEAD}the second reviewer must be somebody else than the first."
UNKNOWN = f"{AGAIN_HEAD}that name is not one of promote.approvers in params.yaml."
HOW = "**How to answer**: fill in the form below and submit it, by {until}. Opening it with Resume decides nothing."
"""The last words above the form."""
MAX_QUESTIONS = 200
"""Most questions of one run of the flow; the server returns no more in one page."""


REASON_FOR_NO: JsonDict = {
    "if": {"properties": {"answer": {"const": "reject"}}, "required": ["answer"]},
    "then": {"properties": {"note": {"minLength": 1, "pattern": r"\S"}}, "required": ["note"]},
}
"""The part of the form's JSON schema, which the server checks, that wants a note with a rejection."""


class Approval(RunInput):
    """The form. `answer` and `reviewer` have no defaults: after a time-out Prefect would take them for an answer."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=REASON_FOR_NO)

    answer: Literal["approve", "reject"] = Field(
        title="Answer", description="approve: the version goes into production. reject: it does not, and the champion stays."
    )
    reviewer: str = Field(
        title="Reviewer", description="Your name; an audit note, not a login.", max_length=200, pattern=r"^[^\r\n]*\S[^\r\n]*$"
    )
    note: str = Field(default="", title="Note", description="Why; kept with the answer. A rejection needs one.", max_length=2000)

    @property
    def is_yes(self) -> bool:
        return self.answer == "approve"

    @property
    def person(self) -> str:
        """The reviewer in a form that two spellings of one name share."""
        return " ".join(unicodedata.normalize("NFKC", self.reviewer).split()).casefold()


def ask(evidence: Evidence, promote_params: PromoteParams) -> list[Approval]:
    """The answers to `evidence`: one, or two if promote.second_reviewer is set; the last one decides.

    The run is suspended until they are there.
    """
    version, text = evidence.version, page(evidence, show_report(evidence))
    first = _approver("approve", version, evidence.digest, text, promote_params)
    if not first.is_yes or not promote_params.second_reviewer:
        return [first]
    digest = hashlib.sha256(f"{evidence.digest} {first.model_dump_json()}".encode()).hexdigest()
    head = f"> **Second review**: {markdown(first.reviewer)} approved. {markdown(first.note)}"
    text = f"{head}\n\n{text}"
    return [first, _approver("second", version, digest, text, promote_params, first)]


def _approver(
    kind: Kind, version: Version, digest: str, text: str, promote_params: PromoteParams, first: Approval | None = None
) -> Approval:
    """An answer from somebody who may give it: one of promote.approvers, and not the reviewer who gave `first`."""

    def refusal(answer: Approval) -> str:
        if not is_approver(promote_params, answer.reviewer):
            return UNKNOWN
        return ANOTHER if first and answer.person == first.person else ""

    answer = _question(kind, version, digest, text, promote_params)
    if why := refusal(answer):
        get_run_logger().warning("refused: %s", why.removeprefix(AGAIN_HEAD))
        answer = _question(kind, version, digest, f"{why}\n\n{text}", promote_params, accept=lambda answer: not refusal(answer))
    return answer


def _question(
    kind: Kind,
    version: Version,
    digest: str,
    text: str,
    promote_params: PromoteParams,
    accept: Callable[[Approval], bool] = lambda answer: True,
) -> Approval:
    """The answer to the last question of `kind` if it asked about `digest`; otherwise suspend the run with a new question."""
    run = unanswered.current_run()
    with get_client(sync_client=True) as client:
        entries = client.filter_flow_run_input(run.id, f"suspended-{kind}-", MAX_QUESTIONS, set())
        client.update_flow_run(run.id, name=f"{title(version)} waits: Resume opens the question")
    keys = [entry.key for entry in entries]
    questions = sorted(key.removeprefix("suspended-").removesuffix("-schema") for key in keys if key.endswith("-schema"))
    used_keys = run.empirical_policy.pause_keys or set()  # a Retry empties them
    if questions:
        answers = [entry.decoded_value for entry in entries if entry.key == f"suspended-{questions[-1]}-response"]
        if questions[-1].endswith(digest[:12]) and answers:
            answer = Approval(**answers[0])
            if accept(answer):
                return answer
        elif answers or questions[-1] in used_keys:
            get_run_logger().warning("refused: the evidence changed after the question %s", questions[-1])
            text = f"{AGAIN}{_uncounted(answers)}\n\n{text}"
    # A question whose run was killed early has no schema, so its key counts too.
    number = 1 + len({*questions, *(key for key in used_keys if key.startswith(kind))})
    key, timeout_s = f"{kind}-{number:03}-{digest[:12]}", round(promote_params.timeout_h * 3600)
    unanswered.schedule_record(key, version, timeout_s)
    until = f"{datetime.now(UTC) + timedelta(seconds=timeout_s):%Y-%m-%d %H:%M} UTC"
    text = f"{text}\n\n{HOW.format(until=until)}"
    get_run_logger().info("%s waits for an answer until %s: the button Resume opens the question", title(version), until)
    return suspend_flow_run(wait_for_input=Approval.with_initial_data(description=text), key=key, timeout=timeout_s)


def _uncounted(answers: Sequence[Mapping[str, str]]) -> str:
    """The answer to a question that was about other evidence; '' for none."""
    if not answers:
        return ""
    word = "approved" if answers[0].get("answer") == "approve" else "rejected"
    return f" It was: {markdown(answers[0].get('reviewer', 'somebody'))} {word}. {markdown(answers[0].get('note', ''))}"


def show_report(evidence: Evidence) -> UUID | None:
    """The artifact that holds the version's report; it is made once a run of the flow."""
    key = report_key(evidence.version)
    if unanswered.current_run().empirical_policy.pause_keys:
        known = cast(ArtifactResponse | None, Artifact.get(key))
        return known.id if known else None
    text = with_picture(evidence.report, WORST, WORST_ALT, evidence.picture)
    return cast(UUID, create_markdown_artifact(text, key=key, description=f"The report of {title(evidence.version)}"))


def show_command(evidence: Evidence, approve: str) -> State[None]:
    """Show the evidence and the command that promotes with a signature. An answer in the UI proves no name, so nobody is asked.

    Raises:
        RegistryError: `approve` is auto, which would promote without a signature.
    """
    if approve == "auto":
        what = "approve: auto promotes without a signature, and promote.signed_only is true"
        raise RegistryError(what, where=evidence.version.tag, fix="Start the flow with approve: ask, or set the key to false.")
    version, champion = evidence.version.version, evidence.champion
    expected = f" --expected-champion {champion}" if champion else ""
    command = f"python -m tasks.registry promote {version}{expected} --approver NAME --reason WHY"
    text = f"{title(evidence.version)} waits for a signature (promote.signed_only). Run: {command}"
    show_report(evidence)
    key = artifact_key(evidence.version.name, PROMOTION)
    create_markdown_artifact(f"Promote it with\n\n    {command}\n\n{page(evidence)}", key=key, description=text)
    get_run_logger().info(text)
    return Completed(name="SignatureWanted", message=text)


def reject(registry: Registry, evidence: Evidence, answers: list[Approval]) -> None:
    """Record in the registry who said no and why; the champion stays."""
    run, last = unanswered.current_run(), answers[-1]
    approvals = [f"{answer.reviewer} approved: {answer.note or 'no note'}" for answer in answers[:-1]]
    registry.refuse(
        evidence.version.version,
        "rejected",
        approver=last.reviewer.strip(),
        reason="; then ".join([*approvals, last.note or "no note"]),
        question=f"{run.id} {evidence.digest}",
    )


def finish(outcome: Literal["Promoted", "Rejected"], evidence: Evidence, answers: list[Approval]) -> State[None]:
    """Show who decided what, and why, as an artifact and in the log, and return the state in which the run ends."""
    who = "; ".join(f"{a.reviewer} {'approved' if a.is_yes else 'rejected'}: {a.note or 'no note'}" for a in answers)
    why = who or f"The gate said {evidence.decision.verdict} and approve was auto"
    text = f"{title(evidence.version)} {outcome.lower()}. {why}"
    key = artifact_key(evidence.version.name, PROMOTION)
    create_markdown_artifact(f"{text}\n\n{page(evidence)}", key=key, description=text)
    get_run_logger().info(text)
    unanswered.cancel_record()
    return Completed(name=outcome, message=text)
