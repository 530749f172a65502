"""Reading configuration: files, includes, overrides, and errors a person can act on."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.config.merge import merge
from pipeline.config.refusals import explain
from pipeline.config.schema import Config
from pipeline.errors import UserError


def load_config(paths: Sequence[str | Path], overrides: Sequence[str] = ()) -> Config:
    """Read YAML files in order, later ones over earlier ones, then `key.path=value` overrides.

    A file may name others to read first under `include:`, relative to itself.
    Raises UserError naming the file or key and, for a misspelt key, the nearest known one.
    """
    merged: dict[str, Any] = {}
    for path in paths:
        merged = merge(merged, _read(Path(path), ()))
    for override in overrides:
        merged = merge(merged, _override(override))
    merged = {section: content for section, content in merged.items() if content is not None}  # empty: the defaults
    if isinstance(merged.get("segments"), list):
        merged["segments"] = [one for each in merged["segments"] for one in _expand(each)]
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        raise UserError(explain(error, merged)) from None
    workdir = config.run.workdir.replace("{name}", config.run.name)
    if "{" in workdir:
        raise UserError(f"run.workdir: {config.run.workdir!r} may hold {{name}} and no other {{…}}")
    return config.model_copy(update={"run": config.run.model_copy(update={"workdir": workdir})}).with_derived()


def to_yaml(config: Config) -> str:
    """The resolved configuration, defaults included, as YAML."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in above:
        raise UserError(f"{path}: includes itself; take the include out")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such configuration file") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {error}") from None
    content = content or {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: a configuration is a mapping of sections, not a {type(content).__name__}")
    included = content.pop("include", [])
    merged: dict[str, Any] = {}
    for name in _texts(included, f"{path}: include"):
        merged = merge(merged, _read(path.parent / name, (*above, path.resolve())))
    return merge(merged, content)


def _texts(values: Any, where: str) -> list[str]:
    """A text or a list of texts as a list; YAML's numbers as they are written."""
    listed = values if isinstance(values, list) else [values]
    if any(isinstance(value, dict | list | bool) or value is None for value in listed):
        raise UserError(f"{where}: a list of texts is wanted here, not {values!r} (put quotes round yes, no and null)")
    return [str(value) for value in listed]


def _override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise UserError(f"--set {text}: write it as section.key=value")
    try:
        nested = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise UserError(f"--set {text}: the value is not YAML: {error}") from None
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return nested


def _expand(segment: Any) -> list[Any]:
    """A segment with `for_each` stands for one segment a combination of values."""
    if not isinstance(segment, dict) or not isinstance(segment.get("for_each"), dict):
        return [segment]
    what = f"segment {segment.get('name')}: for_each"
    axes = {name: _texts(values, f"{what}.{name}") for name, values in segment["for_each"].items()}
    template = {key: value for key, value in segment.items() if key != "for_each"}
    combinations = itertools.product(*axes.values())
    return [_fill(template, dict(zip(axes, values, strict=True))) for values in combinations]


def _fill(template: Any, values: dict[str, str]) -> Any:
    if isinstance(template, str):
        for name, value in values.items():
            template = template.replace("{" + name + "}", value)
        return template
    if isinstance(template, dict):
        return {key: _fill(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [_fill(item, values) for item in template]
    return template
