"""Stores the renderings that test_base.py compares with: run it after a change that was meant, and review the diff.

python tests/manifests/write_golden.py            writes them
python tests/manifests/write_golden.py --check    writes nothing; exit 1 where one differs
"""

import sys

from rendering import GOLDEN, stored


def main(check: bool) -> int:
    differing = 0
    for name, text in stored().items():
        file = GOLDEN / f"{name}.yaml"
        if check and text != file.read_text():
            print(
                f"golden/{name}.yaml is not what argo-apps/{name} renders: run tests/manifests/write_golden.py"
            )
            differing = 1
        elif not check:
            file.write_text(text)
            print(f"golden/{name}.yaml: {text.count('kind: ')} objects and references")
    return differing


if __name__ == "__main__":
    raise SystemExit(main("--check" in sys.argv[1:]))
