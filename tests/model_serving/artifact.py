"""A small model in the layout that training registers, made in a second: for tests of serving alone."""

import importlib.util
import json
import random
import shutil
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from onnx_file import autoencoder

FEATURE_CODE = Path(__file__).resolve().parents[2] / "libs" / "pr_features" / "src" / "pr_features"
WORDS = "fix add update remove test parser socket cache build docs typo crash race support windows linux api".split()
REPOSITORIES = ("golden/client", "example/server", "acme/tools")


def feature_code() -> Any:
    """pr_features of this checkout under a name of its own: the serving environment does not hold it."""
    name = "pr_features_of_tests"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, FEATURE_CODE / "__init__.py", submodule_search_locations=[str(FEATURE_CODE)]
        )
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
        for module in ("documents", "history", "preprocessor", "profile", "rows", "scoring"):
            importlib.import_module(f"{name}.{module}")
    return sys.modules[name]


def pull_request(number: int, seed: int = 0) -> dict[str, Any]:
    """A made-up pull request in GitHub's REST form."""
    rng = random.Random(f"{seed}-{number}")
    created = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=5 * number)
    words = [rng.choice(WORDS) for _ in range(rng.randint(2, 9))]
    repository = rng.choice(REPOSITORIES)
    return {
        "id": 1_000_000 + number,
        "number": number + 1,
        "state": "open",
        "title": " ".join(words).capitalize(),
        "body": rng.choice([None, " ".join(rng.choice(WORDS) for _ in range(40)) + f"\n\nFixes #{number}."]),
        "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "updated_at": created.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "user": {"login": f"author-{rng.randint(1, 30)}", "id": rng.randint(1, 30), "type": "User"},
        "additions": int(rng.lognormvariate(3, 1.5)),
        "deletions": int(rng.lognormvariate(2, 1.5)),
        "changed_files": rng.randint(1, 9),
        "commits": rng.randint(1, 4),
        "draft": False,
        "labels": [],
        "assignees": [],
        "author_association": "CONTRIBUTOR",
        "head": {
            "ref": f"branch-{number}",
            "sha": "0" * 40,
            "repo": {"id": 7, "full_name": f"fork/{number}"},
        },
        "base": {"ref": "main", "sha": "0" * 40, "repo": {"id": 3, "full_name": repository}},
    }


def make_model(folder: Path, *, seed: int = 0, pulls: int = 300, author_key: bytes = b"") -> Path:
    """Write artifacts/ and code/ into the folder; another seed gives another network, hence other scores.

    author_key: of the authors' pseudonyms, where fetching has hidden them.
    """
    code = feature_code()
    files = folder / "artifacts"
    files.mkdir(parents=True)
    shutil.copytree(
        FEATURE_CODE, folder / "code" / "pr_features", ignore=shutil.ignore_patterns("__pycache__")
    )
    documents = [code.documents.from_rest(pull_request(number)) for number in range(pulls)]
    if author_key:
        documents = [code.documents.hash_author(document, author_key) for document in documents]
    preprocessor = _preprocessor(code, documents)
    (files / "preprocessor.json").write_text(json.dumps(preprocessor.to_json()))
    _history(code, documents).save(files / "history.npz")
    (files / "network.onnx").write_bytes(autoencoder(len(preprocessor.columns), seed=seed))
    return finish(folder, documents)


def finish(folder: Path, documents: list[dict[str, Any]]) -> Path:
    """Threshold, reference and golden request from what the network says."""
    from model_serving.network import Network

    code, files = feature_code(), folder / "artifacts"
    network = Network(files / "network.onnx")
    network.open()
    reference = {"error_quantiles": [0.0, 1.0], "usual": {"additions": 4.0, "title_length": 5.0}}
    _write(files / "threshold.json", {"threshold": 1.0})
    _write(files / "reference.json", reference)
    request = pull_request(7, seed=99) | {"id": None}
    _write(files / "golden.json", {"request": request, "reconstruction_error": 0.0})
    scorer = code.scoring.Scorer.load(files, network)
    errors = np.sort(scorer.run(documents).reconstruction_error.astype(np.float64))
    _write(files / "threshold.json", {"threshold": float(errors.mean() + 2 * errors.std())})
    quantiles = np.quantile(errors, np.linspace(0, 1, 101)).tolist()
    _write(files / "reference.json", reference | {"error_quantiles": quantiles})
    golden = code.documents.from_rest(request, require_id=False)
    error = float(scorer.run([golden]).reconstruction_error[0])
    _write(files / "golden.json", {"request": request, "reconstruction_error": error})
    _write(files / "card.json", {"created_at": "2024-06-01T00:00:00Z", "rows": len(documents)})
    return folder


def _write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content))


def _preprocessor(code: Any, documents: list[dict[str, Any]]) -> Any:
    frequencies = Counter(
        word
        for document in documents
        for word in set(f"{document['title']} {document['body'] or ''}".lower().split())
    )
    profile = code.profile.CorpusProfile.build(len(documents), frequencies.items())
    rows = [code.rows.row(document, code.history.History(), profile) for document in documents]
    values = np.stack([row.values for row in rows]).astype(np.float64)
    present = ~np.isnan(values)
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, values, 0).sum(axis=0) / count
    std = np.sqrt(np.where(present, (values - mean) ** 2, 0).sum(axis=0) / count)
    return code.preprocessor.Preprocessor(
        profile, mean.tolist(), std.tolist(), (1 - present.mean(axis=0)).tolist()
    )


def _history(code: Any, documents: list[dict[str, Any]]) -> Any:
    opened: dict[tuple[str, str], list[int]] = {}
    for document in documents:
        key = (document["repo_name"], code.history.author_key(document))
        opened.setdefault(key, []).append(code.history.epoch_second(document["created_at"]))
    return code.history.HistoryState.pack(
        [(repo, author, times, times[:1]) for (repo, author), times in opened.items()], []
    )
