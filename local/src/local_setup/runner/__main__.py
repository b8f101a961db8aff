"""`python -m local_setup.runner COMMAND`: what the make targets of one machine call."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from local_setup.errors import LocalSetupError
from local_setup.runner import service, summary
from local_setup.runner.sources import Source
from local_setup.runner.steps import Run, open_run
from local_setup.runner.workspace import Workspace, write_json

# A pipe has no width of its own, and a table of 80 columns folds every reason.
CONSOLE = Console(width=None if sys.stdout.isatty() else 140)
INTERRUPTED = 130
VERDICTS = {True: "passed: the candidate is champion now", False: "refused: the candidate is not promoted"}


def heading(text: str) -> None:
    CONSOLE.print(f"\n== {text}", style="bold", highlight=False)


def learn(run: Run, source: Source) -> None:
    """Fetch to candidate."""
    heading("fetch: GitHub -> MongoDB")
    run.fetch(source)
    heading("preprocess: MongoDB -> features, by Spark")
    run.preprocess()
    heading("train: features -> autoencoder -> MLflow")
    run.train()


def pipeline(workspace: Workspace, source: Source) -> None:
    """Fetch to scores: every stage once, then the candidate serves and everything is scored."""
    with open_run(workspace) as run:
        learn(run, source)
        heading("gate: candidate -> champion")
        passed = run.gate()
        heading("score: everything, over HTTP")
        finish(workspace, run, passed)


def finish(workspace: Workspace, run: Run, passed: bool) -> None:
    """The last act: scores.jsonl, summary.json, and what a person wants to see of them."""
    model, scores = run.score()
    folder = Path(run.environ["DATA_ROOT"]) / "preprocess-runs" / run.run_id
    content = summary.summarise(
        summary.PublishedRun.read(folder), run.rejected_before(), model, scores, run.seconds
    )
    write_json(workspace.summary, content)
    summary.print_top(CONSOLE, scores, run.titles(scores.top()))
    summary.print_summary(CONSOLE, content)
    CONSOLE.print(f"gate {VERDICTS[passed]}", highlight=False)
    if scores.refused:
        CONSOLE.print(f"{scores.refused} refused by the service: {workspace.out / 'unscored.jsonl'}")
    shown = os.path.relpath(workspace.out)
    CONSOLE.print(f"\nscores: {shown}/scores.jsonl   summary: {shown}/summary.json")
    alias = "" if passed else " MODEL_ALIAS=candidate"
    CONSOLE.print(
        f"the experiment:  make mlflow-ui OUT={shown}\nthe service:     make serve OUT={shown}{alias}"
    )


def retrain(workspace: Workspace, source: Source) -> None:
    """Fetch what is new, preprocess, train, evaluate; where the gate lets it pass, a running service takes it."""
    with open_run(workspace) as run:
        learn(run, source)
        answer = service.reload(workspace) if judge(run) else None
        if answer:
            CONSOLE.print(f"reload: {answer}", highlight=False)


def judge(run: Run) -> bool:
    """The gate's verdict, told: whether there is a new champion."""
    passed = run.gate()
    CONSOLE.print(f"gate {VERDICTS[passed]}", highlight=False)
    return passed


def quality(workspace: Workspace, source: Source) -> None:
    """Fetch to model with its quality report: OUT/quality.json and quality.html."""
    with open_run(workspace) as run:
        learn(run, source)
    CONSOLE.print(f"report: {os.path.relpath(workspace.out)}/quality.html", highlight=False)


def one_step(workspace: Workspace, step: str, corpus: str, repos: str) -> None:
    """A single stage over an existing workspace."""
    if step in {"evaluate", "score"}:
        workspace.check_learned()
    with open_run(workspace) as run:
        if step in {"train", "evaluate"} and "PREPROCESS_RUN_ID" not in os.environ:
            del run.environ["PREPROCESS_RUN_ID"]  # training takes the newest, the report the candidate's
        if step == "fetch":
            run.fetch(Source.choose(workspace, corpus, repos))
        elif step == "preprocess":
            run.preprocess()
        elif step == "train":
            run.train()
        elif step == "evaluate":
            run.report_quality()
            judge(run)
        elif step == "score":
            _, scores = run.score()
            summary.print_top(CONSOLE, scores, run.titles(scores.top()))


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local_setup.runner", description=__doc__)
    commands = (
        "pipeline",
        "retrain",
        "fetch",
        "preprocess",
        "train",
        "evaluate",
        "quality",
        "score",
        "serve",
        "mlflow-ui",
    )
    parser.add_argument("command", choices=commands)
    parser.add_argument("--out", type=Path, default=Path("var/pipeline"), help="folder of this run")
    parser.add_argument("--corpus", default="", help="files of pull requests, separated by commas")
    parser.add_argument("--github-repos", default="", help="owner/name,owner/name on GitHub itself")
    parser.add_argument("--port", type=int, default=8080, help="port of `serve` and `mlflow-ui`")
    parser.add_argument("--alias", default="champion", help="model alias of `serve`")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    workspace = Workspace(options.out.resolve())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if options.command == "serve":
            return service.serve(workspace, options.port, options.alias, CONSOLE)
        if options.command == "mlflow-ui":
            service.mlflow_ui(workspace, options.port)
        whole = {"pipeline": pipeline, "retrain": retrain, "quality": quality}.get(options.command)
        if whole is not None:
            whole(workspace, Source.choose(workspace, options.corpus, options.github_repos))
        else:
            one_step(workspace, options.command, options.corpus, options.github_repos)
        return 0
    except LocalSetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
