"""The flow `improve`: bring data, models and decision up to date, and register the model if it earned it.

`python -m flows.improve` runs it here, with a Prefect server of its own for as long as it lasts.
"""

from __future__ import annotations

import argparse
import sys

from prefect import State, flow
from prefect.exceptions import TerminationSignal
from prefect.states import Completed

from flows import asking, history, naming, pools
from flows.effects import publish_evidence, register_model, snapshot_data, take_look
from flows.local import server_for_this_run
from flows.stages import STAGES, build
from flows.waiting import drop_duplicates
from tasks import preflight, summary
from tasks.common import code, dvc, dvcpipeline, dvcstale, stage
from tasks.common.params import Params
from tasks.common.params import load as load_params
from tasks.measure.decision import Decision
from tasks.registry import Registry

NOTHING = "Nothing changed since the last run: no stage to build."


@flow(name="improve", flow_run_name=naming.of_improve, log_prints=True)
def improve() -> State[str]:
    """Snapshot the data, bring every stage up to date, and register the model if it earned it.

    If neither data, params, code nor champion changed since the last run, it ends in seconds, in the state Unchanged. It takes no
    parameters: every knob is in params.yaml, where it is under version control and checked.
    """
    drop_duplicates()
    code_before = code.state()
    params, stale = prepare()
    preflight.name_new_keys()
    if not stale:
        return ended("Unchanged", f"{NOTHING}\n{summary.summarise(params, *register_model(params))}")
    pools.check(params)
    print(dvcstale.summary(stale))
    for name in makers_of_data():
        build(name, params)
    snapshot_data(params)
    for name in STAGES:
        code.require_same(code_before)
        if name == "gate":
            take_look(params)
        if pool := params.flow.pools.get(name):
            pools.build(name, params, pool)
        else:  # `validate` alone depends on the dataset's files
            build(name, params, is_stale=name == "validate" and name in stale)
    code.require_same(code_before)
    publish_evidence(params)
    asking.publish("doubts", params)
    version, is_known = register_model(params)
    history.publish(Registry(params))
    word = "Kept the reference" if version is None else "Known version" if is_known else "Registered"
    return ended(f"{word}: {Decision.read().verdict}", summary.summarise(params, version, is_known))


def prepare() -> tuple[Params, dict[str, tuple[str, ...]]]:
    """The parameters, with champion.yaml naming today's champion, and what is not as the last run left it, with reasons."""
    params = load_params()
    preflight.check(params)
    Registry(params).pin_champion()
    return params, dvc.stale_stages(STAGES, lock_wait_s=params.flow.lock_wait_s)


def makers_of_data() -> tuple[str, ...]:
    """The stages of dvc.yaml that make the dataset before ours run: `sample`, or the user's own."""
    return tuple(name for name in dvcpipeline.built_from(STAGES) if name not in STAGES and not name.endswith(".dvc"))


def ended(outcome: str, text: str) -> State[str]:
    """The state in which a run ends, which the UI shows with its summary."""
    return Completed(name=outcome, message=text, data=text)


def main() -> None:
    """Run the flow, or say that there is nothing to do; the last lines are the summary."""
    argparse.ArgumentParser(prog="python -m flows.improve", description=(__doc__ or "").partition("\n")[0]).parse_args()
    stage.log_to_terminal()
    with stage.user_errors():
        params, stale = prepare()
        if not stale:  # without the seconds that a temporary server takes
            preflight.name_new_keys()
            text = f"{NOTHING}\n{summary.summarise(params, *register_model.fn(params))}"
        else:
            pools.check(params)
            try:
                with server_for_this_run():
                    text = str(improve())
            except (KeyboardInterrupt, TerminationSignal):
                sys.exit("\ninterrupted: finished stages are kept; run again to go on")
        sys.stdout.write(f"\n{text}\n")


if __name__ == "__main__":
    main()
