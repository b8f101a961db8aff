"""Stores the renderings that test_base.py compares with: run it after a change that was meant, and review the diff."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

if __name__ == "__main__":
    from test_base import RENDERED, render, without_release

    for name in RENDERED:
        text = without_release(render(HERE.parent.parent / "argo-apps" / name))
        (HERE / "golden" / f"{name}.yaml").write_text(text)
        print(f"golden/{name}.yaml: {text.count('kind: ')} objects and references")
