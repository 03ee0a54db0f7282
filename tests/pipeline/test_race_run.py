"""A run of RACE from its files to the report, in every method, and its models as transformers loads them."""

import json
import random
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from dags import HASHES, MODEL
from tiny import QUICK_SETTINGS, write_tiny_model
from transformers import AutoModelForMultipleChoice, AutoTokenizer, BertForMultipleChoice

from flows.best import describe_best
from flows.cli.predict import PredictRequest, predict
from pkd_core.config.overrides import build_run_config
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import METHODS
from pkd_core.data.race import RACE, read_questions, sequences
from pkd_core.errors import ConfigError
from pkd_core.evaluation.answers import read_answers
from pkd_core.evaluation.distances_result import read_distances
from pkd_core.evaluation.result import read_result
from pkd_core.pipeline.dag import build_dag
from pkd_core.pipeline.local import run_plan
from pkd_core.pipeline.models import Models
from pkd_core.pipeline.plan import make_plan
from pkd_core.pipeline.specs import StudentSpec, TokensSpec
from pkd_core.store.address import StageRecord

NOUNS, WORDS = ("film", "book", "song", "play"), ("good", "bad", "fine", "poor")


def write_race(root: Path) -> None:
    """Write a few articles that say how four things were, and a question about each of two."""
    rng = random.Random(1)
    for split, level, count in (
        ("train", "middle", 6),
        ("train", "high", 6),
        ("dev", "middle", 3),
        ("dev", "high", 5),
        ("test", "high", 2),
    ):
        folder = root / "RACE" / split / level
        folder.mkdir(parents=True)
        for number in range(count):
            states = dict(zip(NOUNS, rng.sample(WORDS, 4), strict=True))
            asked = rng.sample(NOUNS, 2)
            content = {
                "article": " ".join(f"the {noun} was {word} ." for noun, word in states.items()),
                "questions": [f"the {asked[0]} was _ .", f"the {asked[1]} was"],
                "options": [list(WORDS), list(WORDS)],
                "answers": ["ABCD"[WORDS.index(states[noun])] for noun in asked],
                "id": f"{level}{number}.txt",
            }
            (folder / f"{number}.txt").write_text(json.dumps(content), encoding="utf-8")


def race_dag(**settings: object) -> Mapping[str, object]:
    config = build_run_config(tasks=["RACE"], student_layers=[6], settings=settings)
    hashes = {"RACE": HASHES | {"dev-middle": "d", "dev-high": "e"}}
    return {stage.key: stage.spec for stage in build_dag(config, [RACE], hashes, Models(MODEL), "AMD EPYC")}


def test_race_has_its_published_settings_the_authors_length_and_small_parts_of_batches() -> None:
    specs = race_dag()
    tokens, student = specs["RACE/tokens"], specs["RACE/pkd-skip-6l-s42"]
    assert isinstance(tokens, TokensSpec) and isinstance(student, StudentSpec)
    assert tokens.tokens.max_length == 512
    assert (student.training.batch_size, student.training.accumulation_steps) == (32, 8)


def test_race_has_no_texts_without_labels() -> None:
    with pytest.raises(
        ConfigError, match=r"RACE has no texts without labels; set transfer\.unlabelled=false"
    ):
        race_dag(**{"transfer.num_copies": 1})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("race-run")
    write_race(folder / "data_raw")
    write_tiny_model(folder / "model")
    return folder


@pytest.fixture(scope="module")
def records(root: Path) -> Mapping[str, StageRecord]:
    settings = QUICK_SETTINGS | {"tokens.max_length": 40, "student.accumulation_steps": 3}
    config = build_run_config(
        tasks=["RACE"], methods=METHODS, student_layers=[2], model=str(root / "model"), settings=settings
    )
    return run_plan(make_plan(config, root, device="cpu"), RunOptions(device="cpu"))


