"""The model folder: `weights.safetensors` + `model.json`, written whole, read without pickle.

    model/
      CURRENT            -> 5c9f…
      5c9f…/
        weights.safetensors   parameters and buffers, causal masks and the field of each concept among them
        model.json            what the weights are: `ModelSpec`

No import of Spark or Horovod here: bulk scoring reads the folder inside a Spark Python worker.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from models.masks import TaskMasks
from models.registry import build_model
from models.task import Task
from pipeline.errors import UserError
from pipeline.generations import POINTER, current_generation, new_generation
from pipeline.layout import Layout

SCHEMA_VERSION = 1
WEIGHTS = "weights.safetensors"
SPEC = "model.json"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Architecture(_Part):
    """A name in models/registry.py, the keyword arguments of its constructor, and how many such are averaged."""

    name: str
    settings: dict[str, Any] = {}
    members: int = Field(default=1, ge=1)


class TaskSpec(_Part):
    """A task of the model; its id is its position."""

    name: str
    kind: Literal["binary", "multiclass", "regression"] = "binary"
    outputs: int = Field(default=1, ge=1)
    classes: list[str] = []
    group: str | None = None

    def task(self) -> Task:
        return Task(name=self.name, kind=self.kind, outputs=self.outputs)


class ModelSpec(_Part):
    """model.json: everything about a model but its weights."""

    schema_version: int = SCHEMA_VERSION
    architecture: Architecture
    vocabulary_hash: str
    vocabulary_size: int = Field(ge=1)
    tasks: list[TaskSpec] = Field(min_length=1)
    thresholds: dict[str, float] = {}
    """Binary segment -> the score from which on an entity is in it."""
    metrics: dict[str, Any] = {}
    training: dict[str, Any] = {}
    code_version: str = ""
    weights_sha256: str = ""


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode on the CPU, what is known of it, and its version (the generation's name)."""

    model: nn.Module
    spec: ModelSpec
    version: str


def write_model(root: Path, model: nn.Module, spec: ModelSpec) -> Path:
    """Write a model as the new current generation under `root` and return its folder.

    `code_version` and `weights_sha256` are filled in here. The generation is named by the content, so that the
    same weights under the same spec have the same version. Raises UserError when root cannot be written.
    """
    weights = save_tensors(_distinct(model.state_dict()))
    spec = spec.model_copy(
        update={
            "code_version": spec.code_version or code_version(),
            "weights_sha256": hashlib.sha256(weights).hexdigest(),
        }
    )
    content = json.dumps(spec.model_dump(mode="json"), indent=2, allow_nan=False) + "\n"
    whole = hashlib.sha256(weights)
    whole.update(content.encode("utf-8"))
    name = whole.hexdigest()[:12]
    with new_generation(root, name) as folder:
        (folder / WEIGHTS).write_bytes(weights)
        (folder / SPEC).write_text(content, encoding="utf-8")
    return current_generation(root, "model", "train")


def load_model(where: Layout | Path | str) -> LoadedModel:
    """The current model of a run, of a folder with generations, or of one generation's folder.

    Raises UserError, naming the file, where there is no model, or its files are truncated, altered or foreign.
    """
    folder = _folder(where)
    spec = _read_spec(folder / SPEC)
    tensors = _read_weights(folder / WEIGHTS, spec)
    try:
        masks = _read_masks(tensors, spec)
        model = build_model(
            spec.architecture.name,
            [task.task() for task in spec.tasks],
            masks,
            _named(tensors, "fields"),
            spec.architecture.settings,
            spec.architecture.members,
        )
        model.load_state_dict(tensors)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{folder}: weights and {SPEC} do not make a {spec.architecture.name!r} model: {error}; train it again"
        ) from None
    return LoadedModel(model.eval(), spec, folder.name)


def check_vocabulary(
    spec: ModelSpec, vocabulary_hash: str, where: Path | str, hash_of_first: Callable[[int], str] | None = None
) -> None:
    """Raises UserError when a model was trained on another vocabulary than `where` has.

    hash_of_first: the fingerprint of the first so many concepts, where a vocabulary will do that has grown since: it
    begins with the one that the model was trained on.
    """
    if spec.vocabulary_hash == vocabulary_hash:
        return
    if hash_of_first is None or spec.vocabulary_hash != hash_of_first(spec.vocabulary_size):
        raise UserError(
            f"{where}: vocabulary {vocabulary_hash[:12]} is not the one the model was trained on "
            f"({spec.vocabulary_hash[:12]}); train again on these shards, or use the shards of the model"
        )


def code_version() -> str:
    """What `git describe` says where this file lies in a checkout, else the version of the installed package."""
    checkout = Path(__file__).resolve().parents[1]
    if (checkout / ".git").exists():
        command = ["git", "describe", "--always", "--dirty", "--tags"]
        try:
            described = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=20, check=True)
            return described.stdout.strip()
        except (OSError, subprocess.SubprocessError):
            pass
    try:
        return metadata.version("metacon")
    except metadata.PackageNotFoundError:
        return "unknown"


def _folder(where: Layout | Path | str) -> Path:
    root = where.model if isinstance(where, Layout) else Path(where)
    if not (root / POINTER).exists() and any((root / name).exists() for name in (SPEC, WEIGHTS)):
        return root
    return current_generation(root, "model", "train")


def _read_spec(path: Path) -> ModelSpec:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); train the model again") from None
    except ValueError:
        raise UserError(f"{path}: not JSON, so truncated or not a model of MetaCon; train the model again") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema_version is {version!r}, this program reads {SCHEMA_VERSION}; "
            "it is not a model of MetaCon or of another version: train it again"
        )
    try:
        return ModelSpec.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: not a model of MetaCon: {key}: {first['msg']}; train the model again") from None


def _read_weights(path: Path, spec: ModelSpec) -> dict[str, Tensor]:
    """The tensors as they lie in the file, which is mapped: embeddings of millions of concepts are not held twice."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); train the model again") from None
    if digest != spec.weights_sha256:
        raise UserError(f"{path}: not the weights that {SPEC} was written with (checksum); train the model again")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise UserError(f"{path}: not a safetensors file: {error}; train the model again") from None


def _read_masks(tensors: Mapping[str, Tensor], spec: ModelSpec) -> TaskMasks:
    """The causal masks that the weights carry. Masks are numbered by first use, so rebuilding keeps their ids."""
    offsets, concepts = _named(tensors, "mask_offsets").tolist(), _named(tensors, "mask_concepts")
    of_mask = [concepts[start:end] for start, end in pairwise(offsets)]
    task_mask = _named(tensors, "task_mask").tolist()
    if len(task_mask) != len(spec.tasks):
        raise ValueError(f"masks of {len(task_mask)} tasks, {len(spec.tasks)} tasks in {SPEC}")
    return TaskMasks([of_mask[mask] for mask in task_mask], spec.vocabulary_size)


def _named(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    """The tensor of this name in whatever module of the model holds it."""
    for key, tensor in tensors.items():
        if key == name or key.endswith("." + name):
            return tensor
    raise KeyError(f"the weights hold no {name}")


def _distinct(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU that share no memory, as safetensors asks for."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
