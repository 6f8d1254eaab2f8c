"""The whole command on the CPU, from a checkout that was not installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dry_run import ROOT, DryRun, bare_environment

from benchmarks.gpu.output import LIMIT_BYTES
from benchmarks.gpu.page import TABLES
from benchmarks.gpu.stages import STAGES

pytestmark = pytest.mark.timeout(700)


def numbers(dry: DryRun) -> dict:
    return json.loads((dry.folder / "gpu.json").read_text())


def test_every_stage_is_done(dry: DryRun) -> None:
    assert dry.code == 0, dry.output + (dry.folder / "gpu.log").read_text()[-5000:]
    assert [(stage["name"], stage["status"]) for stage in numbers(dry)["stages"]] == [(s.name, "done") for s in STAGES]
    head, *lines = dry.output.splitlines()
    assert head.startswith("dry run on the CPU, ")
    assert [line.split(" after ")[0] for line in lines[:-1]] == [f"{stage.name}: done" for stage in STAGES]


def test_the_folder_keeps_the_limits(dry: DryRun) -> None:
    files = list(dry.folder.iterdir())
    stores = {"right.tar.gz", "quality.tar.gz", "baselines.tar.gz"}
    assert {file.name for file in files} == {"gpu.md", "gpu.json", "gpu.log", *stores}
    assert all(file.is_file() and file.stat().st_size <= LIMIT_BYTES for file in files)
    assert len(files) <= 8


def test_every_table_has_rows_and_no_check_failed(dry: DryRun) -> None:
    tables = numbers(dry)["tables"]
    assert set(tables) == set(TABLES)
    checks = tables["checks"]
    assert all(row["passed"] for row in checks)
    kinds = {row["check"] for row in checks}
    assert {"Triton, dense network", "Triton, odd network", "block sums", "contract"} <= kinds
    of_ln_z = {row["of"].split(",")[0] for row in checks if row["check"] == "ln Z against the exact one"}
    assert of_ln_z == {"hier", "hier-exact", "van"}
    assert {(row["plugin"], row["L"]) for row in tables["draws"]} == {(p, L) for p in of_ln_z for L in (4, 8)}
    assert all(row["ms_per_1000"] > 0 and row["of_ceiling"] > 0 for row in tables["draws"])
    assert all(row["ratio"] > 0 for row in tables["steps"])
    assert {row["L"] for row in tables["quality"]} == {4, 8}
    assert all(row["ess"] > 0 for row in tables["quality"])


def test_the_page_has_every_table_and_is_marked_as_dry(dry: DryRun) -> None:
    page = (dry.folder / "gpu.md").read_text()
    assert "its numbers mean nothing" in page
    assert all(f"## {stage.title}" in page for stage in STAGES)
    assert all(table.caption in page for table in TABLES.values())


def test_provenance_names_versions_source_and_processor(dry: DryRun) -> None:
    found = numbers(dry)["provenance"]
    assert found["nisbench"] == "0.1.0"
    assert found["command"] == "python -m benchmarks.gpu --minutes 9 --dry"
    assert all(found[name] for name in ("torch", "triton", "numba", "numpy", "python", "cpu", "source", "started"))
    assert "device" not in found


def command(*words: str, environment: dict[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *words],
        cwd=ROOT,
        env=environment or bare_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def test_what_cannot_start_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    code, said = command("--dry", "--out", str(tmp_path))
    assert code == 2
    assert "holds thesis.tex, which is not from this command" in said
    assert len(said.splitlines()) == 1
    assert command("--minutes", "0")[0] == 2
    lacking = {**bare_environment(), "HIDDEN_PACKAGES": "pluggy numba triton"}
    assert command("--dry", environment=lacking) == (
        2,
        "benchmarks.gpu: this Python lacks pluggy>=1.5, numba>=0.60, triton\n",
    )
    hidden = {**bare_environment(), "CUDA_VISIBLE_DEVICES": ""}
    code, said = command("--out", str(tmp_path / "new"), environment=hidden)
    assert code == 2
    assert "finds no CUDA device; --dry" in said
    assert not (tmp_path / "new").exists()


def test_a_dry_run_is_not_adopted(dry: DryRun) -> None:
    code, said = command("--adopt", str(dry.folder))
    assert code == 2
    assert "comes from a dry run" in said
