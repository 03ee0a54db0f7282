"""Stage: take a classifier that is fine-tuned already, or several, as the teacher."""

import shutil
from pathlib import Path

from pkd_core.model.classifier_files import classifier_files
from pkd_core.pipeline.facts import OwnTeacherFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.own_teacher_specs import OwnTeacherSpec
from pkd_core.store.os_errors import check_disk_space


def take_own_teacher(job: Job, spec: OwnTeacherSpec) -> OwnTeacherFacts:
    """Copy the files that loading a classifier reads: those of several into folders that are numbered from 1.

    From then on, the teacher is a stage as one that is trained here, whatever happens to the user's folder.
    """
    teachers = [job.context.folder_of(teacher) for teacher in job.context.own_teachers]
    sources = [teacher / name for teacher in teachers for name in classifier_files(teacher)]
    num_bytes = sum(path.stat().st_size for path in sources)
    check_disk_space(job.work, num_bytes, "a copy of the teacher")
    folders = member_folders(job.work, spec)
    num_done = 0
    job.observer.progress(num_done, len(sources), "files")
    for teacher, folder in zip(teachers, folders, strict=True):
        folder.mkdir(exist_ok=True)
        for name in classifier_files(teacher):
            shutil.copyfile(teacher / name, folder / name)
            num_done += 1
            job.observer.progress(num_done, len(sources), "files")
    return OwnTeacherFacts(families=spec.families, bytes=num_bytes)


def member_folders(folder: Path, spec: OwnTeacherSpec) -> list[Path]:
    """Return the folder of each classifier below that of the stage."""
    num_members = len(spec.families)
    return [folder] if num_members == 1 else [folder / str(number + 1) for number in range(num_members)]
