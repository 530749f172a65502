"""Configuration of the learning side: model, training, evaluation, scoring."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.checked import Day, Fraction, Name, SqlName


class Model(Section):
    """Which model, and its own settings (checked against the model's constructor)."""

    name: str = "metaaug"
    settings: dict[str, Any] = {}
    """Keyword arguments of the model, such as {experts: 3, expert_layers: 6, expert_width: 512}."""
    members: int = Field(default=1, ge=1)
    """So many models of this kind with different random starts are trained side by side and averaged."""


class Auxiliary(Section):
    """Masked-concept tasks (MetaCon section 6): predict whether a hidden concept was there."""

    tasks: int = Field(default=1000, ge=0)
    """How many concepts, the most frequent ones; 0: none."""
    weight: float = Field(default=0.05, ge=0)


class Train(Section):
    launcher: Literal["process", "horovodrun", "spark"] = "process"
    """process: one rank, here. horovodrun: `ranks` ranks on `hosts`. spark: as tasks of the Spark session. A job
    started under horovodrun is one of its ranks, whatever this says."""
    ranks: int = Field(default=1, ge=1)
    hosts: str | None = None
    """horovodrun: where the ranks run, `host:slots,host:slots`; none: on this machine. The working folder is to be
    seen by all hosts."""
    threads: int | None = Field(default=None, ge=1)
    """Torch threads a rank (default: cores / ranks)."""
    lanes: int = Field(default=4, ge=1)
    """The global batch is made of this many lanes whatever the number of ranks; ranks must divide it."""
    sync_every: int = Field(default=1, ge=1)
    """1: ranks sum their gradients at every step. H: a rank takes H steps by itself, then parameters are averaged over
    ranks, and at the end of each epoch; a H-th is sent. The optimizer's moments stay each rank's own."""
    reader: Literal["petastorm", "pyarrow"] = "pyarrow"
    seed: int = 0
    epochs: int = Field(default=15, ge=0)
    batch_size: int = Field(default=1024, ge=1)
    """Rows of a global batch, over all ranks."""
    learning_rate: float = Field(default=3e-3, gt=0)
    weight_decay: float = Field(default=0.3, ge=0)
    """On all but embeddings, biases and norms."""
    warmup: Fraction = 0.05
    """Share of all steps."""
    clip_norm: float | None = Field(default=1.0, gt=0)
    """The norm of a model's gradient (of each member's) is cut to this; null: it is not."""
    ema: float | None = Field(default=0.99, gt=0, lt=1)
    """Decay of the moving average of parameters that is validated and kept; null: none."""
    hide: Fraction = 0.6
    """A random share, uniform in [0, hide), of each row's concepts is hidden in every step."""
    targets: Literal["labels", "soft"] = "labels"
    """What binary segments learn. soft: labels blended with what classical models say of rows that they have not seen
    (`teach`); validation and evaluation take the labels either way."""
    task_weighting: Literal["none", "balanced"] = "balanced"
    """balanced: each binary task's loss is weighted by (p(1-p))^-1/2, p its share of positives."""
    space: Literal["entire", "local"] = "entire"
    """Of chains. entire: where a step did not happen, the next did not either, which is learnt too; a step is predicted
    as P(step). local: a step is learnt where the one before happened; predicted as P(step | the one before)."""
    auxiliary: Auxiliary = Auxiliary()
    sparse_embeddings: Literal["auto", "always", "never"] = "auto"
    """auto: sparse embedding gradients for vocabularies over 50,000."""
    embedding_start: Literal["random", "correspondence"] = "correspondence"
    """correspondence: concept embeddings start from a truncated SVD of the support's concepts."""
    embedding_rate: float = Field(default=1.0, ge=0)
    """The learning rate of concept embeddings is this many times that of the rest; 0: they stay as they start."""
    embedding_scale: float = Field(default=0.15, gt=0)
    """correspondence: root mean square of the embeddings' entries. Short rows want more."""
    field_scale: float = Field(default=0.0, ge=0)
    """Deviation of a random vector that the embeddings of a field's concepts share at the start, added to the above;
    it pays where a missing field tells something."""
    linear_start: Literal["zero", "logistic"] = "zero"
    """logistic: the linear term (the model's linear_term) starts from each task's own logistic regression, fitted to
    its optimum on the support with its penalty chosen on validation."""
    linear_rate: float = Field(default=1.0, ge=0)
    """The learning rate of the linear term is this many times that of the rest; 0: it stays as it starts."""
    readouts: Literal["trained", "prior"] = "trained"
    """prior: after training the linear towers (metaaug, mmoe with tower_hidden 0) of binary segments are fitted anew
    under a Gaussian prior whose mean and covariance are those of all segments' trained weights; where the support
    is too large to be held (rows x tasks x what a tower reads over 2^28 numbers), they stay as trained."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on a GPU that has it, float32 elsewhere."""
    patience: int | None = Field(default=None, ge=1)
    """Stop after this many epochs that are no better by what select_by looks at."""
    select_by: Literal["mean", "niche", "loss", "last"] = "mean"
    """What of validation picks the epoch that is kept: the mean AUC over segments or over niche ones, or the mean log
    loss, which is steadier where a few dozen positives make the AUC jump; last: the last epoch is, for a validation
    split too small to tell epochs apart."""
    checkpoint_every: int = Field(default=500, ge=1)
    """Steps."""
    resume: bool = True
    """Go on from the last checkpoint of the same configuration and shards, where there is one."""


Metric = Literal["accuracy", "auc", "f1", "kappa", "log_loss", "log_loss_on_decisions"]


class Evaluate(Section):
    niche_positives: int = Field(default=200, ge=1)
    """A binary segment with at most this many positives in the support counts as niche, up to 10x as mid."""
    baselines: list[Literal["logistic_regression", "lightgbm"]] = ["logistic_regression", "lightgbm"]
    oracle: str | None = None
    """A Parquet folder (entity_id, segment probabilities) with the true probabilities of simulated data."""
    threshold: Literal["f1", "accuracy", "kappa", "prevalence", "half"] = "f1"
    """What the decision threshold of each segment is chosen for, on validation; half: it is 0.5, not chosen."""
    max_rows: int = Field(default=500_000, ge=1)
    """Of each split at most so many rows are held in memory, a fair sample as shards are shuffled."""
    published: dict[str, dict[Metric, float]] = {}
    """Figures of others to stand beside the means of all binary segments: name -> metric -> value."""


class Score(Section):
    run_id: Name = "run"
    """With the run date what names a run: running the same again replaces its rows."""
    run_date: Day | None = None
    """The partition, YYYY-MM-DD (default: the date of the cutoff, else today)."""
    table: SqlName = "predictions"
    """One part: a table under the working folder; with dots: a table of Spark's catalog."""
    batch_rows: int = Field(default=4096, ge=1)
    """Entities a forward pass."""
    partitions: int | None = Field(default=None, ge=1)
    """Tasks the scoring is cut into (default: as the table is stored, but at least one a core)."""


class Simulate(Section):
    """The simulated world (design: latent factors drive events and labels)."""

    entities: int = Field(default=20_000, ge=100)
    seed: int = 0
    """Of the world: another seed is another one."""
    events_per_entity: float = Field(default=55, gt=0)
    """In the mean over entities."""
    niche_positives: tuple[int, int] = (20, 200)
    """Between which numbers of positives of the support a niche segment is meant to have."""
    block: int = Field(default=2048, ge=1)
    """Entities a block: the unit of reproducible random numbers."""


class Funnel(Section):
    """A simulated funnel, in place of `simulate`: impressions of items to users, clicks, conversions after clicks."""

    impressions: int = Field(default=40_000, ge=100)
    users: int = Field(default=400, ge=10)
    items: int = Field(default=150, ge=10)
    click_rate: float = Field(default=0.25, gt=0, lt=1)
    """Share of the impressions that are clicked."""
    conversion_rate: float = Field(default=0.15, gt=0, lt=1)
    """Share of all impressions that would convert if each were clicked; of those that are clicked it is higher."""
    bias: float = Field(default=1.0, ge=0)
    """How much of what makes a user click makes him convert too: selection bias. 0: none."""
    seed: int = 0
    block: int = Field(default=16_384, ge=1)
    """Impressions a file: the unit of reproducible random numbers."""
