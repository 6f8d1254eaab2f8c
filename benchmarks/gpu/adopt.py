"""Makes committed reports and the tables of docs/dev/performance.md from the results of a call on another machine."""

import json
import re
import runpy
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from benchmarks.gpu import requirements
from benchmarks.gpu.archive import ArchiveError, unpack
from benchmarks.gpu.names import FORMAT, NUMBERS, PAGE, archive_name
from benchmarks.gpu.page import device_name, page, table
from benchmarks.gpu.requirements import ROOT
from benchmarks.gpu.stages import STAGES
from nisbench.errors import NisbenchError

__all__ = ["AdoptError", "adopt", "section"]

MARKER = "<!-- figures of GPUs -->"
"""The sections of the devices stand before this line of docs/dev/performance.md."""
SHOWN = ("ceilings", "draws", "steps", "quality", "baselines")
"""Tables of docs/dev/performance.md; the page of the report has the others too."""


class AdoptError(Exception):
    """Results that cannot be adopted; the message is one line."""


def adopt(folder: Path, root: Path) -> str:
    """Writes reports/gpu-<device> and its section of docs/dev/performance.md under `root`; returns what was written.

    Nothing is written unless everything can be made. Raises AdoptError with the reason.
    """
    numbers = _numbers(folder / NUMBERS)
    _complete_commit(numbers)
    slug = f"gpu-{_slug(numbers['provenance']['device'])}"
    stores = [stage.name for stage in STAGES if (folder / archive_name(stage.name)).exists()]
    document = root / "docs" / "dev" / "performance.md"
    text = _updated(document.read_text(encoding="utf-8"), slug, section(numbers, slug, stores))
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / slug
        made.mkdir()
        (made / NUMBERS).write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
        (made / PAGE).write_text(page(numbers), encoding="utf-8")
        for name in stores:
            _report(folder / archive_name(name), made / name)
        shutil.rmtree(root / "reports" / slug, ignore_errors=True)
        shutil.copytree(made, root / "reports" / slug)
    document.write_text(text, encoding="utf-8")
    return f"reports/{slug}: {', '.join([PAGE, NUMBERS, *stores])}; docs/dev/performance.md"


def section(numbers: Mapping[str, Any], slug: str, stores: list[str]) -> str:
    """The part of docs/dev/performance.md about one device; headings and captions name CUDA and the device."""
    name = device_name(numbers)
    found = numbers["provenance"]
    links = ", ".join(f"[{store}](../../reports/{slug}/{store}/report.md)" for store in stores)
    parts = [
        f"## {name}\n",
        f"From `{found['command']}` at commit {found.get('commit') or 'unknown'}, driver {found.get('driver')}, torch "
        f"{found.get('torch')}, processor {found.get('cpu')}. [All tables](../../reports/{slug}/{PAGE})"
        f"{f'; reports: {links}' if links else ''}.\n",
    ]
    for kind in SHOWN:
        if text := table(kind, numbers["tables"]):
            parts.append(f"{name}. {text}")
    return "\n".join(parts)


def _numbers(path: Path) -> dict[str, Any]:
    try:
        numbers: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdoptError(f"{path} cannot be read: {error}") from error
    if numbers.get("format") != FORMAT:
        raise AdoptError(f"{path} has the format {numbers.get('format')!r}; this version reads {FORMAT!r}")
    if numbers["dry"]:
        raise AdoptError(f"{path} comes from a dry run on a CPU, whose timings are not those of a device")
    return numbers


def _complete_commit(numbers: dict[str, Any]) -> None:
    """Names the commit if the machine knew none or one with changes, and this checkout has the same source."""
    found = numbers["provenance"]
    known = str(found.get("commit") or "-dirty")
    if known.endswith("-dirty") and found.get("source") == requirements.source_digest(ROOT):
        found["commit"] = requirements.commit(ROOT)


def _report(archive: Path, folder: Path) -> None:
    """Unpacks a store and makes a committed report of it, as reports/make.py does from any run."""
    with tempfile.TemporaryDirectory() as temporary:
        try:
            collect = runpy.run_path(str(ROOT / "reports" / "make.py"))["collect"]
            collect(unpack(archive, Path(temporary)), folder)
        except (ArchiveError, NisbenchError, click.ClickException) as error:
            raise AdoptError(str(error)) from error


def _updated(whole: str, slug: str, text: str) -> str:
    """docs/dev/performance.md with the section of this device replaced, or added before the common marker."""
    begin, end = f"<!-- {slug} -->\n", f"<!-- end of {slug} -->\n"
    if begin in whole:
        before, rest = whole.split(begin, 1)
        after = rest.split(end, 1)[1]
    elif MARKER in whole:
        before, after = whole.split(MARKER, 1)
        after = f"\n{MARKER}{after}"
    else:
        raise AdoptError(f"docs/dev/performance.md lacks the line {MARKER}")
    return f"{before}{begin}{text}{end}{after}"


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
