"""What every entry in jobs/ does: options, logging, errors, exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence

from pipeline.config import Config, load_config, to_yaml
from pipeline.environment import check_writable
from pipeline.errors import UserError
from pipeline.layout import Layout

logger = logging.getLogger(__name__)

_UNREADABLE = re.compile(r"\[FAILED_READ_FILE[^\n]*")


def main(description: str, run: Callable[[Config], None], arguments: Sequence[str] | None = None) -> None:
    """Read the configuration, run a stage, and exit: 0 done, 2 bad input (a message, no traceback), 1 a defect."""
    main_with_options(description, own_options(), lambda config, _: run(config), arguments)


def own_options() -> argparse.ArgumentParser:
    """An empty parser to which an entry adds the options that are its own."""
    return argparse.ArgumentParser(add_help=False)


def main_with_options(
    description: str,
    own: argparse.ArgumentParser,
    run: Callable[[Config, argparse.Namespace], None],
    arguments: Sequence[str] | None = None,
) -> None:
    """As `main`, for an entry with options of its own beside those that all have."""
    options = _parser(description, own).parse_args(arguments)
    logging.basicConfig(
        level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    try:
        config = load_config(options.config, options.set)
        if options.print_config:
            sys.stdout.write(to_yaml(config))
            return
        check_writable(Layout.of(config).workdir)
        run(config, options)
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.stderr.flush()
        raise SystemExit(2) from None
    except Exception as error:
        message = _unreadable(error)
        if message is None:
            raise
        sys.stderr.write(f"error: {message}\n")
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was there before still stands; run the same again\n")
        raise SystemExit(130) from None


def _unreadable(error: Exception) -> str | None:
    """What Spark says of an input file that it met in the middle of its work and could not read; else None."""
    found = _UNREADABLE.search(str(error))
    if found is None:
        return None
    return (
        f"{found.group(0).strip()}: the file is damaged, or has other columns, another order of them or other "
        "types than the rest of its folder; mend it, or give it a folder of its own"
    )


def _parser(description: str, own: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, parents=[own], allow_abbrev=False)
    parser.add_argument(
        "--config", action="append", required=True, metavar="YAML", help="configuration; given again, later files win"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override one key, as in train.epochs=3"
    )
    parser.add_argument("--print-config", action="store_true", help="show the resolved configuration and exit")
    parser.add_argument(
        "--log-level",
        default=os.environ.get("METACON_LOG_LEVEL", "info"),
        choices=["debug", "info", "warning", "error"],
        help="default: info",
    )
    return parser
