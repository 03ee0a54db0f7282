"""`pkd push`: a trained model to the Hugging Face hub, only when asked."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Workspace


def push(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="What `pkd compress --out` wrote, a model folder, a bundle, or a name from the report such as RTE/6l.",
        ),
    ],
    repo: Annotated[str, typer.Argument(metavar="REPO", help="Your repository on the hub: name/model.")],
    public: Annotated[
        bool,
        typer.Option("--public/--private", help="Whether everybody may see a repository that is created."),
    ] = False,
    workspace: Workspace = Path(),
) -> None:
    """Put a model and its card on the Hugging Face hub, in a private repository unless --public is given."""
    from flows.latest_report import latest_report
    from pkd_core.export.hub import files_to_push
    from pkd_core.export.hub import push as push_files
    from pkd_core.pipeline.trained import find_trained, reported_models, verify_trained

    folder = Path(model)
    if not (folder / "transformers").is_dir():
        report = latest_report(workspace)
        folder = find_trained(workspace, model, reported_models(workspace, report) if report else ())
        verify_trained(folder)
    files = files_to_push(folder)
    size = sum(path.stat().st_size for path in files.values())
    typer.echo(f"pushing {len(files)} files ({size / 1e6:.1f} MB) to {repo}: {', '.join(sorted(files))}")
    typer.echo(push_files(files, repo, public, f"Add {folder.name}"))
