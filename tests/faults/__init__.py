"""The catalogue of known faults: `python -m tests.faults`. The cases find `fakes` in the folder of the tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
