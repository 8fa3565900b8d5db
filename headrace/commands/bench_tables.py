"""What `headrace bench` prints: tables, targets, and the figures as JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bench.core import CoreReport
    from bench.engagement import EngagementReport
    from bench.fanout import FanOutReport
    from bench.figures import Figures, Machine, Target
    from bench.read import ReadReport
    from bench.restore import RestoreReport


def show_fanout(report: FanOutReport) -> None:
    """Figures by audience and by users."""
    columns = ("audience", "users", "deliveries", "s", "per s", "fold µs", "sink µs", "bytes")
    table = Table(*columns)
    for column in table.columns:
        column.justify = "right"
    for each in (*report.by_audience.values(), *report.by_users.values()):
        figures = (
            each.seconds,
            each.deliveries_per_s,
            each.fold_us_per_delivery,
            each.sink_us_per_delivery,
        )
        table.add_row(
            *(f"{count:,}" for count in (each.audience, each.users, each.deliveries)),
            *("void" if figure is None else f"{figure:,.1f}" for figure in figures),
            "void" if each.bytes_per_entry is None else f"{each.bytes_per_entry:,.0f}",
        )
    Console().print(table)
    for each in (*report.by_audience.values(), *report.by_users.values()):
        if each.void:
            click.echo(f"{each.audience:,} of {each.users:,} is void: {each.void}")
    click.echo(f"redis-py alone adds {report.raw_deliveries_per_s:,.0f} entries/s")
    written = report.archive
    if written is None or written.void:
        click.echo(f"Cassandra is void: {written.void if written else 'not measured'}")
    else:
        click.echo(
            f"Cassandra: {written.rows:,} rows, {written.rows_per_s:,.0f} a second, "
            f"{written.cpu_us_per_row} µs of the sink each; the driver's own loop writes "
            f"{written.raw_rows_per_s:,.0f}"
        )


def show_read(report: ReadReport) -> None:
    """Latencies by kind of page, and what is reached at most."""
    if report.void:
        click.echo(f"void: {report.void}")
        return
    click.echo(
        f"{report.reads_per_s:,.0f} reads/s, {report.cpu_ms_per_read} ms of CPU each\n"
        f"latest: p50 {report.latest_p50_ms} ms, p99 {report.latest_p99_ms} ms\n"
        f"ranked, next page: p50 {report.ranked_next_p50_ms} ms, "
        f"p99 {report.ranked_next_p99_ms} ms\n"
        f"ranked, first page: p50 {report.ranked_p50_ms} ms, p99 {report.ranked_p99_ms} ms\n"
        f"at most {report.most_reads_per_s:,.0f} reads/s of latest "
        f"({report.most_cpu_ms_per_read} ms of CPU each), the bare handler "
        f"{report.bare_reads_per_s:,.0f} ({report.bare_cpu_ms_per_read} ms)"
    )


def show_restore(report: RestoreReport) -> None:
    """Rows/s of each system."""
    rows = {
        name: (each.rows, each.seconds, each.cpu_seconds, each.rows_per_s, each.rows_per_cpu_s)
        for name, each in report.systems.items()
    }
    voids = {name: each.void for name, each in report.systems.items()}
    _show("rows", rows, voids, report.machine)


def show_core(report: CoreReport) -> None:
    """Records/s of each system."""
    _show_figures(report.systems, report.machine)
    limits = report.limits
    click.echo(f"aiokafka alone reads {limits['kafka_records_per_s']:,} records/s")
    click.echo(f"redis-py alone sets {limits['redis_sets_per_s']:,} keys/s")


def show_engagement(report: EngagementReport) -> None:
    """Records/s of each mix, and of the peer."""
    figures = {"even": report.even, "hot": report.hot, "stock": report.stock}
    _show_figures(figures, report.machine)


def _show_figures(found: Mapping[str, Figures], machine: Machine) -> None:
    rows = {
        name: (
            each.events,
            each.seconds,
            each.cpu_seconds,
            each.records_per_s,
            each.records_per_cpu_s,
        )
        for name, each in found.items()
    }
    voids = {name: each.void for name, each in found.items()}
    _show("records", rows, voids, machine)


_Row = tuple[int, float | None, float | None, float | None, float | None]


def _show(
    what: str, rows: Mapping[str, _Row], voids: Mapping[str, str | None], machine: Machine
) -> None:
    table = Table("system", what, "s", "CPU s", f"{what}/s", f"{what}/CPU s")
    for column in table.columns[1:]:
        column.justify = "right"
    for name, (count, seconds, cpu, per_s, per_cpu) in rows.items():
        table.add_row(
            name,
            f"{count:,}",
            *("void" if each is None else f"{each:,.2f}" for each in (seconds, cpu)),
            *("void" if each is None else f"{each:,.0f}" for each in (per_s, per_cpu)),
        )
    Console().print(table)
    for name, void in voids.items():
        if void:
            click.echo(f"{name} is void: {void}")
    click.echo(f"{machine.cpus} CPUs ({machine.processor}), Python {machine.python}")


def _show_targets(targets: list[Target]) -> None:
    for target in targets:
        found = "" if target.found is None else f" {target.found:,.2f}"
        bound = "at most" if target.is_most else "at least"
        click.echo(f"{target.verdict:<12} {target.figure}{found}, wanted {bound} {target.wanted:,}")


def finish(report: Any, smoke: bool, file: Path | None) -> NoReturn:
    """Show the targets, write the figures, and end with 1 if one is void."""
    if not smoke:
        _show_targets(report.targets())
    if file is not None:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    sys.exit(report.is_void)
