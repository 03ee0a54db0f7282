"""Stages: how long trained models, and untrained students of some depths, take for the task's own dev texts."""

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pkd_core.config.latency_settings import LatencyConfig
from pkd_core.data.examples import read_split
from pkd_core.data.task import Split
from pkd_core.data.tokenizer import TOKENIZER_FILES
from pkd_core.errors import ConfigError
from pkd_core.export.bundle import SETTINGS, TOKENIZER, Bundle, export_bundle
from pkd_core.export.bundle_predict import FLOAT32
from pkd_core.export.onnx_files import BERT_INPUTS, quantize
from pkd_core.latency.candidates import TEACHER, Candidates, student_name, write_candidates
from pkd_core.latency.measure import Variant, measure_latency
from pkd_core.latency.predictors import bundle_variants, torch_variant
from pkd_core.latency.result import LatencyResult, write_latency
from pkd_core.latency.shallower import export_shallower
from pkd_core.model.loading import build_classifier, save_classifier
from pkd_core.pipeline.facts import LatencyCandidatesFacts, LatencyFacts
from pkd_core.pipeline.job import Job
from pkd_core.pipeline.latency_specs import LatencyCandidatesSpec, LatencySpec
from pkd_core.pipeline.latency_stages import EXPORT, MODEL
from pkd_core.runtime.device import machine_of
from pkd_core.runtime.threads import computing_with


def time_candidates(job: Job, spec: LatencyCandidatesSpec) -> LatencyCandidatesFacts:
    """Write `candidates.json`: untrained students as they would be deployed, and the teacher if it is the same model.

    Raises:
        ConfigError: The run was planned for another machine than this, or a package of the extra "export" is missing.
    """
    _check_machine(job, spec.machine)
    teacher_depths = (spec.num_teacher_layers,) if spec.num_teacher_layers else ()
    with _untrained_bundles(job, spec, sorted({*spec.depths, *teacher_depths})) as bundles:
        named = [(student_name(depth), depth) for depth in spec.depths]
        named += [(TEACHER, depth) for depth in teacher_depths]
        threads = spec.latency.threads
        variants = [
            variant for name, depth in named for variant in bundle_variants(name, bundles[depth], threads)
        ]
        result = _measure(job, variants, spec.split, spec.latency, spec.machine)
    candidates = Candidates(spec.depths, spec.format, spec.max_length, result)
    write_candidates(job.work, candidates)
    return LatencyCandidatesFacts(
        p99_ms={depth: candidates.student(depth).p99_ms for depth in spec.depths},
        teacher_p99_ms=candidates.teacher.p99_ms if candidates.teacher else None,
        busy=result.busy,
    )


def time_models(job: Job, spec: LatencySpec) -> LatencyFacts:
    """Write `latency.json`: models as transformers and as onnxruntime compute them, in float32 and int8.

    Raises:
        ConfigError: The run was planned for another machine than this.
    """
    _check_machine(job, spec.machine)
    variants: list[Variant] = []
    for name in spec.models:
        bundle = job.inputs[EXPORT + name]
        settings = json.loads((bundle / SETTINGS).read_text(encoding="utf-8"))
        folder = job.inputs[MODEL + name]
        variants.append(torch_variant(name, folder, settings["max_length"], settings["inputs"]))
        variants += bundle_variants(name, bundle, spec.latency.threads)
    result = _measure(job, variants, spec.split, spec.latency, spec.machine)
    write_latency(job.work, result)
    return LatencyFacts(
        p99_ms={f"{row.model} {row.format}": row.p99_ms for row in result.rows}, busy=result.busy
    )


def _check_machine(job: Job, planned: str) -> None:
    if (machine := machine_of("cpu")) != planned:
        raise ConfigError(
            f"{job.stage.key} was planned for {planned}, and this machine has {machine}; plan and run on one machine."
        )


def _measure(
    job: Job, variants: list[Variant], split: Split, settings: LatencyConfig, machine: str
) -> LatencyResult:
    def observe(done: int, total: int) -> None:
        job.observer.progress(done, total, "seconds at most")

    path = job.data_raw / split.file
    examples = [example.texts for example in read_split(path, job.task, split)]
    with computing_with(settings.threads):
        return measure_latency(variants, examples, settings, machine, observe)


@contextmanager
def _untrained_bundles(
    job: Job, spec: LatencyCandidatesSpec, depths: list[int]
) -> Iterator[Mapping[int, Path]]:
    """Yield a bundle of each depth in the format to time; they are removed afterwards."""
    with tempfile.TemporaryDirectory(dir=job.work) as name:
        folder = Path(name)
        job.observer.progress(0, len(depths), "students exported")
        deepest = folder / "deepest"
        _export_untrained(job, spec, max(depths), deepest)
        bundles = {depth: folder / str(depth) for depth in depths}
        for done, (depth, bundle) in enumerate(bundles.items(), start=1):
            bundle.mkdir()
            for file in (SETTINGS, TOKENIZER):
                shutil.copyfile(deepest / file, bundle / file)
            export_shallower(deepest, bundle, depth)
            if spec.format == "onnx-int8":
                quantize(bundle)
                (bundle / FLOAT32).unlink()
            job.observer.progress(done, len(depths), "students exported")
        yield bundles


def _export_untrained(job: Job, spec: LatencyCandidatesSpec, num_layers: int, bundle: Path) -> None:
    """Write the first layers of the pretrained model as a bundle in float32: weights do not change the time."""
    bundle.mkdir()
    with tempfile.TemporaryDirectory(dir=bundle) as name:
        folder = Path(name)
        layers = range(1, num_layers + 1)
        save_classifier(build_classifier(job.model_folder, job.task, seed=0, layers=layers), folder)
        for file in TOKENIZER_FILES:
            if (job.model_folder / file).is_file():
                shutil.copyfile(job.model_folder / file, folder / file)
        export_bundle(folder, bundle, Bundle.of(job.task, spec.max_length), BERT_INPUTS)
