"""Spark's own metrics of the stages that ran, by what the driver said it was doing (`setJobDescription`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyspark.sql import SparkSession

HEADINGS = ("stages", "CPU s", "run s", "GC s", "shuffled MB", "spilled MB")


def last_stage(spark: SparkSession) -> int:
    """The number of the latest stage there has been; -1 for none."""
    return max((stage.stageId() for stage in _stages(spark)), default=-1)


def metrics_since(spark: SparkSession, stage_id: int) -> dict[str, list[float]]:
    """Sums of `HEADINGS` of all stages after `stage_id`, by description, in the order of their first stage."""
    sums: dict[str, list[float]] = {}
    for stage in sorted(_stages(spark), key=lambda stage: stage.stageId()):
        if stage.stageId() <= stage_id or str(stage.status()) != "COMPLETE":
            continue
        described = stage.description()
        what = (described.get() if described.isDefined() else "") or "others"
        values = (
            1,
            stage.executorCpuTime() / 1e9,
            stage.executorRunTime() / 1e3,
            stage.jvmGcTime() / 1e3,
            stage.shuffleWriteBytes() / 1e6,
            stage.diskBytesSpilled() / 1e6,
        )
        before = sums.get(what, [0.0] * len(HEADINGS))
        sums[what] = [one + other for one, other in zip(before, values, strict=True)]
    return sums


def table(metrics: dict[str, list[float]]) -> str:
    """Markdown."""
    lines = [f"| what | {' | '.join(HEADINGS)} |", "|---|" + "---:|" * len(HEADINGS)]
    total = [sum(column) for column in zip(*metrics.values(), strict=True)] or [0.0] * len(HEADINGS)
    for what, values in [*metrics.items(), ("all", total)]:
        lines.append(f"| {what} | {values[0]:.0f} | {' | '.join(f'{value:.1f}' for value in values[1:])} |")
    return "\n".join(lines) + "\n"


def _stages(spark: SparkSession) -> Iterator[Any]:
    """Spark's StageData of all stages that are remembered (`spark.ui.retainedStages`)."""
    context = spark.sparkContext
    jvm, gateway = context._jvm, context._gateway
    assert jvm is not None
    assert gateway is not None
    no_quantiles = gateway.new_array(jvm.double, 0)
    nothing = jvm.java.util.ArrayList()
    found = context._jsc.sc().statusStore().stageList(None, False, False, no_quantiles, nothing)
    return (found.apply(index) for index in range(found.size()))
