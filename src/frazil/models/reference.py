"""How a codec's configuration names its model: by digest, with the decoder itself where it is small."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from frazil.errors import ConfigurationError

if TYPE_CHECKING:
    from frazil.models.encoder import Encoder
    from frazil.models.store import Model


@dataclass(frozen=True)
class ModelReference:
    """What an array's metadata say of a model.

    Parameters
    ----------
    digest : str
        ``"sha256:"`` and the hash of the decoder's file.
    name : str, optional
        For people; nothing is looked up by it.
    inline : str, optional
        The decoder: base85 of deflated bytes.
    locators : tuple of str
        Files or addresses where it may be found.
    """

    digest: str
    name: str | None = field(default=None, compare=False)
    inline: str | None = field(default=None, compare=False)
    locators: tuple[str, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        """Show the digest, which a codec takes for a model as well."""
        return repr(self.digest)

    @classmethod
    def of(cls, model: Any) -> ModelReference:
        """Make a reference of whatever a user or an array's metadata give.

        Raises
        ------
        ConfigurationError
            If it is nothing that names a model.
        MissingModelError
            If it is a name or a file, and there is no such model.
        """
        if isinstance(model, ModelReference):
            return model
        if isinstance(model, dict):
            known = {"digest", "name", "inline", "locators"}
            if not isinstance(model.get("digest"), str) or set(model) - known:
                raise ConfigurationError(
                    f"a model is {{'digest': 'sha256:...'}} with name, inline and locators beside, got keys "
                    f"{', '.join(map(repr, model)) or 'none'}"
                )
            return cls(**model | {"locators": tuple(model.get("locators", ()))})
        if isinstance(model, str) and model.startswith("sha256:"):
            return cls(model)
        from frazil.models.inline import fits_inline, to_inline
        from frazil.models.store import find, register

        found = find(model)
        if not isinstance(model, str) or found.name != model:
            found = register(found)  # so that chunks of this process find it, and its encoder
        data = found.decoder.to_bytes()
        return cls(found.digest, found.name, to_inline(data) if fits_inline(data) else None)

    def to_json(self) -> dict[str, Any]:
        """Return what is written to the array's metadata."""
        values = {
            "digest": self.digest,
            "name": self.name,
            "inline": self.inline,
            "locators": list(self.locators),
        }
        return {key: value for key, value in values.items() if value}

    def find(self) -> Model:
        """Find the model.

        Raises
        ------
        MissingModelError
            With the digest and every place that was tried.
        """
        from frazil.models.store import find

        return find(self.digest, inline=self.inline, locators=self.locators)

    def find_encoder(self) -> Encoder:
        """Find the model's encoder among registered and shipped models.

        Raises
        ------
        MissingModelError
            If it is with neither.
        """
        from frazil.errors import MissingModelError
        from frazil.models.store import STORE

        encoder = STORE.encoder_of(self.digest)
        if encoder is None:
            raise MissingModelError(
                f"the encoder of model {self.name or ''} {self.digest} is not at hand: arrays bring their "
                "decoder with them, writing takes the encoder as well. Register both files with "
                "frazil.models.register(path)"
            )
        return encoder
