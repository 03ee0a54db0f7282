"""Words of a command line: names and key=value settings, in any order."""

from collections.abc import Iterable

from pkd_core.config.overrides import check_key, parse_assignments, setting_keys
from pkd_core.errors import ConfigError, shortened


def split_arguments(arguments: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return the tasks and the key=value settings among words in any order.

    Raises:
        ConfigError: A setting is not one word of the form key=value, or is given twice, or a task has a comma.
    """
    tasks, settings = split_words(arguments)
    for task in tasks:
        if "," in task:
            raise ConfigError(
                f"tasks are separated by spaces, not commas: {shortened(task.replace(',', ' '))}."
            )
    return tasks, settings


def split_words(arguments: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return the names and the key=value settings among words in any order.

    Raises:
        ConfigError: A setting is not one word of the form key=value, or is given twice.
    """
    words = list(arguments)
    for word, *following in (words[start:] for start in range(len(words))):
        _check_is_one_word(word, following)
    settings = parse_assignments(word for word in words if "=" in word)
    return [word for word in words if "=" not in word], settings


def _check_is_one_word(word: str, following: list[str]) -> None:
    """Refuse `key = value`, `key =value`, `key= value` and `key value`, and write it as it should be."""
    key, equals, value = word.partition("=")
    if not equals and following and following[0].startswith("="):
        check_key(key)
    if value or key not in setting_keys():
        return
    parts = [part.removeprefix("=") for part in following[:2]]
    meant = next((part for part in parts if part and "=" not in part), "VALUE")
    raise ConfigError(f"{key} needs its value in the same word, without spaces: {key}={shortened(meant)}.")
