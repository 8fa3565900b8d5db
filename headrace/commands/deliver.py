"""`headrace deliver` sends notifications to devices and to the operator's endpoint."""

from __future__ import annotations

import asyncio
import signal

import click


@click.command()
def deliver() -> None:
    """Deliver notifications until Ctrl-C.

    By what is configured of HEADRACE_WEBHOOK_URL, HEADRACE_VAPID_SUBJECT (Web Push),
    HEADRACE_FCM_CREDENTIALS and HEADRACE_APNS_KEY_FILE; `headrace config` lists the settings that
    go with each. Several may run at once, and share the work.
    """
    from connectors.addresses import NoAddressError, resolve
    from connectors.push.gateway import open_gateway
    from connectors.push.key_files import KeyFileError
    from connectors.settings import settings
    from headrace.commands.api import configure_logs
    from headrace.deliver import serve

    try:
        addresses = resolve()
        gateway = open_gateway(settings())
    except (NoAddressError, KeyFileError) as error:
        raise click.ClickException(str(error)) from error
    if not gateway.services:
        raise click.ClickException(
            "nothing to deliver by: set HEADRACE_WEBHOOK_URL, HEADRACE_VAPID_SUBJECT, "
            "HEADRACE_FCM_CREDENTIALS or HEADRACE_APNS_KEY_FILE (docs/operating.md)"
        )
    configure_logs()
    click.echo(f"delivering by {', '.join(gateway.services)}; Ctrl-C stops", err=True)

    async def until_stopped() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for ending in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(ending, stop.set)
        await serve(settings(), addresses, gateway, stop)

    asyncio.run(until_stopped())
