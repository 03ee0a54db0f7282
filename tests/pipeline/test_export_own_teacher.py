"""An own teacher's export: its outputs are put into the order of the task's labels, and it keeps its own length."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from dags import HASHES, dag
from families import write_classifier
from test_own_teacher_dag import OWN, OWN_BERT
from tiny import WORDS, write_tiny_model, write_tiny_task
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from pkd_core.config.overrides import build_run_config, build_settings
from pkd_core.config.run_options import RunOptions
from pkd_core.data.glue import GLUE_TASKS
from pkd_core.errors import ConfigError
from pkd_core.evaluation.answers import read_answers
from pkd_core.export.bundle_predict import FLOAT32, Model
from pkd_core.export.result import int8_answers, read_export
from pkd_core.pipeline.export_stages import export_stage
from pkd_core.pipeline.local import build_stages
from pkd_core.pipeline.plan import find_inputs, make_plan, plan_stages

SETTINGS = {"tokens.max_length": 16, "compute.threads": 1}


def test_several_teachers_are_not_exported() -> None:
    teacher = dag(own_teachers=(OWN, OWN_BERT), methods=["kd"])["RTE/teacher"]
    with pytest.raises(ConfigError, match="several teachers that answer together are no single model"):
        export_stage(GLUE_TASKS["RTE"], build_settings({}), teacher, HASHES)


def export_teacher(root: Path) -> Path:
    """Export a RoBERTa whose outputs are ("up", "down"), where the task's labels are ("down", "up")."""
    write_tiny_task(root / "data_raw", num_dev=40)
    write_tiny_model(root / "student", 2)
    write_classifier(root / "roberta", "roberta", [" ".join(WORDS)], ("Up", "Down"))
    run = build_run_config(
        tasks=["Tiny"],
        methods=["kd"],
        teachers=[str(root / "roberta")],
        student_model=str(root / "student"),
        settings=SETTINGS,
    )
    teacher = next(one for one in make_plan(run, root).stages if one.stage.key == "Tiny/teacher")
    inputs, settings = find_inputs(run, root), build_settings(SETTINGS | {"export.max_changed": 1.0})
    stage = export_stage(inputs.tasks["Tiny"], settings, teacher.stage, inputs.raw_hashes["Tiny"])
    plan = plan_stages(run, root, inputs, [teacher.stage, stage])
    return root / build_stages(plan, RunOptions(device="cpu"))[stage.key].path


@pytest.mark.slow
def test_an_own_teachers_bundle_names_its_outputs_as_the_task_does(tmp_path: Path) -> None:
    folder = export_teacher(tmp_path)
    lines = (tmp_path / "data_raw" / "Tiny" / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    texts = [line.split("\t")[0] for line in lines]
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "roberta").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "roberta")
    with torch.inference_mode():
        logits = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts]).numpy()
    settings = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    assert settings["labels"] == ["up", "down"]
    assert settings["max_length"] == 38  # 40 positions, of which RoBERTa's start after the padding's
    assert settings["inputs"] == ["input_ids", "attention_mask"]
    exported = Model(folder, FLOAT32)
    np.testing.assert_allclose(exported.logits(texts), logits, rtol=0, atol=1e-5)
    labels = [answer["label"] for answer in exported.predict(texts)]
    assert labels == [("up", "down")[position] for position in logits.argmax(axis=1)]
    answers = read_answers(folder, int8_answers("dev"))
    np.testing.assert_allclose(answers.logits_RC, logits[:, ::-1], rtol=0, atol=0.5)
    assert answers.labels_R.tolist() == [("down", "up").index(line.split("\t")[1]) for line in lines]
    assert read_export(folder).model == "teacher"
