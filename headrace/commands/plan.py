"""`headrace plan`: rates, bytes, processors and nodes of a workload, with each formula."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from headrace.plan.workload import Hardware, Workload

if TYPE_CHECKING:
    from headrace.plan.estimates import Plan

_POSITIVE = click.FloatRange(min=0, min_open=True)
_COUNT = click.IntRange(min=1)
_NOT_NEGATIVE = click.FloatRange(min=0)
_SHARE = click.FloatRange(0, 1)

Decorator = Callable[[Callable[..., None]], Callable[..., None]]


def _option(name: str, kind: click.ParamType, default: float, what: str) -> Decorator:
    return click.option(name, type=kind, default=default, show_default=True, help=what)


@click.command()
@_option("--users", _COUNT, Workload().users, "Accounts.")
@_option("--dau", _COUNT, Workload().dau, "Users who are active on a day.")
@_option("--follows", _NOT_NEGATIVE, Workload().follows, "Users that one follows.")
@_option("--posts-per-day", _NOT_NEGATIVE, Workload().posts_per_day, "Of an active user.")
@_option("--reads-per-day", _NOT_NEGATIVE, Workload().reads_per_day, "Of an active user's feed.")
@_option(
    "--engagements-per-day",
    _NOT_NEGATIVE,
    Workload().engagements_per_day,
    "Of an active user: views, likes and all else.",
)
@_option(
    "--heavy-share",
    _SHARE,
    Workload().heavy_share,
    "The part of deliveries that heavy sources save.",
)
@_option("--post-bytes", _COUNT, Workload().post_bytes, "Text and what belongs to it.")
@_option("--image-bytes", _COUNT, Workload().image_bytes, "Of an image, kept elsewhere.")
@_option("--image-share", _SHARE, Workload().image_share, "The part of posts with an image.")
@_option("--peak", click.FloatRange(min=1), Workload().peak, "The peak, times the average.")
@_option("--replicas", _COUNT, Hardware().replicas, "Copies in Kafka and Cassandra.")
@_option(
    "--utilization",
    click.FloatRange(0, 1, min_open=True),
    Hardware().utilization,
    "The part of each node that is used at the peak.",
)
@_option("--worker-cores", _COUNT, Hardware().worker_cores, "Processors of a worker's machine.")
@_option("--worker-tib", _POSITIVE, Hardware().worker_tib, "Disk of a worker's machine.")
@_option("--redis-gib", _POSITIVE, Hardware().redis_gib, "Memory of a Redis node.")
@_option("--cassandra-tib", _POSITIVE, Hardware().cassandra_tib, "Disk of a Cassandra node.")
@click.option("--json", "is_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--check",
    type=click.Choice(["002"]),
    help="Compare with the worked numbers of requirement document 002, for its workload; exit 1 if "
    "one differs.",
)
def plan(*, is_json: bool, check: str | None, **given: Any) -> None:
    """Estimate what a deployment needs: rates, bytes, processors, nodes, and what drives the cost.

    Each figure comes with its formula, and with what one processor did in `headrace bench`
    (docs/benchmarks.md); what was not measured is said to be assumed. Plan with figures of your own
    machines where they matter.
    """
    from headrace.plan.estimates import plan_for

    if check is not None:
        _check()
        return
    if given["dau"] > given["users"]:
        raise click.BadParameter("more than --users", param_hint="--dau")
    load = Workload(**{name: given[name] for name in Workload.__struct_fields__})
    hardware = Hardware(**{name: given[name] for name in Hardware.__struct_fields__})
    found = plan_for(load, hardware)
    if is_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        _show(found)


def _show(found: Plan) -> None:
    from rich.console import Console
    from rich.table import Table

    from headrace.plan.figures import FIGURES

    console = Console()
    for group in dict.fromkeys(each.group for each in found.estimates):
        table = Table(group, "value", "", "formula")
        table.columns[1].justify = "right"
        for each in found.estimates:
            if each.group == group:
                table.add_row(each.name, number(each.value), each.unit, each.formula)
        console.print(table)
    for title, parts in (("processors", found.cores), ("bytes", found.bytes)):
        whole = sum(parts.values()) or 1.0
        table = Table(f"what drives the cost: {title}", "part")
        for name, value in parts.items():
            table.add_row(name, f"{value / whole:.0%}")
        console.print(table)
    table = Table("figures", "value", "", "source")
    for name, figure in FIGURES.items():
        table.add_row(name.lower(), number(figure.value), figure.unit, figure.source)
    console.print(table)


def number(value: float) -> str:
    """A number with as many digits as are of use."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _check() -> None:
    from rich.console import Console
    from rich.table import Table

    from headrace.plan.estimates import plan_for
    from headrace.plan.published import WORKLOAD, compare

    table = Table("002", "it prints", "its formula gives", "")
    different = 0
    for each in compare(plan_for(WORKLOAD, Hardware())):
        different += not each.agrees
        table.add_row(
            each.label,
            f"{each.printed:,}",
            f"{each.computed:,}",
            "agrees" if each.agrees else "DIFFERS",
        )
    Console().print(table)
    if different:
        click.echo(
            f"{different} of the numbers that 002 prints are not those of its own formulas: its "
            "storage comes to some 1,000 times as many terabytes.",
            err=True,
        )
        sys.exit(1)
