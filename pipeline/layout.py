"""Where a run keeps what: the only place that knows the names under the working folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.config import Config


@dataclass(frozen=True)
class Layout:
    """The folders of a run. Stages meet only through what stands here."""

    workdir: Path
    data: Path

    @classmethod
    def of(cls, config: Config) -> Layout:
        return cls(Path(config.run.workdir), Path(config.run.data))

    def resolve(self, path: str) -> str:
        """A configured path with {data} and {workdir} filled in."""
        return path.replace("{data}", str(self.data)).replace("{workdir}", str(self.workdir))

    @property
    def tables(self) -> Path:
        """One folder a table (see pipeline/tables.py)."""
        return self.workdir / "tables"

    @property
    def shards(self) -> Path:
        """Generations of task-mixed shards; the file CURRENT names the one to read."""
        return self.workdir / "shards"

    @property
    def taught(self) -> Path:
        """The same shards with soft targets in the support, as for shards."""
        return self.workdir / "taught"

    @property
    def model(self) -> Path:
        """The trained model: generations and CURRENT, as for shards."""
        return self.workdir / "model"

    @property
    def checkpoints(self) -> Path:
        return self.workdir / "checkpoints"

    @property
    def train_log(self) -> Path:
        """JSON lines: the loss of steps, the validation metrics of epochs."""
        return self.workdir / "train_log.jsonl"

    @property
    def summaries(self) -> Path:
        """One JSON file a stage: what it counted and how long it took, for the report."""
        return self.workdir / "summaries"

    @property
    def report(self) -> Path:
        return self.workdir / "report"

    @property
    def baselines(self) -> Path:
        """Fitted baselines by the content of shards and settings, so that other seeds need not fit them again."""
        return self.workdir / "baselines"
