"""Registration modules that end, hang or crash their process; the cache of the answers; and nothing that leaks."""

import gc
import io
import json
import locale
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.distributions import install, registers_sampler

from nisbench.contract import probe as probing
from nisbench.contract.catalog import load_catalog
from nisbench.contract.surroundings import preserved


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder for distributions, and a cache beside it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tmp_path = tmp_path / "site"
    tmp_path.mkdir()
    monkeypatch.setattr(probing, "_ANSWERS", {})
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - before:
        if module.endswith("_reg"):
            del sys.modules[module]


@pytest.fixture
def children(monkeypatch):
    """The entry points that were asked in a child process."""
    asked, plain = [], probing._ask

    def ask(point):
        asked.append(point.name)
        return plain(point)

    monkeypatch.setattr(probing, "_ask", ask)
    return asked


def forget():
    """Leave the answers of the cache alone, as a new process finds them."""
    probing._ANSWERS.clear()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("import os; os._exit(3)", "its registration module ended the process with exit code 3"),
        ("import os; os._exit(0)", "its registration module ended the process with exit code 0"),
        ("import os; os.kill(os.getpid(), 11)", "its registration module was killed by SIGSEGV"),
        ("import os; os.execv('/bin/true', ['true'])", "its registration module ended the process with exit code 0"),
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(60,), name='ticker').start()",
            "PluginError: its registration module starts a thread that goes on (ticker); remove it",
        ),
    ],
)
def test_a_module_that_ends_its_process_is_broken_with_the_reason(site, lines, reason):
    install(site, "ends", registers_sampler("ends", before=lines))
    catalog = load_catalog()
    assert [(entry.name, entry.broken) for entry in catalog.broken] == [("ends", reason)]
    assert "wolff" in catalog.plugins
    assert "ends_reg" not in sys.modules


def test_a_module_that_hangs_is_broken_and_leaves_no_process(site, monkeypatch, children):
    monkeypatch.setattr(probing, "LIMIT_S", 2.0)
    left = f"import pathlib, subprocess, time; c = subprocess.Popen(['sleep', '600'])\n\
pathlib.Path({str(site.parent / 'pid')!r}).write_text(str(c.pid))\ntime.sleep(600)"
    install(site, "hangs", registers_sampler("hangs", inside="pass") + left)
    (broken,) = load_catalog().broken
    assert broken.broken == "its registration module took longer than 2 s"
    if (site.parent / "pid").exists():  # a busy machine may not have come so far
        pid = (site.parent / "pid").read_text()
        while pid and alive(int(pid)):  # it is killed; the kernel may take its time
            time.sleep(0.02)
    forget()
    assert load_catalog().broken == (broken,)
    assert children == ["hangs"]  # the second time from the cache


def test_a_warm_cache_starts_no_process(site, children):
    install(site, "good", registers_sampler("good"))
    assert "good" in load_catalog().plugins
    forget()
    assert "good" in load_catalog().plugins
    assert children == ["good"]
    (file,) = (site.parent / "cache" / "nisbench" / "registrations").iterdir()
    assert json.loads(file.read_text())["names"] == ["good"]


@pytest.mark.parametrize("change", ["module", "version", "damage", "empty"])
def test_a_changed_file_or_a_damaged_cache_asks_again(site, children, change):
    install(site, "good", registers_sampler("good"))
    load_catalog()
    forget()
    (kept,) = (site.parent / "cache" / "nisbench" / "registrations").iterdir()
    if change == "module":
        with (site / "good_reg.py").open("a") as file:
            file.write("# longer\n")
    elif change == "version":
        metadata = site / "good-1.0.dist-info" / "METADATA"
        metadata.write_text(metadata.read_text().replace("1.0", "1.1"))
    else:
        kept.write_text('{"names": [1], "broken": null}' if change == "damage" else "")
    assert "good" in load_catalog().plugins
    assert children == ["good", "good"]


def test_a_failure_is_asked_again_after_a_minute_or_in_another_environment(site, children, monkeypatch):
    install(site, "needs", "import os\nassert os.environ.get('LICENCE'), 'LICENCE is not set'")
    assert load_catalog().broken[0].broken == "AssertionError: LICENCE is not set"
    forget()
    load_catalog()
    assert children == ["needs"]
    monkeypatch.setenv("LICENCE", "1")
    forget()
    assert not load_catalog().broken
    install(site, "raises", "raise RuntimeError")
    load_catalog()
    monkeypatch.setattr(probing, "BROKEN_FOR_S", 0.0)
    forget()
    load_catalog()
    assert children == ["needs", "needs", "raises", "raises"]


@pytest.mark.parametrize("place", ["/dev/null/cache", "/proc/nothing"])
def test_a_cache_that_cannot_be_written_is_not_an_error(site, children, monkeypatch, place):
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    install(site, "good", registers_sampler("good"))
    assert "good" in load_catalog().plugins
    assert "good" in load_catalog().plugins
    assert children == ["good"]  # once in a process


