"""How the models that frazil ships were made: one recipe each, minutes on one core.

python -m frazil.train NAME --data FOLDER --output FOLDER
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from frazil.entropy import indices, latents
from frazil.entropy.renumbering import renumber
from frazil.models.klt import fit_basis
from frazil.train import export, material
from frazil.train.autoencoder import Autoencoder, AutoencoderSettings
from frazil.train.export import Facts
from frazil.train.loop import Schedule, train
from frazil.train.patches import patches
from frazil.train.tokeniser import Tokeniser, TokeniserSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy.typing as npt

    from frazil.codecs.learned import LearnedCodec
    from frazil.models.klt import BlockBasis
    from frazil.models.store import Model
    from frazil.train.material import Material

    Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a model is trained on, how large it is, and for how long.

    Parameters
    ----------
    material : callable
        Of the folder of the data.
    factor : int
        Side of a block.
    kept : int
        Axes of the linear transform.
    settings : AutoencoderSettings or TokeniserSettings
    schedule : Schedule
    size : tuple of int
        Of a training patch.
    turn : bool
        Whether patches may be flipped and transposed.
    offsets : int
        Blocks of the linear transform begin at so many places.
    trust : float
    what : str
        For the card.
    """

    material: Callable[[Path], Material]
    factor: int
    kept: int
    settings: AutoencoderSettings | TokeniserSettings
    schedule: Schedule
    size: tuple[int, int]
    turn: bool = False
    offsets: int = 2
    trust: float = 1.0
    what: str = ""


QUICK = Schedule(steps=1500, rate=1e-3, slowly=("project", "expand"), held=("encoder", "project"))
RECIPES = {
    "s2-l2a-ae-f8": Recipe(
        material=material.scenes,
        factor=8,
        kept=112,
        settings=AutoencoderSettings(unit=0.25, steps=(1, 8, 4), width=64, blocks=3),
        schedule=Schedule(steps=12000),
        size=(96, 96),
        turn=True,
        what="autoencoder of 8 x 8 points and 12 bands",
    ),
    "s2-l2a-vq-f4": Recipe(
        material=material.scenes,
        factor=4,
        kept=64,
        settings=TokeniserSettings(size=1024, depth=10, squares=10),
        schedule=QUICK,
        size=(64, 64),
        turn=True,
        trust=2.0,
        what="one of 1024 codewords for 4 x 4 points and 12 bands",
    ),
    "s2-l2a-pq-f8": Recipe(
        material=material.scenes,
        factor=8,
        kept=112,
        settings=TokeniserSettings(size=256, depth=10, heads=4, squares=10),
        schedule=QUICK,
        size=(96, 96),
        turn=True,
        trust=2.0,
        what="four codewords of 256 for 8 x 8 points and 12 bands",
    ),
    "t2m-hourly-ae-f4": Recipe(
        material=material.hours,
        factor=4,
        kept=144,
        settings=AutoencoderSettings(unit=0.1, steps=(1, 8, 3), width=48),
        schedule=Schedule(steps=2500),
        size=(32, 48),
        offsets=4,
        what="autoencoder of 4 x 4 points and 24 hours",
    ),
    "jcm-levels-ae-f4": Recipe(
        material=material.levels,
        factor=4,
        kept=160,
        settings=AutoencoderSettings(unit=0.1, steps=(1, 8, 3)),
        schedule=Schedule(steps=2500),
        size=(48, 64),
        what="autoencoder of 4 x 4 points and 11 variables and levels",
    ),
}


def make(
    name: str, folder: Path, *, steps: int | None = None, seed: int = 0, report: Report | None = None
) -> Model:
    """Train one of the models that frazil ships.

    Parameters
    ----------
    name : str
        A key of `RECIPES`.
    folder : Path
        Where the training data are.
    steps : int, optional
        Updates, in place of the recipe's.
    seed : int
    report : callable, optional
        Told of the progress, line by line.

    Returns
    -------
    Model
    """
    recipe = RECIPES[name]
    data = recipe.material(folder)
    schedule = recipe.schedule if steps is None else replace(recipe.schedule, steps=steps)
    torch.manual_seed(seed)
    fields = data.normal(data.train)
    basis = begin(recipe, fields)
    batches = patches(fields, size=recipe.size, batch=8, seed=seed, turn=recipe.turn)
    facts = Facts(name=name, offset=data.offset, scale=data.scale, trust=recipe.trust)
    card = {
        "what": recipe.what,
        "data": data.source,
        "split": data.split,
        "licence": data.licence,
        "made by": f"python -m frazil.train {name}, {schedule.steps} updates, seed {seed}",
    }
    if isinstance(recipe.settings, AutoencoderSettings):
        network = Autoencoder(basis, recipe.settings)
        train(network, batches, network.loss, schedule, whole=network.set_whole, report=report)
        return finish_autoencoder(network, facts, card, data)
    tokens = Tokeniser(basis, recipe.settings)
    tokens.begin(batches)
    if schedule.held:  # the codebooks stay where they are
        tokens.quantiser.decay = 1.0
    train(tokens, batches, tokens.loss, schedule, whole=tokens.set_whole, report=report)
    return finish_tokeniser(tokens, facts, card, data, turn=recipe.turn)


