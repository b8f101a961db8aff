"""The registered model by BentoML, as its documentation shows for MLflow's pyfunc models."""

import os
from typing import Any

import bentoml
import mlflow.pyfunc
import pandas as pd


@bentoml.service(workers=int(os.environ["BENTO_WORKERS"]), traffic={"timeout": 60})
class Scores:
    """One model a worker."""

    def __init__(self) -> None:
        self.model = mlflow.pyfunc.load_model(os.environ["MODEL_FOLDER"])

    @bentoml.api
    def predict(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Scores of pull requests in the collection's names."""
        found: list[dict[str, Any]] = self.model.predict(pd.DataFrame(records)).to_dict(orient="records")
        return found
