"""The whole command on the CPU, from a checkout that was not installed."""

import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from dry_run import ROOT, DryRun, bare_environment

from benchmarks.gpu.adopt import MARKER, AdoptError, adopt
from benchmarks.gpu.archive import STORE, ArchiveError, pack, unpack
from benchmarks.gpu.output import LIMIT_BYTES
from benchmarks.gpu.page import TABLES
from benchmarks.gpu.requirements import source_digest
from benchmarks.gpu.stages import STAGES


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
    assert found["command"] == "python -m benchmarks.gpu --minutes 90 --dry"
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


DEVICE = "NVIDIA Test 80GB"
SLUG = "gpu-nvidia-test-80gb"


@pytest.fixture
def results(dry: DryRun, tmp_path: Path) -> Path:
    """A dry run as if a device had made it."""
    folder = tmp_path / "results"
    shutil.copytree(dry.folder, folder)
    numbers = json.loads((folder / "gpu.json").read_text())
    numbers["dry"] = False
    numbers["provenance"] |= {"device": DEVICE, "driver": "1.2", "commit": None}
    (folder / "gpu.json").write_text(json.dumps(numbers))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with nothing but the page."""
    root = tmp_path / "root"
    (root / "docs" / "dev").mkdir(parents=True)
    (root / "docs" / "dev" / "performance.md").write_text(f"# Performance\n\nOn a CPU.\n\n{MARKER}\n\nThe end.\n")
    return root


def test_reports_and_tables_name_the_device(results: Path, root: Path) -> None:
    said = adopt(results, root)
    report = root / "reports" / SLUG
    assert said.startswith(f"reports/{SLUG}: gpu.md, gpu.json, right, quality, baselines")
    assert {path.name for path in report.iterdir()} == {"gpu.md", "gpu.json", "right", "quality", "baselines"}
    for name in ("right", "quality", "baselines"):
        assert (report / name / "report.md").exists()
        assert not [*(report / name).rglob("checkpoint*"), *(report / name).rglob("log.txt")]
    page = (root / "docs" / "dev" / "performance.md").read_text()
    assert page.startswith("# Performance\n\nOn a CPU.\n\n")
    assert page.endswith(f"\n{MARKER}\n\nThe end.\n")
    assert page.count(f"CUDA, {DEVICE}") >= 6, "in the heading and before every table"
    assert "| plugin | L | batch | ms per 1000 draws |" in page
    assert f"(../../reports/{SLUG}/quality/report.md)" in page
    assert DEVICE in (report / "gpu.md").read_text()


def without_stores(results: Path) -> None:
    """Building the reports takes seconds."""
    for path in results.glob("*.tar.gz"):
        path.unlink()


def test_a_second_call_replaces_the_section_and_another_device_adds_one(results: Path, root: Path) -> None:
    without_stores(results)
    adopt(results, root)
    once = (root / "docs" / "dev" / "performance.md").read_text()
    adopt(results, root)
    assert (root / "docs" / "dev" / "performance.md").read_text() == once
    numbers = json.loads((results / "gpu.json").read_text())
    numbers["provenance"]["device"] = "Other"
    (results / "gpu.json").write_text(json.dumps(numbers))
    adopt(results, root)
    both = (root / "docs" / "dev" / "performance.md").read_text()
    assert both.count("## CUDA, ") == 2
    assert {path.name for path in (root / "reports").iterdir()} == {SLUG, "gpu-other"}


def test_the_commit_is_named_if_the_source_is_the_same(
    results: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_stores(results)
    monkeypatch.setattr("benchmarks.gpu.requirements.commit", lambda _: "0123abc")
    same = source_digest(ROOT)
    cases = (None, same, "0123abc"), ("99-dirty", same, "0123abc"), (None, "other", None), ("99", same, "99")
    for there, source, commit in cases:
        numbers = json.loads((results / "gpu.json").read_text())
        numbers["provenance"] |= {"source": source, "commit": there}
        (results / "gpu.json").write_text(json.dumps(numbers))
        adopt(results, root)
        kept = json.loads((root / "reports" / SLUG / "gpu.json").read_text())
        assert kept["provenance"]["commit"] == commit


def archive(path: Path, *members: tuple[str, bytes | None]) -> None:
    """Files by name; None makes a link that leads out."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc"
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))


HOSTILE = {
    "../outside": [("../outside", b"x")],
    "neither a file nor a folder": [(f"{STORE}/cells", None)],
    "contains no run": [("other/plan.json", b"{}")],
    "more than": [(f"{STORE}/plan.json", b"{}"), (f"{STORE}/large", bytes(2000))],
}


@pytest.mark.parametrize("reason", HOSTILE)
def test_a_hostile_archive_is_refused(reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.gpu.archive.LARGEST_STORE", 1000)
    archive(tmp_path / "x.tar.gz", *HOSTILE[reason])
    (tmp_path / "in").mkdir()
    with pytest.raises(ArchiveError, match=reason):
        unpack(tmp_path / "x.tar.gz", tmp_path / "in")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "x.tar.gz"]


def test_an_absolute_path_stays_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    archive(tmp_path / "x.tar.gz", (str(outside), b"x"), (f"{STORE}/plan.json", b"{}"))
    (tmp_path / "in").mkdir()
    unpack(tmp_path / "x.tar.gz", tmp_path / "in")
    assert not outside.exists()


def test_a_failed_adoption_changes_nothing(results: Path, root: Path) -> None:
    before = (root / "docs" / "dev" / "performance.md").read_text()
    without_stores(results)
    (results / "quality.tar.gz").write_bytes(b"torn")
    with pytest.raises(AdoptError, match=r"quality\.tar\.gz cannot be unpacked"):
        adopt(results, root)
    assert (root / "docs" / "dev" / "performance.md").read_text() == before
    assert not (root / "reports").exists()
    (results / "gpu.json").write_text('{"format": "nisbench gpu 99"}')
    with pytest.raises(AdoptError, match="nisbench gpu 99"):
        adopt(results, root)
    with pytest.raises(AdoptError, match="cannot be read"):
        adopt(root, root)


def test_a_packed_store_comes_back_without_what_a_report_does_not_need(tmp_path: Path) -> None:
    store = tmp_path / STORE
    cell = store / "cells" / "a"
    cell.mkdir(parents=True)
    (store / "reference").mkdir()
    for path in (
        store / "plan.json",
        store / "reference" / "a.npz",
        cell / "result.json",
        cell / "checkpoint.safetensors",
        cell / "checkpoint.earlier.safetensors",
        cell / "weights.safetensors",
    ):
        path.write_text("x")
    pack(store, tmp_path / "x.tar.gz")
    (tmp_path / "in").mkdir()
    back = unpack(tmp_path / "x.tar.gz", tmp_path / "in")
    files = {str(path.relative_to(back)) for path in back.rglob("*") if path.is_file()}
    assert files == {"plan.json", "cells/a/result.json"}


def test_the_page_of_the_project_has_the_marker() -> None:
    assert (ROOT / "docs" / "dev" / "performance.md").read_text().count(MARKER) == 1
