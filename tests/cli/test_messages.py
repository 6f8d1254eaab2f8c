"""Bad input: one clear line on stderr, exit code 2, nothing touched; and what the quick commands print."""

import json
import subprocess
import sys

import pytest

from nisbench.physics.kaufman import log_z


def _one_line(answer, *parts):
    code, out, err = answer
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1, err
    for part in parts:
        assert part in err


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--plugins", "heir"], ["no plugin 'heir'; did you mean 'hier'?"]),
        (["--plan", "quik"], ["no plan 'quik'; did you mean 'quick'?"]),
        (["--sizes", "8,x"], ["--sizes", "'x' is not a lattice size"]),
        (["--sizes", "1"], ["--sizes", "'1' is not a lattice size"]),
        (["--beta", "warm"], ["--beta", "'warm' is not an inverse temperature", "critical"]),
        (["--beta", "nan"], ["--beta", "'nan'"]),
        (["--seeds", "-1"], ["--seeds", "'-1' is not a seed"]),
        (["--draws", "0"], ["--draws", "'0'"]),
        (["--option", "hier.widht=2"], ["no option of hier 'widht'; did you mean 'width'?"]),
        (["--option", "width=2"], ["PLUGIN.OPTION=VALUE"]),
        (["--train-steps", "5", "--train-seconds", "5"], ["exclude each other"]),
        (["--memory-limit", "much"], ["--memory-limit", "'much'"]),
        (["--timeout", "soon"], ["--timeout", "'soon'"]),
        (["--device", "tpu"], ["tpu"]),
        (["--workers", "0"], ["--workers"]),
        (["--executor", "slurm"], ["--executor", "slurm"]),
        (["--out", "/proc/nowhere"], ["cannot write /proc/nowhere"]),
        (["--colour", "red"], ["--colour"]),
    ],
)
def test_one_line_and_exit_code_2(here, tmp_path, monkeypatch, arguments, parts):
    monkeypatch.setenv("PATH", "/nowhere")  # a machine may have SLURM
    _one_line(here("run", *arguments), *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_run_is_not_touched(nisbench, here, tmp_path):
    (tmp_path / "thesis.tex").write_text("precious")
    _one_line(nisbench(tmp_path, "run", "--out", tmp_path), "not a run folder")
    _one_line(here("run", "--out", tmp_path, "--fresh"), "not a run folder")
    _one_line(here("run", "--out", tmp_path / "thesis.tex"), "thesis.tex", "is a file")
    for command in ("report", "status", "export"):
        _one_line(here(command, tmp_path), "not a run folder")
        _one_line(here(command, tmp_path / "nothing"), "does not exist")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("thesis.tex", "precious")]


def test_the_plan_is_shown_and_not_run(here, tmp_path):
    code, out, err = here("plan", "--sizes", "8,12", "--plugins", "hier,wolff", "--beta", "critical")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert sum("(reference)" in line for line in lines) == 2
    assert sum(line.startswith("hier-L12-") for line in lines) == 1
    assert lines[-1].startswith("6 cells; default folder: runs/custom-")
    assert list(tmp_path.iterdir()) == []


def test_exact_values(here, tmp_path):
    code, out, _ = here("exact", "--sizes", "8,512", "--beta", "0.44,critical", "--format", "json")
    assert code == 0
    rows = json.loads(out)
    assert [row["L"] for row in rows] == [8, 512, 8, 512]
    assert rows[0]["log_z"] == pytest.approx(60.0763075272154, abs=1e-12)
    assert rows[1]["log_z"] == pytest.approx(log_z(512, 0.44))
    assert "60.07630752721" in here("exact")[1]
    _one_line(here("exact", "--sizes", "big"), "'big' is not a lattice size")


def test_plugins_lists_what_is_installed_and_what_is_broken(here, tmp_path):
    code, out, _ = here("plugins", "--format", "json")
    assert code == 0
    found = {entry["name"]: entry for entry in json.loads(out)}
    assert {"hier", "van", "wolff", "exact-draws"} <= set(found)
    assert found["rotten"]["broken"] == "RuntimeError: this plugin fails at import"
    assert found["exact-draws"]["distribution"] == "fakes"
    assert found["hier"]["options"]["width"]["default"] == 1
    assert "broken: RuntimeError" in here("plugins")[1]
    assert (found["ising"]["kind"], found["ising"]["options"]["boundary"]["default"]) == ("target", "torus")


def test_plugins_with_a_name_shows_options_and_the_publication(here, tmp_path):
    code, out, _ = here("plugins", "van")
    assert code == 0
    assert out.startswith("van (model, nisbench ")
    assert "--option van.net=dense  (dense or conv) masked dense or masked convolutional" in out
    assert "  cite: D. Wu, L. Wang, P. Zhang" in out
    target = here("plugins", "edwards-anderson")[1]
    assert "--option edwards-anderson.instance=1  (int) number of the set of couplings" in target
    (record,) = json.loads(here("plugins", "wolff", "--format", "json")[1])
    assert record["citation"].startswith("U. Wolff")
    n_chains = {"type": "int", "default": 8, "help": "independent chains", "defaults": {}, "choices": []}
    assert record["options"]["n_chains"] == n_chains
    _one_line(here("plugins", "wolf"), "no plugin or target 'wolf'; did you mean 'wolff'?")


def test_the_quick_commands_do_without_torch(environment):
    script = """
import sys
from nisbench import cli
for arguments in (["--help"], ["plugins"], ["plan"], ["exact"]):
    sys.argv = ["nisbench", *arguments]
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code, arguments
slow = {"torch", "numba", "matplotlib", "pandas", "scipy"} & set(sys.modules)
assert not slow, slow
"""
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, stdout=subprocess.DEVNULL)
