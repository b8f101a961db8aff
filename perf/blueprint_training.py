"""The blueprint's way to train: everything in memory at once, one network over a thousand TF-IDF columns.

A baseline for `make bench-training` only: the whole collection in a pandas frame, scikit-learn's TF-IDF
as a dense array, ten epochs in which the whole array is one batch. Arguments: a file of JSON lines with
title, body, additions, deletions, changed_files. Prints one JSON object.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import nn

EPOCHS = 10
COLUMNS = 1000


def main(path: str, limit_bytes: int) -> None:
    """Train and say how long it took and how much memory it needed."""
    # A machine's memory, so that this ends with an error here and not with a dead machine.
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
    torch.set_num_threads(2)
    start = time.monotonic()
    frame = pd.read_json(path, lines=True)
    text = frame["title"].fillna("") + " " + frame["body"].fillna("")
    words = TfidfVectorizer(max_features=COLUMNS).fit_transform(text).toarray()
    numbers = frame[["additions", "deletions", "changed_files"]].to_numpy(dtype=np.float64)
    rows = torch.tensor(np.hstack([numbers, words]), dtype=torch.float32)
    width = rows.shape[1]
    network = nn.Sequential(
        nn.Linear(width, 64),
        nn.ReLU(),
        nn.Linear(64, 16),
        nn.ReLU(),
        nn.Linear(16, 64),
        nn.ReLU(),
        nn.Linear(64, width),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(rows), rows)
        loss.backward()
        optimizer.step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": time.monotonic() - start, "peak_mb": peak}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
