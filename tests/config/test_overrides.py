"""Settings by dotted keys: precedence, and the sentence that each mistake gets."""

import pytest
from tiny import default_settings

from pkd_core.config.overrides import build_run_config, build_settings, parse_assignments, setting_keys
from pkd_core.config.settings import Settings
from pkd_core.errors import ConfigError


def test_later_layers_take_precedence_and_defaults_fill_the_rest() -> None:
    preset = {"distill.temperature": 20.0, "student.learning_rate": 5e-5}
    settings = build_settings(preset, {"distill.temperature": "5"})
    assert settings.distill.temperature == 5.0
    assert settings.student.learning_rate == 5e-5
    assert settings.tokens.max_length == Settings().tokens.max_length


def test_every_key_can_be_set_from_its_own_text() -> None:
    defaults = default_settings()
    assert set(defaults) == set(setting_keys())
    again = build_settings(parse_assignments(f"{key}={value}" for key, value in defaults.items()))
    assert again == Settings()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"distill.temprature": 5}, r"no setting 'distill.temprature': did you mean distill.temperature"),
        ({"bogus": 5}, "the sections are tokens, teacher, student"),
        ({"distill.alpha": "2"}, "distill.alpha cannot be '2': input should be less than or equal to 1"),
        ({"student.num_epochs": "many"}, "student.num_epochs cannot be 'many'"),
        ({"teacher.learning_rate": "nan"}, "teacher.learning_rate cannot be 'nan'"),
        (
            {"student.num_epochs": 10**30},
            "student.num_epochs cannot be 1000+: input should be less than or equal to",
        ),
        ({"teacher.batch_size": 10**7}, "teacher.batch_size cannot be 10000000: "),
        ({"teacher.accumulation_steps": 10**7}, "teacher.accumulation_steps cannot be 10000000: "),
        ({"teacher.seed": 2**63}, "teacher.seed cannot be 9223372036854775808: "),
        ({"teacher.learning_rate": "1e300"}, "teacher.learning_rate cannot be '1e300': "),
        ({"distill.temperature": 1e-320}, "distill.temperature cannot be 1e-320: "),
        ({"distill.beta": 1e300}, r"distill.beta cannot be 1e\+300: "),
        ({"evaluation.max_tokens": 10**9}, "evaluation.max_tokens cannot be 1000000000: "),
        ({"speed.max_seconds": 10**9}, "speed.max_seconds cannot be 1000000000: "),
        ({"evaluation.speed_repeats": 5}, "no setting 'evaluation.speed_repeats'"),
        ({"student.init": "random"}, "student.init cannot be 'random'"),
        ({"distill": {"alpha": 1}}, "no setting 'distill'"),
    ],
)
def test_a_wrong_setting_is_named_with_what_would_do(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_settings(settings)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tasks": []}, "tasks cannot be"),
        ({"tasks": ["RTE", "RTE"]}, "tasks names the same thing twice: RTE, RTE"),
        ({"tasks": ["Tiny", "tiny"]}, "tasks names the same thing twice: Tiny, tiny"),
        ({"tasks": ["T\0"]}, r"tasks\.0 cannot be 'T\\x00': expected a text without a NUL character"),
        (
            {"tasks": ["RTE"], "model": 5000 * "x"},
            r"model cannot be 'x+\.\.\.x+': string should have at most 4096",
        ),
        (
            {"tasks": ["RTE"], "seeds": [2**63]},
            r"seeds\.0 cannot be 9223372036854775808: input should be less",
        ),
        ({"tasks": ["RTE"], "seeds": ["1" + 5000 * "0"]}, r"seeds\.0 cannot be '1000+\.\.\.0+': "),
        (
            {"tasks": ["RTE"], "seeds": [10**5000]},
            r"seeds\.0 cannot be a number that is too long to be shown: ",
        ),
        ({"tasks": ["RTE"], "seeds": [[[[1]]]]}, r"seeds\.0 cannot be \[\[\[\.\.\.\]\]\]: "),
        ({"tasks": ["RTE"], "seeds": range(251)}, "at most 1000 students, and this one has 1004 by tasks"),
        ({"tasks": ["RTE"], "settings": {5000 * "x": 1}}, r"no setting 'x+\.\.\.x+': the sections"),
        ({"tasks": ["RTE"], "methods": ["kdd"]}, "methods.0 cannot be 'kdd'"),
        ({"tasks": ["RTE"], "seeds": ["-1"]}, "seeds.0 cannot be '-1'"),
        ({"tasks": ["RTE"], "student_layers": ["0"]}, "student_layers.0 cannot be '0'"),
        ({"tasks": ["RTE"], "settings": {"nope": 1}}, "no setting 'nope'"),
        ({"tasks": ["RTE"], "colour": "red"}, "colour cannot be 'red'"),
    ],
)
def test_a_wrong_run_is_refused_in_one_sentence(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        build_run_config(**values)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_text_from_the_command_line_becomes_numbers() -> None:
    run = build_run_config(tasks=["RTE"], seeds=["1", "2"], student_layers=["3"])
    assert run.seeds == (1, 2)
    assert run.student_layers == (3,)


@pytest.mark.parametrize("word", ["distill.alpha", "RTE"])
def test_an_argument_without_an_equals_sign_is_no_setting(word: str) -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        parse_assignments([word])


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="set twice"):
        parse_assignments(["distill.alpha=0.1", "distill.alpha=0.2"])
