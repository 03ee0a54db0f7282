"""An exported classifier as MLflow serves it: with onnxruntime, without torch.

MLflow copies this file into the logged model and runs the copy where pkd may not be installed: this file imports
nothing of pkd. The model itself is run by the bundle's own program.
"""

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServedBundle(PythonModel):
    """Predicts a label and a probability for each label, any number of labels with the same, or a score."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle of the logged model."""
        folder = Path(context.artifacts["bundle"])
        spec = importlib.util.spec_from_file_location("pkd_bundle", folder / "predict.py")
        assert spec is not None, "the name ends in .py"
        assert spec.loader is not None, "it is a file"
        program = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(program)
        self._model = program.Model(folder)

    # MLflow warns of an input without a type, and refuses types that it does not know.
    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict each example.

        Args:
            context: Not used.
            model_input: A DataFrame, list or dictionary with the task's own columns, or the texts alone: strings for a
                task of one text (in a list, an array or any single column), pairs of strings for a task of two.
            params: Not used.

        Returns:
            "label" or "labels" and "probability_<label>" for each label, or "score".

        Raises:
            MlflowException: The input has other columns, or what is in them is no text.
        """
        answers = self._model.predict(_texts(model_input, self._model.text_columns))
        if self._model.kind == "regression":
            return pd.DataFrame({"score": [one["score"] for one in answers]}, dtype=float)
        name = "labels" if self._model.kind == "multi-label" else "label"
        predictions = pd.DataFrame({name: [one[name] for one in answers]}, dtype=object)
        for label in self._model.labels:
            probabilities = [one["probabilities"][label] for one in answers]
            predictions[f"probability_{label}"] = pd.Series(probabilities, dtype=float)
        return predictions


def _texts(given: Any, columns: list[str]) -> list[tuple[str, ...]]:
    """Return the one or two texts of each example of what a user passed."""
    if isinstance(given, str) or (
        isinstance(given, dict) and all(isinstance(v, str) for v in given.values())
    ):
        given = [given]
    frame = given if isinstance(given, pd.DataFrame) else pd.DataFrame(given)
    if set(columns) <= set(frame.columns):
        frame = frame[columns]
    elif not frame.empty and (
        len(frame.columns) != len(columns) or (len(columns) > 1 and list(frame.columns) != [0, 1])
    ):
        raise _refused(f"expected the columns {columns}, got {[str(name) for name in frame.columns]}")
    rows = [tuple(row) for row in frame.itertuples(index=False)]
    for number, row in enumerate(rows, start=1):
        for name, text in zip(columns, row, strict=True):
            if not isinstance(text, str):
                got = "null" if pd.api.types.is_scalar(text) and pd.isna(text) else repr(text)[:60]
                raise _refused(f"row {number}: expected a text in the column {name!r}, got {got}")
    return rows


def _refused(sentence: str) -> MlflowException:
    # MLflow's server answers with this sentence and status 400; any other error would be a stack trace.
    return MlflowException(sentence, error_code=INVALID_PARAMETER_VALUE)


set_model(ServedBundle())
