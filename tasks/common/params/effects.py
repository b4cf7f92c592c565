"""Sections of params.yaml about the world outside the workspace: registry, promote, watch, flow, compute."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from tasks.common.params.types import MAX, STRICT, Float, Int, Positive, RelativePath, Share

MAX_NAME = 64
"""Characters of the longest name of a detector or stage: tags and files are called after both, and have room for 255."""
Training = Annotated[str, Field(pattern=r"^(baseline|finetune)$")]
"""A stage that trains."""


def plain_name(name: str) -> str:
    """A person's name as names are compared: without spaces around it, in Unicode's form NFC. Capitals count."""
    return unicodedata.normalize("NFC", name).strip()


def _no_blank(name: str) -> str:
    if not plain_name(name):
        raise ValueError("a name is blank. Remove it.")
    return plain_name(name)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RegistryParams:
    backend: Literal["git", "mlflow"]
    """Where versions are kept: git tags, or the model registry of an MLflow server (needs the extra [mlflow])."""
    mlflow_uri: Annotated[str, Field(pattern=r"^[^@\s]+$")] | None
    """Address of the MLflow server, without a password; null takes the variable MLFLOW_TRACKING_URI."""
    name: Annotated[str, Field(pattern=r"^[a-z](-?[a-z0-9])*$", max_length=MAX_NAME)]
    """Name of the model in the registry and of the detector in Prefect; dvc.yaml names the same artifact."""
    stage: Annotated[str, Field(pattern=r"^[a-z](-?[a-z0-9])*$", max_length=MAX_NAME)]
    """The stage that makes a version the champion."""
    push: bool
    """Push data, weights and the version's tag where remotes are configured."""
    git_remote: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    """Name of the git remote that receives the tags."""
    sign: bool
    """Sign every tag with the SSH or GPG key that git is set up with (`gpg.format`, `user.signingkey`); `verify` checks them."""

    @model_validator(mode="after")
    def _signs_tags(self) -> Self:
        if self.sign and self.backend != "git":
            raise ValueError(f"registry.sign signs git tags, and registry.backend is {self.backend}. Set one of the two.")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PromoteParams:
    timeout_h: Annotated[Float, Field(gt=0, le=8760)]
    """Hours that the flow promote waits for an answer; then it fails and the champion stays."""
    second_reviewer: bool
    """Ask a second person after the first has approved; it must be somebody else."""
    approvers: tuple[Annotated[str, AfterValidator(_no_blank)], ...]
    """Names that may promote, roll back, deprecate and answer the form, compared exactly (trimmed, as NFC); empty: anybody."""
    signed_only: bool
    """Promote by the signed command alone: the flow promote shows evidence and command, and asks nobody; needs registry.sign."""
    notify_block: Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")] | None
    """Prefect block, as type/name, that tells somebody of a run that waits; null is nobody."""

    @model_validator(mode="after")
    def _can_be_answered(self) -> Self:
        if self.second_reviewer and len(set(self.approvers)) == 1:
            raise ValueError("promote.second_reviewer asks two people, and promote.approvers names one. Add one, or unset it.")
        if self.second_reviewer and self.signed_only:
            raise ValueError("promote.second_reviewer asks two people, and promote.signed_only takes one signature. Unset one.")
        return self


@dataclass(frozen=True, kw_only=True, config=STRICT)
class WatchParams:
    path: RelativePath | None
    """Folder of new data, with data.yaml; null watches nothing. An image without a label file is unlabelled, not background."""
    split: Literal["train", "val", "test"]
    """The split of it that is looked at."""
    min_images: Positive
    """With fewer images nothing is said."""
    conf: Annotated[Float, Field(gt=0, lt=1)]
    """Detections below this confidence are not counted and not drawn."""
    max_drop: Share
    """A champion whose gate.metric lies this share below its registered figure is worse, if that is not luck."""
    max_psi: Annotated[Float, Field(gt=0, le=MAX)]
    """Population stability index at which a distribution counts as another one, if that is not noise."""
    page_images: Annotated[Int, Field(ge=0, le=100)]
    """Images of a kind that are drawn on watch.html."""
    start_improve: bool
    """Whether the flow `watch` starts the flow `improve` where the champion is worse."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class FlowParams:
    lock_wait_s: Annotated[Float, Field(ge=0, le=86400)]
    """How long to wait for another process that holds DVC's lock, seconds."""
    lost_after_s: Annotated[Float, Field(ge=60, le=86400)]
    """Silence after which a deployed run of improve counts as dead, seconds; it gives a sign of life every 30 s."""
    pools: dict[Training, Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=MAX_NAME)]]
    """Trainings that run on another work pool of Prefect, as {stage: pool}; the machines meet at the git and the DVC remote."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ComputeParams:
    engine: Literal["local", "ray"]
    """Who reads images and labels and predicts splits: this process, or tasks of Ray on the cluster of RAY_ADDRESS, else on one
    of this machine (needs the extra [ray]). The results are the same."""
    num_cpus: Annotated[Int, Field(ge=1, le=1024)]
    """CPU cores that Ray reserves for a task."""
    num_gpus: Annotated[Float, Field(ge=0, le=1)]
    """GPUs that Ray reserves for a task that predicts; 0.25 puts four tasks on one GPU."""


LOCAL = ComputeParams(engine="local", num_cpus=1, num_gpus=0.0)
