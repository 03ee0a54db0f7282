"""How templates are filled: what comes from data is escaped, and a name that is missing is an error."""

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

_PAGE = "pkd_core.report.page"


def page_environment(*packages: str) -> Environment:
    """Return the environment of the templates of some packages and of the report's page, in this order."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, ".") for package in (*packages, _PAGE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