def test_a_worker_imports_only_the_module_that_registers_its_plugin(site, children):
    for name in ("aaa", "bbb", "ccc"):
        install(site, name, registers_sampler(name))
    load_catalog()
    for name in ("aaa", "bbb", "ccc"):
        del sys.modules[f"{name}_reg"]
    forget()
    catalog = load_catalog(names=("bbb", "ising"))
    assert [name for name in ("aaa", "bbb", "ccc") if f"{name}_reg" in sys.modules] == ["bbb"]
    assert "bbb" in catalog.plugins
    assert len(children) == 3


def test_a_name_that_an_earlier_module_has_stays_with_it(site):
    install(site, "aaa", registers_sampler("first"))
    install(site, "bbb", registers_sampler("first").replace("pass", "register('second', factory='x:Y', summary='')"))
    assert "second" not in load_catalog().plugins
    for module in ("aaa_reg", "bbb_reg"):
        del sys.modules[module]
    catalog = load_catalog(names=("second",))
    assert [entry.broken for entry in catalog.broken] == ["PluginError: 'first' is registered already"]


def test_ctrl_c_ends_the_command_while_a_module_hangs(site, monkeypatch):
    install(site, "hangs", "import time; time.sleep(600)")

    class Waits(subprocess.Popen):
        """Gets the signal when it is waited for."""

        def wait(self, timeout=None):
            if timeout is not None:
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            return super().wait(timeout)

    monkeypatch.setattr(probing.subprocess, "Popen", Waits)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in its background jobs
    try:
        with pytest.raises(KeyboardInterrupt):
            load_catalog()
    finally:
        signal.signal(signal.SIGINT, before)


def test_every_command_works_beside_a_module_that_ends_the_process(nisbench_with, tmp_path):
    site = tmp_path / "site"
    install(site, "ends", "import os; os._exit(0)")
    code, out, err = nisbench_with(site, "plugins")
    assert (code, err) == (0, "")
    assert "ends" in out
    assert "ended the process with exit code 0" in out
    code, out, err = nisbench_with(site, "run", "--plugin-file", site / "ends_reg.py", "--sizes", "4")
    assert (code, out) == (2, "")
    assert err.endswith("ends_reg.py cannot be used: its registration module ended the process with exit code 0\n")


def numpy_state():
    return np.random.get_state()  # noqa: NPY002


STATES = {
    "environment": ("os.environ['NISBENCH_X'] = '1'", lambda: dict(os.environ)),
    "directory": ("os.chdir('/')", os.getcwd),
    "umask": ("os.umask(0)", lambda: [os.umask(mask := os.umask(0o022)), mask][1]),
    "locale": ("locale.setlocale(locale.LC_ALL, 'C.UTF-8')", lambda: locale.setlocale(locale.LC_ALL)),
    "recursion": ("sys.setrecursionlimit(12345)", sys.getrecursionlimit),
    "collector": ("gc.disable()", gc.isenabled),
    "random": ("random.seed(0)", random.getstate),
    "numpy random": ("np.random.seed(0)", lambda: list(numpy_state()[1])),
    "numpy errors": ("np.seterr(all='raise')", np.geterr),
    "torch seed": ("torch.manual_seed(0)", lambda: torch.get_rng_state().numpy().tobytes()),
    "torch dtype": ("torch.set_default_dtype(torch.float64)", torch.get_default_dtype),
    "torch device": ("torch.set_default_device('meta')", torch.get_default_device),
    "torch threads": ("torch.set_num_threads(torch.get_num_threads() + 3)", torch.get_num_threads),
    "torch gradients": ("torch.set_grad_enabled(False)", torch.is_grad_enabled),
    "signals": ("signal.signal(signal.SIGTERM, signal.SIG_IGN)", lambda: signal.getsignal(signal.SIGTERM)),
    "streams": ("sys.stdin = sys.stdout = sys.stderr = io.StringIO()", lambda: (sys.stdin, sys.stdout, sys.stderr)),
    "descriptors": ("os.close(0); os.dup2(os.open('/dev/null', 1), 1)", lambda: [os.fstat(n).st_ino for n in range(3)]),
}
"""Lines of a registration module, and the state of the process that they change."""
ALL = (gc, io, locale, os, random, signal, sys, np, torch)


@pytest.mark.parametrize("part", STATES)
def test_a_setting_of_the_process_does_not_leak(part):
    line, state = STATES[part]
    names = {module.__name__: module for module in ALL} | {"np": np}
    numpy_state()  # loads NumPy's random numbers
    before = state()
    with preserved():
        exec(line, names)
        changed = state()
    assert state() == before
    assert changed != before or part in ("umask", "locale"), "the line must change the state"


def test_a_timer_does_not_end_the_process(site):
    if signal.getitimer(signal.ITIMER_REAL)[0]:
        pytest.skip("the test framework has a timer of its own")
    with preserved():
        signal.alarm(1000)
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
