"""The model of a run: constructed from shards and configuration, and started from what is known."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from models.ensemble import members_of
from models.initial import field_vectors
from models.masked import MaskedModel
from models.mixture import ExpertMixture
from models.registry import MODELS, build_model, check_settings, setting_defaults, setting_types
from pipeline.config import Config
from pipeline.errors import UnfitValues, UserError
from pipeline.shards.dataset import ShardSet
from pipeline.train.context import Context
from pipeline.train.linear_start import fit_tasks, start_linear
from pipeline.train.space import chains_of
from pipeline.train.start import SAMPLE_ROWS, LabelStatistics, concept_embeddings
from pipeline.train.targets import open_labels

logger = logging.getLogger(__name__)

SPARSE_FROM = 50_000
"""Vocabulary size from which on `sparse_embeddings: auto` means sparse."""
_SET_ELSEWHERE = {
    "auxiliary": "train.auxiliary.tasks",
    "sparse_embeddings": "train.sparse_embeddings",
    "chains": "chains",
}


def model_settings(config: Config, shards: ShardSet) -> dict[str, Any]:
    """The constructor's settings: `model.settings`, and those that follow from `train` and `chains`.

    Raises UserError for a model, setting or type that the registry does not know, and chains that the shards do not.
    """
    check_model(config)
    vocabulary_size = shards.vocabulary_size
    name, settings = config.model.name, dict(config.model.settings)
    wanted = {
        "auxiliary": min(config.train.auxiliary.tasks, vocabulary_size) if config.train.auxiliary.weight else 0,
        "sparse_embeddings": is_sparse(config, vocabulary_size),
    }
    known = setting_types(name)
    for setting, value in wanted.items():
        if setting in known:
            settings[setting] = value
        elif value:
            logger.warning("model %s has no %s: %s is skipped", name, setting, _SET_ELSEWHERE[setting])
    if "chains" in known:
        settings["chains"] = chains_of(config, shards)
    return settings


def check_model(config: Config) -> None:
    """Raises UserError for a model, setting or type that the registry does not know, and where two settings clash."""
    for setting, instead in _SET_ELSEWHERE.items():
        if setting in config.model.settings:
            raise UserError(f"model.settings.{setting}: set {instead} instead")
    try:
        check_settings(config.model.name, config.model.settings)
    except ValueError as error:
        raise UserError(f"model: {error}") from None
    if config.train.linear_start == "logistic":
        if not (setting_defaults(config.model.name) | config.model.settings).get("linear_term"):
            raise UserError("train.linear_start: logistic needs a linear term: set model.settings.linear_term: true")
        if config.chains:
            raise UserError(
                "train.linear_start: logistic fits every segment by itself and knows no chains: leave it out"
            )
    if config.train.targets == "soft" and config.chains:
        raise UserError("train.targets: soft knows no chains, whose steps imply labels: leave it out")
    if config.train.readouts == "prior":
        is_mixture = issubclass(MODELS[config.model.name], ExpertMixture)
        if not is_mixture or config.model.settings.get("tower_hidden") != 0:
            raise UserError(
                "train.readouts: prior is for the linear towers of metaaug and mmoe: set model.settings.tower_hidden: "
                "0, or train.readouts: trained"
            )
        if config.chains:
            raise UserError("train.readouts: prior knows no chains, whose steps imply labels: leave it out")


def is_sparse(config: Config, vocabulary_size: int) -> bool:
    choice = config.train.sparse_embeddings
    return choice == "always" or (choice == "auto" and vocabulary_size > SPARSE_FROM)


def sparse_parameters(model: nn.Module) -> list[str]:
    """The names of parameters whose gradients are sparse: tables of modules that say `sparse`."""
    return [
        f"{path}.{name}"
        for path, module in model.named_modules()
        if getattr(module, "sparse", False)
        for name, _ in module.named_parameters(recurse=False)
    ]


def start_model(context: Context, statistics: LabelStatistics) -> nn.Module:
    """A new model on the rank's device, the same on every rank: random start, output biases, concept embeddings.

    Raises UserError for settings that the model's constructor refuses.
    """
    config, shards, world = context.config, context.shards, context.world
    settings = model_settings(config, shards)
    torch.manual_seed(config.train.seed)
    try:
        model = build_model(
            config.model.name, shards.tasks, shards.masks(), shards.fields(), settings, config.model.members
        )
    except ValueError as error:
        raise UnfitValues(f"model.settings: {error}") from None
    if world.is_first:
        model.start_from_priors(statistics.priors)  # type: ignore[operator]
        if config.train.embedding_start == "correspondence" or config.train.field_scale:
            for number, member in enumerate(members_of(model)):
                _start_embeddings(member, context, number)
        if config.train.linear_start == "logistic":
            _start_linear_terms(members_of(model), context, statistics)
    model.to(context.device)
    world.broadcast_([parameter.detach() for parameter in model.parameters()])
    return model


def _start_linear_terms(members: Sequence[nn.Module], context: Context, statistics: LabelStatistics) -> None:
    """The same start for all: they differ in the rest."""
    offset = float(members[0].norm_offset)  # type: ignore[arg-type]
    fitted = fit_tasks(open_labels(context.shards, context.layout), offset, SAMPLE_ROWS, context.settings.threads)
    for member in members:
        assert isinstance(member, MaskedModel)
        start_linear(member, fitted, statistics)


@torch.no_grad()
def _start_embeddings(model: nn.Module, context: Context, number: int) -> None:
    """Start the concept embeddings as `train` says, in a model that has a table `embedding.weight` [V, dim].

    A table that is several side by side (`tables`, as of single tasks) has the same start in each.
    number: its place among the members of an ensemble, each of which has another random part.
    """
    settings, shards = context.settings, context.shards
    table = getattr(getattr(model, "embedding", None), "weight", None)
    if table is None:
        logger.warning("model %s has no embedding table: train.embedding_start is skipped", context.config.model.name)
        return
    copies = getattr(model, "tables", 1)
    dim = table.shape[1] // copies
    if settings.embedding_start == "correspondence":
        began = time.monotonic()
        start = concept_embeddings(shards, dim, settings.seed + number, settings.embedding_scale)
        table.copy_(start.repeat(1, copies))
        logger.info("concept embeddings from correspondence analysis in %.1f s", time.monotonic() - began)
    if settings.field_scale:
        vectors = field_vectors(shards.fields(), dim, settings.seed + number, settings.field_scale)
        table.add_(vectors.repeat(1, copies))
