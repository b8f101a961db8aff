"""Scoring what was fetched: a list that the service finds too large."""

import io
from types import SimpleNamespace
from typing import Any

from local_setup.runner.scoring import Scores, _scores


class Small:
    """A service whose largest body holds three pull requests, and that cannot use number 5."""

    def predict(self, pulls: list[dict[str, Any]]) -> Any:
        numbers = [pull["number"] for pull in pulls]
        status, content = 200, {"scores": [{"number": number} for number in numbers]}
        if len(pulls) > 3:
            status, content = 413, {}
        elif 5 in numbers:
            status, content = 422, {"index": numbers.index(5)}
        return SimpleNamespace(
            status_code=status, text="", headers={"content-type": "application/json"}, json=lambda: content
        )


def test_a_list_with_too_much_text_is_sent_in_parts() -> None:
    result, refused = Scores(), io.StringIO()
    pulls = [{"repo_name": "a/b", "number": number} for number in range(10)]
    scores = _scores(Small(), pulls, refused, result)  # type: ignore[arg-type]
    assert [score["number"] for score in scores] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert result.refused == 1 and '"number": 5' in refused.getvalue()
