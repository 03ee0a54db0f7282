"""The packages that exporting needs and pkd does without otherwise."""

from importlib.util import find_spec

from pkd_core.errors import ConfigError

_NEEDED = ("onnx", "onnxscript", "onnx_ir", "onnxruntime")


def check_packages() -> None:
    """Check that the extra "export" is installed.

    Raises:
        ConfigError: A package of it is missing.
    """
    absent = [name for name in _NEEDED if find_spec(name) is None]
    if absent:
        raise ConfigError(
            f"exporting a model needs {' and '.join(absent)}, not installed here; run pip install 'pkd[export]'."
        )
