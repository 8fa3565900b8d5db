"""The `headrace` command."""

from __future__ import annotations

import importlib
from typing import Any

import click

COMMANDS = {
    "stack": "headrace.commands.stack:stack",
    "work": "headrace.commands.work:work",
    "api": "headrace.commands.api:api",
    "deliver": "headrace.commands.deliver:deliver",
    "demo": "headrace.commands.demo:demo",
    "replay": "headrace.commands.replay:replay",
    "generate": "headrace.commands.replay:generate",
    "check-event": "headrace.commands.check_event:check_event",
    "dead-letters": "headrace.commands.dead_letters:dead_letters",
    "schemas": "headrace.commands.schemas:schemas",
    "source": "headrace.commands.source:source",
    "erase": "headrace.commands.erase:erase",
    "train": "headrace.commands.train:train",
    "experiment": "headrace.commands.experiment:experiment",
    "rebuild": "headrace.commands.rebuild:rebuild",
    "migrate": "headrace.commands.migrate:migrate",
    "verify": "headrace.commands.verify:verify",
    "chaos": "headrace.commands.chaos:chaos",
    "soak": "headrace.commands.soak:soak",
    "campaign": "headrace.commands.campaign:campaign",
    "bench": "headrace.commands.bench:bench",
    "plan": "headrace.commands.plan:plan",
    "topology": "headrace.commands.topology:topology",
    "token": "headrace.commands.api:token",
    "config": "headrace.commands.config:config",
}


class _Lazy(click.Group):
    """Imports a command's module only when it is asked for, so that --help is quick."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a server that refuses us, and settings that cannot be, are told of
        without a traceback."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            from connectors.security import RefusedError
            from headrace.commands.config import InvalidSettingsError, refused_settings

            if (refused := refused_settings(error)) is not None:
                raise InvalidSettingsError(refused) from error
            if isinstance(error, RefusedError):
                raise click.ClickException(str(error)) from error
            raise


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="headrace")
def main() -> None:
    """A news feed as a stream-processing pipeline: Kafka, Faust, Redis and Cassandra."""