def begin(recipe: Recipe, fields: list[npt.NDArray[np.float32]]) -> BlockBasis:
    """Fit the linear transform that training starts from."""
    some = fields[:: max(1, len(fields) // 80)]
    return fit_basis(some, recipe.factor, least=1e-3, most=recipe.kept, offsets=recipe.offsets)


def finish_autoencoder(network: Autoencoder, facts: Facts, card: dict[str, Any], data: Material) -> Model:
    """Export an autoencoder, its coder taught by the training data, with its errors on others."""
    draft = export.autoencoder(network, facts, {})
    assert draft.encoder is not None  # noqa: S101 - for the type checker: it was just made
    whole = _whole(data.train, network.decoder.factor)
    few = whole[:: max(1, len(whole) // 40)]
    z = [draft.encoder.run(field[None])[0] for field in few]
    least, most, usual = network.settings.steps
    steps = sorted({least, min(2, most), usual, (usual + most) // 2, most})
    pairs = [(np.rint(part[None] / step).astype(np.int32), step) for part in z for step in steps]
    coder = latents.LatentStates.learn(pairs, draft.decoder.inputs).to_tensors()
    from frazil.codecs.latent import Latent

    model = export.autoencoder(network, facts, coder)
    held = _whole(data.held, draft.decoder.factor)
    errors = {str(step): _error(Latent(model=model, step=step), held, data) for step in (least, usual, most)}
    metrics = {"nRMSE of held-out fields at step": errors}
    return export.autoencoder(network, replace(facts, card=card | metrics), coder)


def finish_tokeniser(
    network: Tokeniser, facts: Facts, card: dict[str, Any], data: Material, *, turn: bool = False
) -> Model:
    """Export a tokeniser: codewords numbered by likeness, and a coder that has seen the training data's."""
    from frazil.codecs.codeword import Codeword, nearest

    table = network.quantiser.table().numpy()
    order = np.stack([renumber(book) for book in table])
    draft = export.tokeniser(network, facts, {}, order)
    assert draft.encoder is not None  # noqa: S101 - for the type checker: it was just made
    words = draft.decoder.table * draft.encoder.table_scale
    whole = _whole(data.train, draft.decoder.factor)
    seen = _turned(whole, draft.decoder.factor) if turn else list(whole)
    maps = [nearest(draft.encoder.run(field[None]), words)[0] for field in seen]
    coder = indices.learn(maps, draft.decoder.size).to_tensors()
    model = export.tokeniser(network, facts, coder, order)
    held = _whole(data.held, draft.decoder.factor)
    metrics = {"nRMSE of held-out fields": _error(Codeword(model=model), held, data)}
    return export.tokeniser(network, replace(facts, card=card | metrics), coder, order)


def _whole(fields: npt.NDArray[Any], factor: int) -> npt.NDArray[Any]:
    """Whole blocks of fields (n, C, y, x)."""
    _, _, y, x = fields.shape
    return fields[:, :, : y // factor * factor, : x // factor * factor]


def _turned(fields: npt.NDArray[Any], factor: int) -> list[npt.NDArray[Any]]:
    """Fields, mirrored, transposed, and cut half a block further: what the coder may well see."""
    found = []
    for field in fields:
        for view in (field, field.transpose(0, 2, 1)):
            found += [view, view[:, ::-1], view[:, :, ::-1], view[:, ::-1, ::-1]]
        half = factor // 2
        found.append(field[:, half : half - factor, half : half - factor])
    return found


def _error(codec: LearnedCodec, held: npt.NDArray[Any], data: Material) -> float:
    """Root mean square error of the held-out fields, each channel in its standard deviation."""
    decoded = [codec.decode(codec.encode(field)) for field in held]
    error = (np.stack(decoded).astype("f8") - held) / data.scale[:, None, None]
    return round(float(np.sqrt((error**2).mean())), 4)
