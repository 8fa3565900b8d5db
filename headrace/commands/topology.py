"""`headrace topology`: what reads and writes which topics, as a picture."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--format",
    "form",
    type=click.Choice(["mermaid", "svg", "json"]),
    default="mermaid",
    show_default=True,
    help="Mermaid's text, an SVG document, or the parts of each app.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file.  [default: print]",
)
def topology(form: str, out: Path | None) -> None:
    """Draw the topology: topics, the folds and sinks that read and write them, and the stores.

    It is drawn from the apps themselves; nothing needs to run. Left out is what every fold has, its
    changelog, and the dead letters, which sinks write too.

    \b
    Examples:
      headrace topology
      headrace topology --format svg --out topology.svg
      headrace topology --format json | jq '.[] | select(.app == "views")'
    """
    import msgspec

    import topology as wired
    from streams.engine.drawing import FORMATS, graph_of
    from streams.engine.wiring import wiring

    parts = wiring((wired.app, wired.views, wired.archive))
    if form == "json":
        text = msgspec.json.format(msgspec.json.encode(parts)).decode() + "\n"
    else:
        text = FORMATS[form](graph_of(parts))
    if out is None:
        click.echo(text, nl=False)
    else:
        try:
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise click.ClickException(f"{out}: {error.strerror}") from error
