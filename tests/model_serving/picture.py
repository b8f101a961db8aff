"""`make screenshot`: the dashboard over the demo's model and its generated pull requests, by a real browser.

python tests/model_serving/picture.py --out-folder var/demo --picture model_serving/docs/dashboard.png
"""

import argparse
import gzip
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from service_process import ServiceProcess  # noqa: E402
from webdriver import Browser  # noqa: E402

SHOWN = 400


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out-folder", type=Path, required=True, help="what `make demo` wrote")
    parser.add_argument("--picture", type=Path, required=True, help="the PNG to write")
    options = parser.parse_args()
    with gzip.open(options.out_folder / "corpus.jsonl.gz", "rt") as lines:
        pulls = sorted((json.loads(line) for line in lines), key=lambda pull: str(pull["created_at"]))
    # This machine's fonts may hold no other letters.
    pulls = [pull for pull in pulls if pull["title"].isascii()]
    uri = f"sqlite:///{(options.out_folder / 'mlflow' / 'mlflow.db').resolve()}"
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"mlflow_tracking_uri": uri, "model_alias": "candidate"}
        service = ServiceProcess(Path(scratch) / "service", settings)
        try:
            service.wait_until_ready()
            for first in range(len(pulls) - SHOWN, len(pulls), 100):
                status, answer = service.post("/predict", pulls[first : first + 100])
                assert status == 200, answer
            browser = Browser(Path(scratch) / "profile")
            try:
                browser.open(f"http://127.0.0.1:{service.port}/")
                browser.screenshot(options.picture)
            finally:
                browser.close()
        finally:
            service.stop()
    sys.stdout.write(f"screenshot: {options.picture}\n")


if __name__ == "__main__":
    main()
