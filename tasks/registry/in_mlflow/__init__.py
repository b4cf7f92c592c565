"""The backend mlflow: versions in the model registry of an MLflow server, where its own UI and clients find them.

- A version is a version of the registered model registry.name. Its number is vM.N.0: N is MLflow's own number, which the
  server hands out once; M rises where classes or task are not those before. `models:/detector/3` is v1.3.0.
- Its run keeps weights, exported artifacts, report, decision, params.yaml, dvc.lock and what git does not know of the code as
  artifacts, with their hashes in the record (tag `ratchet.record` and artifact record.json) or in export.json. The version is
  created last, with its record in the same request, so that none is ever half there.
- MLflow keeps no history of aliases (mlflow #2169). Each assignment, withdrawal and refusal is a version of the registered
  model NAME.history, whose numbers order them; nothing there is ever changed. The alias registry.stage follows it.
"""

from tasks.registry.in_mlflow.register import Registrar
from tasks.registry.in_mlflow.verify import Checks


class MlflowBackend(Registrar, Checks):
    """Versions as those of the registered model registry.name, with everything that belongs to them in their runs."""

    HOLDER = "MLflow"
    KEEPS_WEIGHTS = True
