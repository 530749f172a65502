"""Tables of a database server, copied once into the table catalogue, so that all stages read the same rows.

Only PostgreSQL's driver is brought along. The password stays in the environment: it is in no configuration, log or
error.
"""

from __future__ import annotations

import logging
import os

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.relational import Database, DatabaseTable, Jdbc
from pipeline.errors import UserError
from pipeline.session import get_session
from pipeline.sources.databases import copy_of
from pipeline.sources.files import first_line
from pipeline.tables import Tables

logger = logging.getLogger(__name__)
_DRIVER = "org.postgresql.Driver"


def copy_tables(config: Config) -> dict[str, int]:
    """Copy every table with a `dbtable`, each replaced as a whole; how many rows each has. Raises UserError for a
    password that is not set and for what the server says, before the table that stands is replaced."""
    for database in config.databases:
        if database.jdbc is not None:
            _password(database, database.jdbc)
    spark = get_session(config)
    tables = Tables(config, spark)
    rows: dict[str, int] = {}
    for database in config.databases:
        for table in database.tables:
            if table.dbtable is None or database.jdbc is None:
                continue
            options = _options(database, database.jdbc, table)
            name = copy_of(database, table)
            what = f"database {database.name}: table {table.dbtable} of {database.jdbc.url}"
            try:
                tables.replace(name, spark.read.format("jdbc").options(**options).load())
            except (PySparkException, Py4JJavaError) as error:
                said = first_line(error).replace(options.get("password") or "\0", "…")
                raise UserError(f"{what} cannot be read: {said}") from None
            counted = tables.read(name).agg(F.count("*")).first()
            rows[f"{database.name}.{table.name}"] = counted[0] if counted else 0
            logger.info("%s: %d rows copied", what, rows[f"{database.name}.{table.name}"])
    return rows


def _options(database: Database, jdbc: Jdbc, table: DatabaseTable) -> dict[str, str]:
    """Options of Spark's reader. `dbtable` is a checked name, quoted, so that it is a name to the server too."""
    quoted = ".".join(f'"{part}"' for part in (table.dbtable or "").split("."))
    options = {
        "url": jdbc.url,
        "driver": _DRIVER,
        "dbtable": quoted,
        "fetchsize": str(jdbc.fetch_size),
        "preferTimestampNTZ": "true",  # a timestamp without a zone is not taken for one of this machine's zone
        "sessionInitStatement": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    }
    password = _password(database, jdbc)
    options |= {name: text for name, text in (("user", jdbc.user), ("password", password)) if text}
    if table.partition is not None:
        one = table.partition
        options |= {"partitionColumn": one.column, "numPartitions": str(one.parts)}
        options |= {"lowerBound": str(one.lower), "upperBound": str(one.upper)}
    return options


def _password(database: Database, jdbc: Jdbc) -> str | None:
    if jdbc.password is None:
        return None
    name = jdbc.password.removeprefix("$")
    if name not in os.environ:
        raise UserError(f"database {database.name}: jdbc.password: the environment variable {name} is not set")
    return os.environ[name]
