"""Checks, before hours are spent, that a compression has its data and its models, and that its result can be kept."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flows.compress.request import CompressRequest
from flows.prepare import check_device, download_missing_data
from pkd_core.pipeline.compress_data import FoundData, bring_named_data, find_data
from pkd_core.pipeline.compress_values import compress_command
from pkd_core.store.output_folder import check_output
from pkd_core.store.stage_store import StageStore

if TYPE_CHECKING:
    from pkd_core.pipeline.compress_plan import CompressionRun


@dataclass(frozen=True)
class Prepared:
    """A compression that can begin.

    Attributes:
        data: The task that its data are, and the first look at them.
        run: What its stages are made from.
    """

    data: FoundData
    run: "CompressionRun"


def prepare_compression(asked: CompressRequest, import_to: Path | None = None) -> Prepared:
    """Check workspace, device and output folder, make the data a task, and find the models.

    Args:
        asked: The compression.
        import_to: Where data are written that the workspace does not hold yet; None for its data_raw.

    Raises:
        PkdError: One of them cannot be used.
    """
    from pkd_core.pipeline.compress_plan import find_compression  # imports torch, which takes seconds

    StageStore(asked.workspace)
    if asked.out is not None:
        check_output(asked.out)
    check_device(asked.options)
    data_raw = asked.workspace / "data_raw"
    bring_named_data(asked.workspace, str(asked.data.data))
    data = find_data(asked.data, data_raw, asked.config.teachers, asked.options.device, import_to)
    download_missing_data((data.task,), data_raw)
    options, command = asked.options, compress_command(asked.data, asked.config)
    run = find_compression(
        asked.config, data.task, asked.workspace, options.device, options.deep, command, data.data_raw
    )
    return Prepared(_with_token_lengths(data, run), run)


def _with_token_lengths(data: FoundData, run: "CompressionRun") -> FoundData:
    """Add to the first look what the student's tokenizer makes of the texts."""
    from pkd_core.own_data.token_lengths import token_lengths

    if not data.sample:
        return data
    lengths = token_lengths(data.sample, run.inputs.models.student.folder, run.settings.tokens.max_length)
    return replace(data, table=(*data.table, lengths.line))
