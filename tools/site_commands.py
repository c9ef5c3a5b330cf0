"""The reference of the command line as Markdown, read from the commands themselves."""

from __future__ import annotations

from typing import Any

import typer

from cbldm.cli import app


def command_reference() -> str:
    """A section for each command, in the order of ``cbldm --help``, with a table of its arguments and options."""
    # typer brings its own click from some version on, so there is no one type to name here.
    group: Any = typer.main.get_command(app)
    return "\n\n".join(_section(f"cbldm {name}", command) for name, command in group.commands.items())


def _section(name: str, command: Any) -> str:
    arguments = [param for param in command.params if param.param_type_name == "argument"]
    options = [param for param in command.params if param.param_type_name == "option"]
    usage = " ".join([name, *map(_argument, arguments), "[OPTIONS]"])
    blocks = [f"## {name}", (command.help or "").strip(), f"```text\n{usage}\n```"]
    if arguments:
        rows = [f"| `{_argument(argument)}` | {_words(argument)} |" for argument in arguments]
        blocks.append("\n".join(["| argument | |", "| --- | --- |", *rows]))
    rows = [f"| {_names(option)} | {_words(option)} | {_default(option)} |" for option in options]
    blocks.append("\n".join(["| option | | default |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(blocks)


def _argument(argument: Any) -> str:
    name: str = (argument.metavar or argument.name.upper()).removesuffix("...")
    return f"{name}..." if argument.nargs == -1 else name


def _names(option: Any) -> str:
    value = "" if option.is_flag else f" {option.metavar or 'VALUE'}"
    return ", ".join(f"`{name}{value}`" for name in [*option.opts, *option.secondary_opts])


def _words(param: Any) -> str:
    more = " May be given several times." if getattr(param, "multiple", False) else ""
    return (param.help or "").replace("|", r"\|") + more


def _default(option: Any) -> str:
    if option.required:
        return "required"
    if option.is_flag:
        return "on" if option.default else "off"
    return "" if option.default is None else f"`{option.default}`"
