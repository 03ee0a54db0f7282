"""What cannot be exported is named, and the libraries' remarks are not shown."""

import logging
import sys
import threading
import warnings
from pathlib import Path

import pytest
from tiny import write_tiny_model

from pkd_core.errors import ConfigError, ModelError
from pkd_core.export.onnx_files import export_onnx, quantize
from pkd_core.export.quiet import quietly_alone


def test_a_missing_package_names_the_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    for export in (lambda: export_onnx(tmp_path, tmp_path), lambda: quantize(tmp_path)):
        with pytest.raises(ConfigError, match=r"needs onnxscript, .* pip install 'pkd\[export\]'"):
            export()


def test_a_folder_without_a_trained_classifier_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="expected an encoder classifier of transformers"):
        export_onnx(tmp_path, tmp_path)
    write_tiny_model(tmp_path, num_layers=1)
    with pytest.raises(ModelError, match=r"expected a trained classifier, found no classifier\.bias"):
        export_onnx(tmp_path, tmp_path)


def test_remarks_are_silent_while_a_model_is_exported_and_shown_again_afterwards(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exporter = logging.getLogger("torch.onnx.exporter")
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        with quietly_alone():
            warnings.warn("an axis", stacklevel=1)
            exporter.warning("no torchvision")
            logging.warning("no pre-processing")
            logging.error("a fault")
            other = threading.Thread(target=logging.warning, args=["of another thread"])
            other.start()
            other.join()
        warnings.warn("after", stacklevel=1)
        exporter.warning("later")
        logging.warning("later still")
    assert [str(one.message) for one in shown] == ["after"]
    assert caplog.messages == ["a fault", "of another thread", "later", "later still"]


def test_quiet_adds_no_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with quietly_alone():
        logging.warning("no pre-processing")
    assert logging.getLogger().handlers == []
