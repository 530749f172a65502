"""Typed configuration: YAML files + --set key=value, refused at once where a key or a type is wrong."""

from pipeline.config.load import load_config, to_yaml
from pipeline.config.schema import Config

__all__ = ["Config", "load_config", "to_yaml"]
