"""The flow `stage`: one training of somebody's `improve`, on this machine, in a clone at the commit that was given.

`flows.pools` starts it. It is no flow to start by hand: `dvc repro` builds a stage.
"""

from __future__ import annotations

from prefect import State, flow
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed, Failed

from flows import naming
from flows.stages import build
from tasks import elsewhere
from tasks.common.errors import PipelineError
from tasks.common.params import load as load_params

FENCE = "```json\n{}\n```"
"""How the artifact shows what dvc.lock says of the stage."""


@flow(name="stage", log_prints=True)
def one_stage(stage: str) -> State[None]:
    """Pull what the stage reads, build it through DVC, push what it wrote, and show what dvc.lock says of it."""
    try:
        params = load_params(overrides=["flow.pools={}"])
        elsewhere.bring(stage, params)
        state = build(stage, params, return_state=True)
        state.result()
        entry = elsewhere.hand_back(stage, params)
    except PipelineError as error:
        return Failed(message=error.block())
    key = naming.artifact_key(params.registry.name, f"{stage}-lock")
    create_markdown_artifact(FENCE.format(entry), key=key, description=f"What dvc.lock says of {stage}: built from what")
    return Completed(name=state.name, message=state.message)
