"""A fine-tuned checkpoint as MLflow serves it.

MLflow copies this file into the logged model and runs the copy where pkd may not be installed: this file imports
nothing of pkd.
"""

from typing import Any

import numpy as np
import pandas as pd
import torch
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from transformers import AutoModelForSequenceClassification, AutoTokenizer

_ROWS_PER_BATCH = 64


class ServedModel(PythonModel):
    """Predicts a label and a probability for each label, or a score."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the checkpoint of the logged model."""
        checkpoint = context.artifacts["checkpoint"]
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(checkpoint, local_files_only=True)
        self._model = model.eval().to(self._device)

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Predict each row of the columns "text", or "text_a" and "text_b"."""
        names = ["text"] if "text" in model_input.columns else ["text_a", "text_b"]
        max_length = context.model_config["max_length"]
        batches = [np.zeros((0, self._model.config.num_labels), dtype=np.float32)]
        for start in range(0, len(model_input), _ROWS_PER_BATCH):
            rows = model_input.iloc[start : start + _ROWS_PER_BATCH]
            batches.append(self._logits([rows[name].tolist() for name in names], max_length))
        return self._predictions(torch.from_numpy(np.concatenate(batches)))

    def _logits(self, texts: list[list[str]], max_length: int) -> np.ndarray:
        encoded = self._tokenizer(
            *texts, truncation=True, max_length=max_length, padding=True, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            logits: np.ndarray = self._model(**encoded).logits.float().cpu().numpy()
        return logits

    def _predictions(self, logits_BC: torch.Tensor) -> pd.DataFrame:
        config = self._model.config
        if config.problem_type == "regression":
            return pd.DataFrame({"score": logits_BC[:, 0].double().numpy()})
        labels = [config.id2label[position] for position in range(config.num_labels)]
        probabilities_BC = logits_BC.softmax(dim=1).double().numpy()
        predictions = pd.DataFrame(
            {"label": [labels[position] for position in logits_BC.argmax(dim=1).tolist()]}
        )
        for position, label in enumerate(labels):
            predictions[f"probability_{label}"] = probabilities_BC[:, position]
        return predictions


set_model(ServedModel())
