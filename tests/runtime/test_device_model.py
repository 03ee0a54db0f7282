"""A device's model is what its maker calls it: speeds are measured once for each."""

from pathlib import Path

import pytest
import torch

from pkd_core.runtime import device
from pkd_core.runtime.device import model_of

CPU = torch.device("cpu")


def test_a_processor_is_named_as_the_kernel_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_CPU_INFO", tmp_path / "cpuinfo")
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nmodel\t\t: 1\nmodel name\t: AMD EPYC  7B13 \nflags\t: fpu\n"
    )
    assert model_of(CPU) == "AMD EPYC 7B13"


@pytest.mark.parametrize("text", ["processor\t: 0\nFeatures\t: fp\n", "model name\t:\n", None])
def test_a_processor_without_a_name_there_is_named_as_python_names_it(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert model_of(CPU) == "aarch64"


def test_a_gpu_is_named_by_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", {torch.device("cuda:1"): "NVIDIA H100 80GB HBM3"}.get)
    assert model_of(torch.device("cuda:1")) == "NVIDIA H100 80GB HBM3"
