"""A fine-tuned checkpoint as MLflow serves it.

MLflow copies this file into the logged model and runs the copy where pkd may not be installed: this file imports
nothing of pkd.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from transformers import AutoModelForSequenceClassification, AutoTokenizer

_ROWS_PER_BATCH = 64


class ServedModel(PythonModel):
    """Predicts a label, or any number of labels, and a probability for each label; or a score."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the checkpoint of the logged model."""
        checkpoint = context.artifacts["checkpoint"]
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(checkpoint, local_files_only=True)
        self._model = model.eval().to(self._device)

    # MLflow warns of an input without a type, and refuses types that it does not know.
    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict each example.

        Args:
            context: The logged model's files and settings.
            model_input: A DataFrame, list or dictionary with the task's own columns, or the texts alone: strings for a
                task of one text (in a list, an array or any single column), pairs of strings for a task of two.
            params: Not used.

        Raises:
            MlflowException: The input has other columns, or what is in them is no text.
        """
        texts = _texts(model_input, context.model_config["text_columns"])
        labels = self._labels(context)
        batches = [np.zeros((0, len(labels)), dtype=np.float32)]
        for start in range(0, len(texts), _ROWS_PER_BATCH):
            rows = texts.iloc[start : start + _ROWS_PER_BATCH]
            columns = [rows[name].tolist() for name in rows.columns]
            logits = self._logits(columns, context.model_config["max_length"])
            batches.append(logits.reshape(len(rows), -1))
        return self._predictions(torch.from_numpy(np.concatenate(batches)), labels)

    def _labels(self, context: PythonModelContext) -> list[str]:
        config = self._model.config
        choices: list[str] = context.model_config.get("choices", [])
        return choices or [config.id2label[position] for position in range(config.num_labels)]

    def _logits(self, texts: list[list[str]], max_length: int) -> np.ndarray:
        truncation: bool | str = True
        if len(texts) > 2:
            texts, truncation = _choices(*texts), "only_first"
        encoded = self._tokenizer(
            *texts, truncation=truncation, max_length=max_length, padding=True, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            logits: np.ndarray = self._model(**encoded).logits.float().cpu().numpy()
        return logits

    def _predictions(self, logits_BC: torch.Tensor, labels: list[str]) -> pd.DataFrame:
        if self._model.config.problem_type == "regression":
            return pd.DataFrame({"score": logits_BC[:, 0].double().numpy()})
        if self._model.config.problem_type == "multi_label_classification":
            probabilities_BC = logits_BC.sigmoid().double().numpy()
            given = [
                [labels[position] for position in np.flatnonzero(row)] for row in probabilities_BC >= 0.5
            ]
            predictions = pd.DataFrame({"labels": given}, dtype=object)
        else:
            probabilities_BC = logits_BC.softmax(dim=1).double().numpy()
            predictions = pd.DataFrame(
                {"label": [labels[position] for position in logits_BC.argmax(dim=1).tolist()]}
            )
        for position, label in enumerate(labels):
            predictions[f"probability_{label}"] = probabilities_BC[:, position]
        return predictions


def _choices(articles: list[str], questions: list[str], *options: list[str]) -> list[list[str]]:
    """Return each question's article, once for each of its options, and the question with that option."""
    firsts, seconds = [], []
    for article, question, *own in zip(articles, questions, *options, strict=True):
        for option in own:
            firsts.append(article)
            seconds.append(question.replace("_", option) if "_" in question else f"{question} {option}")
    return [firsts, seconds]


def _texts(given: Any, columns: list[str]) -> pd.DataFrame:
    """Return the columns of texts of what a user passed."""
    if isinstance(given, str) or (
        isinstance(given, dict) and all(isinstance(v, str) for v in given.values())
    ):
        given = [given]
    frame = given if isinstance(given, pd.DataFrame) else pd.DataFrame(given)
    if set(columns) <= set(frame.columns):
        texts = frame[columns]
    elif frame.empty:
        texts = pd.DataFrame(columns=columns)
    elif len(frame.columns) == len(columns) and (len(columns) == 1 or list(frame.columns) == [0, 1]):
        texts = frame.set_axis(columns, axis="columns")
    else:
        raise _refused(f"expected the columns {columns}, got {[str(name) for name in frame.columns]}")
    for name in columns:
        for number, text in enumerate(texts[name], start=1):
            if not isinstance(text, str):
                got = "null" if pd.api.types.is_scalar(text) and pd.isna(text) else repr(text)[:60]
                raise _refused(f"row {number}: expected a text in the column {name!r}, got {got}")
    return texts


def _refused(sentence: str) -> MlflowException:
    # MLflow's server answers with this sentence and status 400; any other error would be a stack trace.
    return MlflowException(sentence, error_code=INVALID_PARAMETER_VALUE)


set_model(ServedModel())
