"""The verb `models export`: a registered model as a folder that needs no lineal."""

from __future__ import annotations

from pathlib import Path

import click

from lineal.assets.notebook import size_text
from lineal.cli.documents import dumps
from lineal.cli.environment import opened
from lineal.cli.make import JSON


@click.command()
@click.argument("name")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Write although other files are there.")
@JSON
def export(name: str, folder: Path, force: bool, as_json: bool) -> None:
    """Write the registered model NAME into DIR: its file, a model card, requirements.

    The file is the stored one, byte for byte: plain joblib or skops loads it. MODEL_CARD.md says
    what it is, what it was trained on, how it was judged and what nobody knows of it;
    requirements.txt has the packages that it needs, in the versions that it was trained with.

    \b
    Examples:
      lineal models export delays@production handed-out
      lineal models export delays@v3 handed-out --force
    """
    written = opened().export_model(name, folder, force=force)
    if as_json:
        files = [{"path": f.path, "bytes": f.bytes, "digest": f.digest} for f in written.files]
        click.echo(dumps({"model": written.model, "folder": str(folder), "files": files}))
        return
    click.echo(f"{written.model} is in {folder}:")
    width = max(len(file.path) for file in written.files)
    for file in written.files:
        click.echo(f"  {file.path:<{width}}   {size_text(file.bytes)}")
