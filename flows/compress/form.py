"""The parameters of a compression's flow, from which Prefect makes the form of the deployment's run."""

import inspect

from flows.compress.request import FIELDS
from flows.form import WORKSPACE, settings_type, signature_of


def compress_section() -> str:
    """Return the docstring's section from which Prefect's page describes each parameter."""
    lines = [f"    {name}: {field.description}" for name, field in FIELDS.items()]
    return "\n".join(["Args:", *lines, f"    workspace: {WORKSPACE}"])


def compress_signature() -> inspect.Signature:
    """Return one keyword for each field of a compression's parts, and one for the workspace."""
    return signature_of(FIELDS, {"settings": settings_type()}, {"data": inspect.Parameter.empty})
