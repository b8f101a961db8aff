"""Run pytest in a stage's environment: `.venv/STAGE/bin/python tests/with_pytest.py ARGS`.

The environment holds the stage's lock alone, as its image does. pytest and its friends come from a folder
of their own that is appended to the path of this one process: a stage that leans on them breaks.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / ".venv" / "pytest"))

import pytest  # noqa: E402

sys.exit(pytest.main(sys.argv[1:]))
