"""Writes docs/settings.md from the models of the settings: `make settings`."""

import textwrap
from pathlib import Path

from pkd_core.config.reference import all_settings
from pkd_core.config.run_options import RunOptions
from pkd_core.config.settings import RunConfig, Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
_INTRODUCTION = """\
# Settings

`make settings` writes this page from `pkd_core/config/settings.py`. `pkd settings RTE` shows the values for a task, and
where each comes from: a published preset comes before the default, and what you give before both.

    pkd settings RTE --method kd --student-layers 3
    pkd run RTE student.num_epochs=6 distill.temperature=5

A setting that none of the run's methods reads is refused."""


def settings_page() -> str:
    """Return the page's text."""
    parts = [_INTRODUCTION]
    for section, values in dict(Settings()).items():
        lines = [
            _item(f"**`{one.key}`** = {_plain(one.default)}", one.description)
            for one in all_settings()
            if one.key.startswith(f"{section}.")
        ]
        parts.append("\n".join([f"## {section}", "", str(type(values).__doc__).strip(), "", *lines]))
    fields = RunConfig.model_fields | RunOptions.model_fields
    options = [
        _item(f"**`--{name.replace('_', '-')}`**", str(field.description))
        for name, field in fields.items()
        if name not in ("tasks", "settings")
    ]
    parts.append("\n".join(["## Options of `pkd run`, `pkd plan` and `pkd up`", "", *options]))
    return "\n\n".join(parts) + "\n"


def _item(head: str, text: str) -> str:
    return textwrap.fill(
        f"- {head}: {text}", 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    PAGE.write_text(settings_page(), encoding="utf-8")
