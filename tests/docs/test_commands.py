"""docs/commands.md has the help of every command. `python tests/docs/test_commands.py` writes its sections again."""

import inspect
import re
from pathlib import Path

import click

from nisbench.cli import cli

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "commands.md"
FIRST = "\n## run\n"


def sections() -> str:
    """Return one section for each command: its usage, its help, and a table of its options."""
    return "\n".join(section(command) for command in cli.commands.values())


def section(command: click.Command) -> str:
    context = click.Context(command, info_name=f"nisbench {command.name}")
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    lines = [f"## {command.name}", "", "```", usage, "```", "", inspect.cleandoc(command.help or "")]
    if rows := own_options(command, context):
        lines += ["", "| option | meaning [default] |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def own_options(command: click.Command, context: click.Context) -> list[str]:
    """Return the rows of a command's options; `plan` has one row for all the options that it shares with `run`."""
    named = {option: option_row(option, context) for option in command.params if isinstance(option, click.Option)}
    if command.name != "plan":
        return list(named.values())
    of_run = {option_row(option, context) for option in cli.commands["run"].params if isinstance(option, click.Option)}
    shared = [option.opts[0] for option, row in named.items() if row in of_run]
    return [
        f"| `{shared[0]}` ... `{shared[-1]}` | the options of `run` from `{shared[0]}` to `{shared[-1]}` |",
        *(row for row in named.values() if row not in of_run),
    ]


def option_row(option: click.Option, context: click.Context) -> str:
    names, text = option.get_help_record(context) or ("", "")
    meaning = " ".join(text.replace("[default: ", "[").split())
    return f"| `{cell(names)}` | {cell(meaning).replace('<', '&lt;')} |"


def cell(text: str) -> str:
    return text.replace("|", r"\|")


def test_the_page_has_the_help_of_every_command():
    head, first, rest = PAGE.read_text(encoding="utf-8").partition(FIRST)
    assert first.lstrip("\n") + rest == sections()
    assert re.findall(r"^\| \[`([\w-]+)`\]", head, re.MULTILINE) == list(cli.commands)


def test_the_readme_shows_or_lists_every_command():
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Command line")[1].split("```")[1]
    also = text.split("also: ")[1].strip().split(", ")
    shown = {*re.findall(r"^nisbench ([a-z][\w-]*)", text, re.MULTILINE)}
    assert sorted([*shown, *also]) == sorted(cli.commands)


def test_the_first_page_links_every_page_for_users():
    linked = re.findall(r"\]\(([\w/-]+\.md)\)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8"))
    pages = {
        str(page.relative_to(PAGE.parent)) for page in [*PAGE.parent.glob("*.md"), *PAGE.parent.glob("methods/*.md")]
    }
    assert pages - {"index.md"} == {page for page in linked if not page.startswith("dev/")}


if __name__ == "__main__":
    PAGE.write_text(PAGE.read_text(encoding="utf-8").partition(FIRST)[0] + "\n" + sections(), encoding="utf-8")
