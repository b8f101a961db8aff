"""The modules beside this file are imported by their plain names; pytest's import mode adds no folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
