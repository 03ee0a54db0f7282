"""A run's pretrained models as they are named from any current folder."""

from pathlib import Path

from pkd_core.config.settings import RunConfig


def model_paths(run: RunConfig) -> dict[str, str]:
    """Return the absolute path of each model that is a folder, by the field of the run that names it."""
    named = {"model": run.model, "student_model": run.student_model}
    folders = {field: Path(name).expanduser() for field, name in named.items() if name is not None}
    return {field: str(folder.resolve()) for field, folder in folders.items() if folder.is_dir()}
