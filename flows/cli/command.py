"""How every command of pkd reads its words and explains itself: on top of typer, which cuts and forgives more."""

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand

from pkd_core.errors import ConfigError


class Command(TyperCommand):
    """A command that refuses an option given twice, and whose line in the list of commands is not cut."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words of a command line.

        Raises:
            ConfigError: An option is given twice: typer would take the last one silently.
        """
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for option, count in Counter(order).items():
                if count > 1 and not getattr(option, "multiple", False):
                    raise ConfigError(f"{option.opts[0]} is given {count} times; give it once.")
        return super().parse_args(ctx, args)

    def get_short_help_str(self, _limit: int = 0) -> str:
        """Return the first paragraph of the help, whatever its length; the list of commands wraps it."""
        return " ".join((self.help or "").partition("\n\n")[0].split())


def usage_sentence(error: typer.TyperException) -> str:
    """Return what typer has against a command line in one sentence, with the command whose help explains it."""
    message = (
        error.format_message().replace("Value error, ", "").replace(". Did you", "; did you").rstrip(".?")
    )
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "pkd"
    return f"{message[0].lower()}{message[1:]}; `{path} --help` lists what it takes."
