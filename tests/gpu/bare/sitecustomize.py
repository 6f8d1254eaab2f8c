"""First on the path of a process, this hides the installed distribution `nisbench` and what only a report needs.

HIDDEN_PACKAGES names more packages to hide.
"""

import importlib.metadata
import os
import sys

HIDDEN = {"seaborn", "matplotlib", "jinja2", *os.environ.get("HIDDEN_PACKAGES", "").split()}
_find = importlib.metadata.MetadataPathFinder.find_distributions


def _without_nisbench(*context):
    return (found for found in _find(*context) if found.name not in {"nisbench", *HIDDEN})


class _Hidden:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in HIDDEN:
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)


importlib.metadata.MetadataPathFinder.find_distributions = staticmethod(_without_nisbench)
sys.meta_path.insert(0, _Hidden)
