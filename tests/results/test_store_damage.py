"""A run folder that was changed by chance or by hand: one line names the file, and no number changes silently."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from fakes.stores import quick

from nisbench.cli import cli
from nisbench.errors import StoreError, UserError
from nisbench.harness.atomic import check_seal, read_json, write_json
from nisbench.harness.store import Store
from nisbench.results.export import exported

JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**63, 10**30, 1e308, "", "inf", "\x1b[2J", "../../x", "x" * 5000, "ö", [], [1], {}),
    *({"value": 1}, [{"a": []}], -0.5, "ok", "1"),
)
"""Values of other types and at the edges, put in the place of any value of a file."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    return quick(sizes=(4,), draws=200).write(tmp_path_factory.mktemp("whole") / "run").path


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole, tmp_path / "run"))


def files(run: Path) -> list[Path]:
    return sorted(path for path in run.rglob("*") if path.is_file() and path.name != "lock")


def read_everything(run: Path) -> list[Any]:
    """All that a reader of a run can see."""
    store = Store.open(run)
    cells = store.cells()
    seen: list[Any] = [store.plan(), store.environment(), cells, exported([store], "json")]
    for cell in cells:
        arrays = {name: values.tolist() for name, values in store.series(cell.cell_id).items()}
        samples, reference = store.samples(cell.cell_id), store.reference(cell.cell_id)
        kept = None if reference is None else (reference.spins.tolist(), reference.chain.tolist(), reference.tau_int)
        seen += [store.state(cell.cell_id), store.result(cell.cell_id), store.history(cell.cell_id), arrays]
        seen += [None if samples is None else samples.tolist(), kept]
    return seen


def flips(run: Path, n: int, rng: random.Random) -> Iterator[tuple[Path, bytes]]:
    """Files with one flipped bit each."""
    every = files(run)
    for _ in range(n):
        path = rng.choice(every)
        content = bytearray(path.read_bytes())
        if content:
            at = rng.randrange(len(content))
            content[at] ^= 1 << rng.randrange(8)
            yield path, bytes(content)


def cuts(run: Path, step: int) -> Iterator[tuple[Path, bytes]]:
    """Files cut off at every `step`-th byte."""
    for path in files(run):
        content = path.read_bytes()
        for at in range(0, len(content), step):
            yield path, content[:at]


def noticed(run: Path, damage: Iterator[tuple[Path, bytes]]) -> tuple[int, int]:
    """Number of damages, and of those that were refused; all others must leave every value as it was."""
    before, n, refused = read_everything(run), 0, 0
    for path, content in damage:
        good = path.read_bytes()
        path.write_bytes(content)
        n += 1
        try:
            seen, refusal = read_everything(run), None
        except StoreError as error:
            seen, refusal = before, str(error)
        assert seen == before, path
        assert refusal is None or (path.name in refusal and "\n" not in refusal)
        refused += refusal is not None
        path.write_bytes(good)
    return n, refused


@pytest.mark.parametrize("n", [120, pytest.param(5000, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])])
def test_a_flipped_bit_changes_no_number(run: Path, n: int) -> None:
    tried, refused = noticed(run, flips(run, n, random.Random(1)))
    assert refused > 0.8 * tried  # a flipped bit in the white space of a JSON file changes nothing


@pytest.mark.parametrize("step", [331, pytest.param(1, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_a_file_that_is_cut_off_is_noticed(run: Path, step: int) -> None:
    tried, refused = noticed(run, cuts(run, step))
    assert refused > 0.95 * tried  # the line end at the end of a JSON file may be missing


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Containers and keys of all values in a JSON value."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def mutated(path: Path, rng: random.Random) -> dict[str, Any]:
    """A record with one value replaced, one key deleted or one key added; its checksum is right."""
    record = check_seal(path, read_json(path))
    container, key = rng.choice(list(places(record)))
    action = rng.randrange(4)
    if action == 0:
        del container[key]
    elif action == 1 and isinstance(container, dict):
        container[rng.choice(("extra", "value", "\x1b]0;x"))] = rng.choice(JUNK)
    else:
        container[key] = rng.choice(JUNK)
    return record


COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "status": lambda run: ["status", str(run)],
    "export": lambda run: ["export", str(run), "--format", "csv"],
    "compare": lambda run: ["compare", str(run), str(run)],
    "verify": lambda run: ["verify", str(run)],
}


@pytest.mark.parametrize("n", [80, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_changed_records_with_right_checksums_give_one_line(run: Path, n: int) -> None:
    rng, runner = random.Random(2), CliRunner()
    records = [path for path in files(run) if path.suffix == ".json"]
    for _ in range(n):
        path = rng.choice(records)
        good = path.read_bytes()
        record = mutated(path, rng)
        write_json(path, record)
        command = rng.choice(list(COMMANDS))
        result = runner.invoke(cli, COMMANDS[command](run))
        error = result.exception
        assert error is None or isinstance(error, UserError | SystemExit), (command, path, error, record)
        if isinstance(error, UserError):
            assert "\n" not in str(error)
        path.write_bytes(good)


def test_links_are_not_followed(run: Path, tmp_path: Path) -> None:
    precious = tmp_path / "thesis.tex"
    precious.write_text("precious")
    cell = Store.open(run).cells()[0].cell_id
    for path in (run / "plan.json", run / "cells" / cell / "result.json", run / "cells" / cell, run / "cells"):
        kept = path.with_name("kept")
        path.rename(kept)
        path.symlink_to(kept)
        with pytest.raises(StoreError, match="is a link"):
            read_everything(run)
        path.unlink()
        kept.rename(path)
    files = Store.open(run).files(cell)
    (files.folder / "history.jsonl").unlink(missing_ok=True)
    (files.folder / "history.jsonl").symlink_to(precious)
    with pytest.raises(StoreError, match="cannot write"):
        files.append_history({"step": 1})
    (files.folder / "samples.npz").unlink(missing_ok=True)
    (files.folder / "samples.npz").symlink_to(precious)
    files.write_series({})
    (run / "lock.1").symlink_to(precious)
    with pytest.raises(StoreError, match="is a link"), Store.open(run).lock():
        pass
    assert precious.read_text() == "precious"


def test_verify_names_what_is_missing(run: Path) -> None:
    result = CliRunner().invoke(cli, ["verify", str(run)])
    assert (result.exit_code, result.output) == (0, "4 cells: every file is as it was written\n")
    cell = Store.open(run).cells()[0].cell_id
    (run / "reference" / f"{cell}.npz").unlink()
    assert f"{cell}.npz is missing" in str(CliRunner().invoke(cli, ["verify", str(run)]).exception)
    assert CliRunner().invoke(cli, ["export", str(run)]).exit_code == 0  # it may be deleted to save space
    (run / "cells" / cell / "series.npz").unlink()
    assert "it is missing" in str(CliRunner().invoke(cli, ["export", str(run)]).exception)
