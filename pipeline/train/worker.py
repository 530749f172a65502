"""The process of one rank: `python -m pipeline.train.worker CONFIG.json`, started by horovodrun, or a Spark task."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from pipeline.config import Config
from pipeline.errors import UserError
from pipeline.layout import Layout
from pipeline.shards.dataset import open_shards
from pipeline.train.distribution import join_world
from pipeline.train.ranks import train

ERROR_FILE = "train_error.txt"
"""Under the working folder, which all ranks share: the message of a rank that met bad input."""


def run_rank(config_json: str) -> None:
    """Train as the rank that this process is. The launcher has verified the shards' checksums.

    Raises UserError after leaving its message for the launcher.
    """
    config = Config.model_validate_json(config_json)
    layout = Layout.of(config)
    try:
        train(config, open_shards(layout, checksums=False), join_world())
    except UserError as error:
        leave_error(layout.workdir / ERROR_FILE, str(error))
        raise


def leave_error(path: Path, message: str) -> None:
    """The message of the first rank that fails stays; written whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(message, encoding="utf-8")
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


if __name__ == "__main__":
    logging.basicConfig(
        level=os.environ.get("METACON_LOG_LEVEL", "info").upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    try:
        run_rank(Path(sys.argv[1]).read_text(encoding="utf-8"))
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None
