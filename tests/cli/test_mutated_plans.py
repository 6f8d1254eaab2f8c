"""Plans that were changed at random: a plan, or one line and exit code 2."""

import copy
import math
import random
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import pytest

from nisbench.cli import main

PLANS = sorted(
    path.read_text() for path in (resources.files("nisbench.harness") / "plans").iterdir() if path.suffix == ".toml"
)
JUNK: tuple[Any, ...] = (
    *(True, False, -1, 0, 1, 2**63, 2**63 - 1, 10**30, 10**4000, -0.0, 0.5, 1e308, math.inf, -math.inf, math.nan),
    *("", " ", "inf", "nan", "critical", "auto", "none", "wolff", "default", "../../x", "x" * 5000, "\x1b[2J", "\x00"),
    *(
        "a\nb",
        "8,16",
        "0.3:0.6:0.05",
        "0:1:1e-9",
        "1e308T",
        "9" * 5000,
        "9" * 5000 + "s",
        "ö",
        "\u202e",
        ",",
        ":",
        "1_0",
    ),
    *(
        [],
        [1],
        [[1]],
        [None],
        ["a", 1],
        [{"a": []}],
        list(range(300)),
        {},
        {"default": 1},
        {"wolff": {"n_chains": [1]}},
    ),
    *({"a": {"b": {"c": [{}]}}}, {"default": [1]}, {"van": "x"}, {"boundary": ["free", "torus"]}),
)
KEYS = (
    "extra",
    "name",
    "target",
    "target_options",
    "train_steps",
    "train_seconds",
    "options",
    "timeout",
    "memory_limit",
)
KEYS += ("\x1b]0;x", "", "a.b", "x" * 3000, "draws", "seeds", "check", "claim", "reference", "group")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Containers and keys of all values."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield value, key
        yield from places(value[key])


def mutated(text: str, rng: random.Random) -> str:
    """A plan with one to three values replaced, keys deleted, or keys added; at times with a byte changed as well."""
    table = tomllib.loads(text)
    for _ in range(rng.randint(1, 3)):
        if not (every := list(places(table))):
            break
        container, key = rng.choice(every)
        action = rng.randrange(4)
        if action == 0:
            del container[key]
        elif action == 1 and isinstance(container, dict):
            container[rng.choice(KEYS)] = copy.deepcopy(rng.choice(JUNK))
        else:
            container[key] = copy.deepcopy(rng.choice(JUNK))
    written = "".join(f"{toml_text(key)} = {toml(value)}\n" for key, value in table.items())
    if rng.random() < 0.1:
        at = rng.randrange(len(written) + 1)
        written = written[:at] + rng.choice(['"', "[", "]", "=", "\n", "{", "\x00", "é"]) + written[at + 1 :]
    return written


def toml_text(text: str) -> str:
    return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\u{ord(c):04x}" for c in text) + '"'


def toml(value: Any) -> str:
    """A value as TOML, which has no null."""
    if isinstance(value, bool) or value is None:
        return str(bool(value)).lower()
    if isinstance(value, int):
        return "1" + "0" * 4000 if value == 10**4000 else str(value)
    if isinstance(value, str):
        return toml_text(value)
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{toml_text(k)} = {toml(v)}" for k, v in value.items()) + " }"
    return "[" + ", ".join(map(toml, value)) + "]" if isinstance(value, list) else repr(value)


@pytest.fixture
def refusal(tmp_path, monkeypatch, capsys) -> Callable[[str], str | None]:
    """Gives the text to `nisbench plan`: the line of a refusal, None for a plan. Any other end fails."""
    path = tmp_path / "plan.toml"
    monkeypatch.setattr(sys, "argv", ["nisbench", "plan", "--plan", str(path), "--device", "cpu"])

    def run(text: str) -> str | None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        assert ended.value.code in (0, 2), text
        assert all(c.isprintable() or c == "\n" for c in out + err), text
        if ended.value.code == 0:
            assert out
            return None
        assert out == ""
        assert err.startswith("nisbench: ")
        assert err.count("\n") == 1
        assert len(err) < 2100, text
        return err

    return run


@pytest.mark.parametrize("n", [300, pytest.param(10_000, marks=[pytest.mark.slow, pytest.mark.timeout(7200)])])
def test_a_changed_plan_is_a_plan_or_one_line(refusal: Callable[[str], str | None], n: int) -> None:
    rng = random.Random(3)
    found = [refusal(mutated(rng.choice(PLANS), rng)) for _ in range(n)]
    # of 700 changed texts 64 are still plans, so that 300 contain more than 15 with probability 0.99
    assert 0.05 * n < sum(line is None for line in found) < 0.9 * n


def test_plans_that_are_not_changed_are_written_whole() -> None:
    """The writer of this file adds no error of its own."""
    for text in PLANS:
        table = tomllib.loads(text)
        assert tomllib.loads("".join(f"{toml_text(k)} = {toml(v)}\n" for k, v in table.items())) == table


GROUP = 'name = "p"\nreference = "none"\n[[group]]\nplugins = ["wolff"]\nsizes = [4]\nbeta = 0.3\ndraws = 100\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GROUP + f"seeds = {list(range(1001))}", None),
        (GROUP.replace("[4]", str(list(range(2, 1100)))) + f"seeds = {list(range(1001))}", "cells or more"),
        (
            GROUP
            + f"options.wolff.n_chains = {list(range(1, 200))}\noptions.wolff.flips_per_draw = {list(range(1, 99))}",
            "comb",
        ),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("a = " + "1" * 5000, "is not valid TOML"),
        ("#" * (2**22 + 1), "has more than 4194304 bytes"),
        (GROUP.replace("[4]", "[1000000000]"), "this lattice size is too large; give a whole number <= 16384"),
        (GROUP.replace('"p"', '"' + "p" * 300 + '"'), "use up to 200 printable characters"),
        (GROUP.replace('"p"', '"p"\ntitle = "\\u001b[2J"'), "title: ' [2J' is not a text"),
        (GROUP.replace('"p"', '"p"\ntitle = 5'), "title: '5' is not a text"),
        (GROUP + f'claim = "{"x" * 6000}"', "give up to 5000 printable characters"),
    ],
)
def test_sizes_of_a_plan_have_bounds(refusal, text, message) -> None:
    line = refusal(text)
    assert (line is None) if message is None else (message in str(line))
