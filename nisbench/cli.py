"""The command line: parse the arguments, call the library, set the exit code.

The commands are in `nisbench.commands`. Each imports what it needs, so that `nisbench --help` is fast.
"""

import errno
import os
import sys

import click

from nisbench import __version__
from nisbench.commands.authors import check, new_plugin, plugins
from nisbench.commands.draws import draw, evaluate
from nisbench.commands.results import compare, exact, export, merge, report, verify
from nisbench.commands.runs import plan, run, status
from nisbench.errors import NisbenchError, printed

__all__ = ["main"]


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context) -> None:
    """Benchmark samplers of lattice models: train, draw, measure, and report with honest error bars."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


_COMMANDS = (
    *(run, plan, report, status, export, verify, merge, compare, exact),
    *(evaluate, draw, plugins, check, new_plugin),
)
for _command in _COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Entry point. Bad input gives one line on stderr and exit code 2; a run that was stopped gives 130."""
    _open_closed_streams()
    try:
        code = cli.main(standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has gone, as in `nisbench export RUN | head`
        _close_output()
        sys.exit(0)
    except click.ClickException as error:
        _fail(error.format_message())
    except click.Abort:
        sys.exit(130)
    except NisbenchError as error:
        _fail(str(error))
    except OSError as error:  # a path that the system refuses, or a full disk behind standard output
        if error.filename is None and error.errno not in (errno.ENOSPC, errno.EIO):
            raise
        _close_output()
        _fail(f"{error.filename or 'standard output'}: {error.strerror}")
    sys.exit(code if isinstance(code, int) else 0)


def _open_closed_streams() -> None:
    """Open /dev/null for each standard stream that the caller closed, or the next file opened would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, open(number, "r" if number == 0 else "w", closefd=False))  # noqa: SIM115


def _close_output() -> None:
    """Send the rest of standard output to /dev/null; Python would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _fail(message: str) -> None:
    click.echo("nisbench: " + printed(message), err=True)
    sys.exit(2)
