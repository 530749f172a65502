"""First-order facts, one a line: `p(a).` or `p(a, b).`, read by Spark's expressions.

The constants of a fact are words that begin with a small letter or a digit, or texts in quotes, in which `\\` stands
before a quote; words that begin with a capital letter are variables, which only rules have.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from pipeline.config import Config
from pipeline.config.facts import Facts
from pipeline.config.forms import ROOT, FactSource
from pipeline.config.sources import Table
from pipeline.errors import UserError
from pipeline.sources.files import open_at
from pipeline.sources.marks import DEFECT, RAW

TRUE = "true"
"""What a predicate of one argument leads to, so that p(a) is the triple (a, p, true)."""
_NAME = r"([a-z]\w*(?:\.\w+)*)"
_TERM = r"""((?U)[\p{Ll}\d+-][\w.:+@/#-]*|'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
_END = r"\s*\)\s*\.?\s*(?:%.*)?$"
_FACT = rf"^\s*{_NAME}\s*\(\s*{_TERM}(?:\s*,\s*{_TERM})?{_END}"
_NO_FACT = r"^\s*(?:%.*)?$"
_ANY = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,()'"]*)"""
_OTHER_ARITY = rf"^\s*{_NAME}\s*\(\s*(?:{_ANY}(?:,{_ANY}){{2,}})?{_END}"
_WITH_VARIABLE = rf"^\s*{_NAME}\s*\((?:{_ANY},)?\s*[\p{{Lu}}_]\w*\s*(?:,{_ANY})?{_END}"


def read_facts(config: Config, facts: Facts) -> DataFrame:
    """predicate, first, second string (null for one argument); `_defect` (null for good ones) and `_raw` (as JSON)."""
    what = f"facts {facts.name}"
    lines_df = open_at(config, Table(path=facts.path), what, "text").select(F.col("value").alias("line"))
    line = F.col("line")
    parts = [F.regexp_extract(line, _FACT, i) for i in (1, 2, 3)]
    reasons = {
        "is not UTF-8": ~F.is_valid_utf8(line),
        "takes one or two arguments": line.rlike(_OTHER_ARITY),
        "has a variable: a constant begins with a small letter or stands in quotes": line.rlike(_WITH_VARIABLE),
        "is no fact p(a) or p(a, b)": ~line.rlike(_FACT),
    }
    facts_df = lines_df.where(~line.rlike(_NO_FACT)).select(
        parts[0].alias("predicate"),
        _constant(parts[1]).alias("first"),
        F.when(parts[2] != "", _constant(parts[2])).alias("second"),
        F.coalesce(*(F.when(wrong, F.lit(f"the line {reason}")) for reason, wrong in reasons.items())).alias(DEFECT),
        F.to_json(F.struct(F.make_valid_utf8(line).alias("line"))).alias(RAW),
    )
    empty = F.col(DEFECT).isNull() & ((F.col("first") == "") | (F.col("second") == ""))
    defect = F.when(empty, F.lit("the line has an empty constant")).otherwise(F.col(DEFECT))
    return facts_df.withColumn(DEFECT, defect)


def good_facts(facts_df: DataFrame) -> DataFrame:
    return facts_df.where(F.col(DEFECT).isNull()).drop(DEFECT, RAW)


def check_facts(facts_df: DataFrame, facts: Facts) -> None:
    """Raises UserError for a predicate that has one argument here and two there, and where there is no entity."""
    arity = F.when(F.col("second").isNull(), 1).otherwise(2)
    counted_df = good_facts(facts_df).groupBy("predicate").agg(F.min(arity).alias("least"), F.max(arity).alias("most"))
    mixed = counted_df.where("least < most").orderBy("predicate").first()
    if mixed is not None:
        raise UserError(
            f"facts {facts.name}: {mixed['predicate']} has one argument in some facts and two in others; "
            "give it two names"
        )
    if counted_df.where((F.col("predicate") == facts.entity) & (F.col("most") == 1)).isEmpty():
        unary = [row["predicate"] for row in counted_df.where("most = 1").orderBy("predicate").limit(20).collect()]
        raise UserError(
            f"facts {facts.name}: no fact {facts.entity}(a), which would make a an entity; predicates of one argument: "
            f"{', '.join(unary) or 'none'}"
        )


def fact_entities(config: Config, source: FactSource) -> DataFrame:
    """`_root`: each constant of the entity's predicate, once."""
    facts = next(one for one in config.facts if one.name == source.facts)
    own = (F.col("predicate") == facts.entity) & F.col("second").isNull()
    return good_facts(read_facts(config, facts)).where(own).select(F.col("first").alias(ROOT)).distinct()


def _constant(text: Column) -> Column:
    """A constant without its quotes."""
    inner = F.substring(text, F.lit(2), F.length(text) - 2)
    return F.when(text.rlike("^['\"]"), F.trim(F.regexp_replace(inner, r"\\(.)", "$1"))).otherwise(text)