@pytest.mark.slow
def test_every_method_is_scored_on_both_levels_together_and_on_each(
    root: Path, records: Mapping[str, StageRecord]
) -> None:
    for name in ("teacher", *(f"{method}-2l-s42" for method in METHODS)):
        folder = root / records[f"RACE/evaluation-{name}"].path
        scores = read_result(folder).scores
        assert scores.keys() == {"dev/accuracy", "dev-middle/accuracy", "dev-high/accuracy"}
        together = (6 * scores["dev-middle/accuracy"] + 10 * scores["dev-high/accuracy"]) / 16
        assert scores["dev/accuracy"] == pytest.approx(together)
        assert len((folder / "submission" / "RACE-test.tsv").read_text().splitlines()) == 1 + 4


@pytest.mark.slow
def test_students_are_compared_with_the_teacher_in_the_states_of_every_choice(
    root: Path, records: Mapping[str, StageRecord]
) -> None:
    skip = read_distances(root / records["RACE/distances-pkd-skip-2l-s42"].path)
    assert [(*layer.layers, layer.is_matched) for layer in skip.layers] == [(1, 2, True), (2, 4, False)]
    matched, last = skip.layers
    assert 0 < matched.after < matched.before < 1
    assert 0 < last.before != last.after


@pytest.mark.slow
@pytest.mark.parametrize("name", ["teacher", "kd.full-2l-s42"])
def test_a_published_model_is_one_that_transformers_loads_for_multiple_choice(
    root: Path, records: Mapping[str, StageRecord], name: str
) -> None:
    folder = root / records[f"RACE/{name}"].path
    model = AutoModelForMultipleChoice.from_pretrained(folder)
    assert isinstance(model, BertForMultipleChoice)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answers = read_answers(root / records[f"RACE/evaluation-{name}"].path, "dev")
    found = []
    for example in read_questions(root / "data_raw/RACE/dev", RACE.split("dev")):
        firsts, seconds = zip(*sequences(example.texts), strict=True)
        inputs = tokenizer(
            firsts,
            seconds,
            truncation="only_first",
            max_length=40,
            padding=True,
            return_tensors="pt",
            return_token_type_ids=True,
        )
        with torch.no_grad():
            logits = model(**{key: values.unsqueeze(0) for key, values in inputs.items()}).logits
        found.append(logits[0].numpy())
    np.testing.assert_allclose(np.stack(found), answers.logits_RC, atol=1e-5)


@pytest.mark.slow
def test_a_served_model_answers_with_the_letter_of_an_option(
    root: Path, records: Mapping[str, StageRecord]
) -> None:
    from tasks.served_model import ServedModel

    served = ServedModel()
    folder = root / records["RACE/teacher"].path
    config = {"max_length": 40, "text_columns": list(RACE.text_columns), "choices": list(RACE.labels)}
    context = SimpleNamespace(artifacts={"checkpoint": str(folder)}, model_config=config)
    served.load_context(context)
    questions = list(read_questions(root / "data_raw/RACE/dev", RACE.split("dev")))
    frame = pd.DataFrame([dict(zip(RACE.text_columns, one.texts, strict=True)) for one in questions])
    answers = read_answers(root / records["RACE/evaluation-teacher"].path, "dev")
    predicted = served.predict(context, frame)
    assert predicted["label"].tolist() == ["ABCD"[best] for best in answers.logits_RC.argmax(1)]
    assert list(predicted.columns) == ["label", *(f"probability_{letter}" for letter in "ABCD")]


@pytest.mark.slow
def test_predicting_a_text_is_refused_and_the_best_model_is_shown_as_one_for_multiple_choice(
    root: Path, records: Mapping[str, StageRecord]
) -> None:
    request = PredictRequest("RACE/teacher", ("a text",), None, None, False, "cpu", root)
    with pytest.raises(
        ConfigError, match=r"RACE/teacher chooses between possible answers.*BertForMultipleChoice"
    ):
        predict(request)
    assert "AutoModelForMultipleChoice.from_pretrained" in describe_best(
        root, root / records["reports/report"].path
    )
