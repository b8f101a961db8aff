"""Another version's feature code beside our own, under a name that nothing else has."""

from __future__ import annotations

import importlib.util
import sys
import uuid
from pathlib import Path
from types import ModuleType


def load_features(folder: Path) -> ModuleType:
    """The package ``pr_features`` in ``folder``; its imports are relative, so any name will do."""
    name = f"pr_features_{uuid.uuid4().hex}"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None or not (folder / "__init__.py").is_file():
        raise FileNotFoundError(f"expected the package pr_features in {folder}, found none")
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return package
