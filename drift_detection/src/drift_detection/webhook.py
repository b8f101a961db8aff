"""The alarm: POST {"drift_score": ...} with a bearer token to Argo Events' webhook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from stage_runtime.exits import ServiceUnreachable, WrongSettings

TIMEOUT_SECONDS = 20.0


def call(url: str, token: str, report: Mapping[str, Any]) -> None:
    """Post an alarm; raises ServiceUnreachable or WrongSettings.

    A 2xx only says that the webhook took it: whether a retraining starts is decided behind it.
    """
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
    body = {
        "drift_score": report["drift_score"],
        "run_id": report["run_id"],
        "model_version": report["model"]["version"],
    }
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = requests.post(
            url, json=body, headers=headers, timeout=TIMEOUT_SECONDS, allow_redirects=False
        )
    except requests.RequestException as error:
        raise ServiceUnreachable(
            f"The webhook {shown} did not answer ({type(error).__name__}): the alarm is in the report and will be "
            "sent again by the next run. Check DRIFT_WEBHOOK_URL and that the event source runs."
        ) from None
    if answer.status_code in {401, 403}:
        raise WrongSettings(
            f"The webhook {shown} refused the token (HTTP {answer.status_code}). Check that drift_webhook_token is "
            "the one in the Secret drift-webhook-token of the event source."
        )
    if not answer.ok:
        raise ServiceUnreachable(
            f"The webhook {shown} answered HTTP {answer.status_code}; the next run sends the alarm again."
        )
