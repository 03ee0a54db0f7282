"""What a run refuses of the settings of distillation, and what they make of a student's specification."""

import pytest
from dags import changed, dag

from pkd_core.config.presets import preset_for
from pkd_core.errors import ConfigError


def test_the_decoupled_loss_needs_classes() -> None:
    decoupled = {"distill.distillation_loss": "dkd"}
    message = "distillation_loss=dkd needs a task with classes, and STS-B has scores"
    with pytest.raises(ConfigError, match=message):
        dag(decoupled, tasks=["STS-B"], methods=["kd"])
    assert "STS-B/kd-6l-s1" in dag(
        {"distill.distillation_loss": "logits-mse"}, tasks=["STS-B"], methods=["kd"]
    )
    assert changed(dag(), dag(decoupled)) == {
        "reports/report",
        *(
            f"{prefix}{name}-6l-s1"
            for name in ("kd", "pkd-skip", "pkd-last")
            for prefix in ("", "evaluation-", "distances-")
        ),
    }


@pytest.mark.parametrize(("num_layers", "first"), [(1, 1), (6, 6)])
def test_full_distillation_needs_a_layer_for_a_head(num_layers: int, first: int) -> None:
    message = (
        f"needs a head below the last of {num_layers} student layers, .* is {first}; choose deeper students"
    )
    with pytest.raises(ConfigError, match=message):
        dag({"distill.first_head_layer": first}, methods=["kd.full"], student_layers=[num_layers])


def test_full_distillation_has_the_settings_published_for_plain_distillation_and_no_layer_map() -> None:
    stages = dag({"distill.first_head_layer": 5}, methods=["kd", "kd.full"])
    plain, full = stages["RTE/kd-6l-s1"].config, stages["RTE/kd.full-6l-s1"].config
    assert full["distill"] == plain["distill"] | {"first_head_layer": 5, "head_weight": 0.5}
    assert (full["training"], full["layer_map"]) == (plain["training"], [])
    preset = preset_for("RTE", "kd.full", 6, 12)
    assert preset.source == "kd_6layer best RTE (there is none for kd.full)"
    assert not preset.exact


def test_distilled_students_have_their_own_number_of_epochs_where_it_is_given() -> None:
    methods = ["finetune", "kd", "pkd-skip"]
    stages = dag({"student.num_epochs": 9, "distill.num_epochs": 2}, methods=methods)
    expected = dag({"student.num_epochs": 2}, methods=methods) | {
        "RTE/finetune-6l-s1": dag({"student.num_epochs": 9}, methods=methods)["RTE/finetune-6l-s1"]
    }
    for method in methods:
        key = f"RTE/{method}-6l-s1"
        assert stages[key].fingerprint == expected[key].fingerprint
        assert stages[key].spec.training.num_epochs == (9 if method == "finetune" else 2)


@pytest.mark.parametrize("init", ["pretrained-first", "teacher-first", "teacher-skip"])
def test_distilled_students_have_first_weights_of_their_own_where_they_are_given(init: str) -> None:
    methods = ["finetune", "kd", "pkd-skip"]
    for plain in ("pretrained-first", "teacher-first", "teacher-skip"):
        stages = dag({"student.init": plain, "distill.init": init}, methods=methods)
        alike = {name: dag({"student.init": name}, methods=methods) for name in (plain, init)}
        for method in methods:
            key = f"RTE/{method}-6l-s1"
            expected = alike[plain if method == "finetune" else init][key]
            assert stages[key].fingerprint == expected.fingerprint
            assert stages[key].inputs == expected.inputs
            assert stages[key].spec.training.init == (plain if method == "finetune" else init)


def test_distilled_students_start_as_fine_tuned_ones_by_default() -> None:
    explicit = dag({"student.init": "teacher-skip", "distill.init": "student.init"})
    assert not changed(dag({"student.init": "teacher-skip"}), explicit) - {"reports/report"}
