"""Latents of an autoencoder, or of a block Karhunen-Loeve transform, as whole numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from frazil.codecs.learned import LearnedCodec
from frazil.container import read_varint, write_varint
from frazil.errors import ConfigurationError, FormatError

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.entropy.latents import LatentStates
    from frazil.models.format import Decoder
    from frazil.models.store import Model

    Ints = npt.NDArray[np.int32]

MOST_STEP = 1 << 12
# What a bit is worth, in squared steps of error. It saves 5 to 20 % of the bytes of linear models at equal
# error, 2 to 6 % of those of networks: their decoders were trained for latents rounded to the nearest.
LINEAR, NETWORK = 0.12, 0.05
SHARE = 0.5  # of a bound: the root mean square error of the base that makes bytes fewest, more or less


@dataclass(frozen=True, kw_only=True)
class Latent(LearnedCodec):
    """Latents of a model, rounded in steps, behind an entropy coder that the model was trained with.

    Several variables, levels, bands or hours of a chunk are the model's channels: the model says
    which axis holds them. Chunks of any size in y and x.

    Parameters
    ----------
    model : str or path or Model
        A shipped model's name (`frazil.list_models`), a file, ``"sha256:..."``, or a model that
        `frazil.models.fit_klt` fitted.
    step : int, optional
        Width of the latents' quantiser, in units of the model's finest; its model card says what error
        each gives. By default the model's usual one.
    bound : float or str, optional
        |decoded - original| <= bound at every point, as for `Bounded`: what the model leaves is coded
        too, or the chunk is written without the model where that is smaller.
    missing : float, optional
        See `PlaneCodec`.

    Raises
    ------
    ConfigurationError
        If the model is none for latents, or the step is beyond its range.

    Notes
    -----
    Decoded values are the same bits on every machine: the decoder computes in whole numbers that single
    precision holds exactly. A chunk that is not what the model was trained on is written by `Bounded`.

    Examples
    --------
    >>> import frazil
    >>> y, x = np.mgrid[:64, :96] / 16
    >>> days = np.arange(12)[:, None, None]
    >>> waves = (280 + 8 * np.sin(x + days / 5) * np.cos(y)).astype("f4")
    >>> model = frazil.models.fit_klt(waves[:, None], factor=8, error=0.05)
    >>> codec = Latent(model=model)
    >>> chunk = waves[-1:]
    >>> encoded = codec.encode(chunk)
    >>> bool(abs(codec.decode(encoded) - chunk).mean() < 0.5), bool(len(encoded) < chunk.nbytes / 50)
    (True, True)
    """

    codec_id: ClassVar[str] = "frazil.latent"
    section: ClassVar[str] = "L"
    kind: ClassVar[str] = "latent"
    step: int | None = None

    def __post_init__(self) -> None:
        """Check the configuration."""
        super().__post_init__()
        whole = isinstance(self.step, int) and not isinstance(self.step, bool)
        if self.step is not None and not (whole and 1 <= self.step <= MOST_STEP):
            raise ConfigurationError(f"step is a whole number, 1 to {MOST_STEP}, got {self.step!r}")

    def _step(self, model: Model) -> int:
        steps = model.decoder.steps
        assert steps is not None  # noqa: S101 - for the type checker: models of this kind have them
        step = steps.default if self.step is None else self.step
        if not steps.least <= step <= steps.most:
            raise ConfigurationError(
                f"the model {model.name} takes steps from {steps.least} to {steps.most}, got step={step}"
            )
        return step

    def candidates(self, planes: npt.NDArray[Any], allowed: float) -> list[LearnedCodec]:
        """Return three steps around the one whose error is about half of what is allowed."""
        steps = self.found.decoder.steps
        if self.step is not None or steps is None:
            return [self.plain]
        usual = replace(self, bound=None, step=steps.default)
        decoded = usual.coded(planes, guard=False)[1]
        error = float(np.sqrt(np.mean((decoded.astype("f8") - planes) ** 2)))
        best = steps.default * SHARE * allowed / error if error > 0 else steps.most
        tried = {int(np.clip(round(best * part), steps.least, steps.most)) for part in (0.7, 1.0, 1.4)}
        return [replace(usual, step=step) for step in sorted(tried)]

    def _write(self, images: npt.NDArray[np.float64], model: Model) -> tuple[bytes, Ints]:
        """Write the step and the latents, rounded so that a bit is worth its error."""
        from frazil.entropy import latents

        step, decoder = self._step(model), model.decoder
        states = latent_states(decoder)
        worth = NETWORK if any(layer.op == "leaky" for layer in decoder.layers) else LINEAR
        limits = decoder.limit_array[:, None, None]
        z = np.clip(self.encoder.run(images), -limits, limits)
        y = latents.choose(z, states, step, worth=worth)
        y = np.clip(y, -(limits // step), limits // step)
        return write_varint(step) + latents.encode(y, states, step), decoder.latents(y, step)

    def _read(self, payload: bytes, shape: tuple[int, int, int], model: Model) -> tuple[Ints, Ints]:
        from frazil.entropy import latents

        step, at = read_varint(payload, 0, "step of the latents")
        if not 1 <= step <= MOST_STEP:
            raise FormatError(f"latents in steps of {step}: a step is 1 to {MOST_STEP}")
        n, y, x = shape
        states = latent_states(model.decoder)
        found = latents.decode(payload[at:], (n, model.decoder.inputs, y, x), states, step)
        return found, model.decoder.latents(found, step)


@lru_cache(maxsize=32)
def latent_states(decoder: Decoder) -> LatentStates:
    """Return what the entropy coder knows of a model's latents before the first one."""
    from frazil.entropy.latents import LatentStates

    if not decoder.coder:
        return LatentStates.fresh(decoder.inputs)
    return LatentStates.from_tensors({f"coder.{name}": array for name, array in decoder.coder.items()})
