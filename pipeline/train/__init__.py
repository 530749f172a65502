"""Training: one model for all segments on the shards, by one process or by ranks that Horovod joins.

launchers.py     process, horovodrun or horovod.spark       worker.py        the process of a rank
checks.py        what has to fit before any rank starts     ranks.py         what a rank does, start to end
distribution.py  sums, broadcasts and gathers over ranks    loop.py          steps, validation, checkpoints
steps.py         a rank's rows of each global batch         objective.py     the loss
gradients.py     one flat buffer of gradients               optimizer.py     AdamW, lazy Adam, warm-up, cosine
ema.py           moving average of the parameters           selection.py     best epoch, early stopping
validation.py    metrics over the full set                  checkpoint.py    written whole, resumed at a step
build.py, start.py  the model and what it starts from       finish.py        thresholds, model folder, summary
context.py, precision.py  device and number format          progress.py      progress bar
readouts.py      towers fitted anew under a shared prior  targets.py     labels, or soft targets
"""

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.train.checks import check
from pipeline.train.distribution import inside_horovod, join_world
from pipeline.train.launchers import run_horovodrun, run_spark
from pipeline.train.loop import Watch
from pipeline.train.ranks import train

_LAUNCHERS = {"horovodrun": run_horovodrun, "spark": run_spark}


def run(config: Config, watch: Watch | None = None) -> None:
    """Train on the current shards and write the model folder.

    Started under horovodrun (`horovodrun -np 2 python -m jobs.train …`) this process is one rank of its job,
    whatever `train.launcher` says. watch: is told of each epoch, in one process (launcher process) only.
    Raises UserError, before any rank starts, for what does not fit.
    """
    if watch is not None and (inside_horovod() or config.train.launcher != "process"):
        raise UserError(f"epochs cannot be watched with train.launcher {config.train.launcher}: set it to process")
    if inside_horovod():
        world = join_world()
        train(config, check(config, ranks=world.size, checksums=world.is_first), world)
        return
    shards = check(config, ranks=config.train.ranks)
    if config.train.launcher == "process":
        train(config, shards, join_world(), watch)
    else:
        _LAUNCHERS[config.train.launcher](config)
