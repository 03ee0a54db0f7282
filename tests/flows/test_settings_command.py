"""`pkd settings` shows each setting's value, source, bounds and meaning."""

import json
import re
from pathlib import Path

import pytest
from command import run_pkd

from pkd_core.config.overrides import setting_keys
from pkd_core.config.readers import methods_reading


def test_settings_shows_a_tasks_values_with_their_sources(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("settings", "RTE", "--method", "kd", "student.num_epochs=7") == 0
    out = capfd.readouterr().out
    assert out.startswith("Settings for RTE: a student of 6 layers by kd, and its teacher of 12.\n")
    assert "\nstudent.num_epochs = 7  (given)\n    Passes over the training data" in out
    assert "\ndistill.temperature = 20.0  (kd_6layer best RTE)\n" in out
    assert "\ntokens.max_length = 128  (default)\n" in out
    assert "distill.beta" not in out


def test_settings_of_a_student_of_another_model_are_those_of_its_table(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert (
        run_pkd(
            *("settings", "RTE", "--method", "kd", "--teacher-layers", "24", "--student-model-layers", "12")
        )
        == 0
    )
    out = capfd.readouterr().out
    assert out.startswith("Settings for RTE: a student of 6 layers by kd, and its teacher of 24.\n")
    assert "\ndistill.alpha = 0.2  (kd_6layer_teacher24_base best RTE)\n" in out
    assert "\nteacher.learning_rate = 1e-05  (teacher_24layer best RTE)\n" in out


def test_settings_of_a_convention_name_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("settings", "RTE", "convention=authors", "student.shuffle=true") == 0
    out = capfd.readouterr().out
    assert "\nteacher.optimizer = bert-adam  (convention authors)\n" in out
    assert "\nstudent.shuffle = true  (given)\n" in out
    assert "\ndistill.patience_reduction = element_mean  (convention authors)\n" in out


def test_settings_as_json_is_one_object_for_each_key(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_pkd("settings", "--json") == 0
    listed = json.loads(capfd.readouterr().out)
    read = tuple(key for key in setting_keys() if "pkd-skip" in methods_reading(key))
    assert tuple(one["key"] for one in listed) == read
    assert listed[0]["bounds"] == "8 to 512"
    assert (listed[0]["value"], listed[0]["default"], listed[0]["source"]) == (128, 128, "default")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RTE", "MRPC"], "expected one task or none, got RTE and MRPC"),
        (["rte"], "choose a similar one (RTE)"),
        (
            ["RTE", "convention=theirs"],
            "there is no convention 'theirs'; give one of default, authors, paper",
        ),
        (
            ["RTE", "--method", "finetune", "transfer.num_copies=1"],
            "transfer.num_copies has no effect on finetune",
        ),
        (["RTE", "student.num_epochs=0"], "student.num_epochs cannot be '0'"),
        (["RTE", "--method", "finetune", "distill.alpha=1"], "distill.alpha has no effect on finetune"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_pkd("settings", *words, "--workspace", str(tmp_path)) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"pkd: .+\n", err)
    assert message in err
