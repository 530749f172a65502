"""The process of one rank: `python -m pipeline.train.worker CONFIG.json`, started by horovodrun."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from pipeline.errors import UserError
from pipeline.train.ranks import run_rank

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
