"""Where models are found: in the codec's configuration, this process, the package, a cache, other places.

A model is asked for by name, path or digest. Its digest is checked wherever it comes from.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING

from frazil.errors import ConfigurationError, FormatError, MissingModelError
from frazil.models.digests import DIGEST, check_digest, digest_of
from frazil.models.encoder import Encoder
from frazil.models.format import NAME, Decoder
from frazil.models.inline import from_inline
from frazil.models.locators import fetch, keep, read_file, remove, write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

DECODER, ENCODER = ".decoder.safetensors", ".encoder.safetensors"
MOST_READ = 32  # decoders that are kept in memory, besides registered ones


@dataclass(frozen=True)
class Model:
    """A decoder, and the encoder if there is one at hand.

    Parameters
    ----------
    name : str
    decoder : Decoder
    encoder : Encoder, optional
        Only writers need it.
    """

    name: str
    decoder: Decoder
    encoder: Encoder | None = None

    def __post_init__(self) -> None:
        """Check that they belong together."""
        if self.encoder is None:
            return
        if self.encoder.decoder != self.decoder.digest:
            raise ConfigurationError(
                f"the encoder of {self.name} belongs to decoder {self.encoder.decoder}, not "
                f"{self.decoder.digest}"
            )
        found = self.encoder.channels, self.encoder.factor
        if found != (self.decoder.channels, self.decoder.factor):
            raise ConfigurationError(f"encoder and decoder of {self.name} differ in channels or factor")

    @property
    def digest(self) -> str:
        """Of the decoder."""
        return self.decoder.digest

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write NAME.decoder.safetensors, and NAME.encoder.safetensors if there is an encoder.

        Each file is there whole or not at all; what had its name before is replaced. The encoder comes first,
        so that whoever finds the decoder finds both.

        Parameters
        ----------
        folder : path
            Made if it is not there.

        Returns
        -------
        pathlib.Path
            Of the decoder's file, which `frazil.Latent` and `frazil.models.find` take.

        Raises
        ------
        ConfigurationError
            If the name could not be a file's.
        StoreError
            If the files cannot be written.
        """
        if not NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"a model's name is small letters, digits, '.', '_', '-', got {self.name[:80]!r}"
            )
        path = Path(folder) / (self.name + DECODER)
        beside = Path(folder) / (self.name + ENCODER)
        if self.encoder is None:
            remove(beside)  # one of another model would be taken for this one's
        else:
            write_whole(self.encoder.to_bytes(), beside)
        write_whole(self.decoder.to_bytes(), path)
        return path


class ModelStore:
    """Models by name, path or digest.

    One of them, `frazil.models.find`, serves the process; make others for tests.

    Parameters
    ----------
    shipped : path, optional
        Folder of models that come with the package; by default frazil's.
    cache : path, optional
        Folder of models that were fetched; by default $FRAZIL_MODEL_CACHE, or frazil/models in
        $XDG_CACHE_HOME or ~/.cache.
    """

    def __init__(self, shipped: str | Path | None = None, cache: str | Path | None = None) -> None:
        self._shipped, self._cache = shipped, cache
        self._registered: dict[str, Model] = {}
        self._read: OrderedDict[str, Model] = OrderedDict()
        self._lock = RLock()
        self.network = False

    @property
    def shipped(self) -> Path:
        """Folder of models that come with the package."""
        return Path(self._shipped) if self._shipped else Path(str(files("frazil.models"))) / "shipped"

    @property
    def cache(self) -> Path:
        """Folder of models that were fetched."""
        if self._cache:
            return Path(self._cache)
        given = os.environ.get("FRAZIL_MODEL_CACHE")
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(given) if given else Path(home).expanduser() / "frazil" / "models"

    def list_models(self) -> list[str]:
        """Return the names of the models that come with the package, sorted."""
        return sorted(p.name.removesuffix(DECODER) for p in self.shipped.glob(f"*{DECODER}"))

    def register(self, model: Model | Decoder | str | os.PathLike[str]) -> Model:
        """Make a model known to this process, so that arrays that name its digest can be read.

        Parameters
        ----------
        model : Model, Decoder or path of a decoder's file
        """
        made = Model(model.name, model) if isinstance(model, Decoder) else self.find(model)
        with self._lock:
            self._registered[made.digest] = made
        return made

    def find(
        self,
        reference: Model | str | os.PathLike[str],
        *,
        inline: str | None = None,
        locators: Sequence[str] = (),
    ) -> Model:
        """Find a model.

        Parameters
        ----------
        reference : Model, name, path or "sha256:..."
        inline : str, optional
            The decoder as `to_inline` wrote it.
        locators : sequence of str
            Paths and URLs where the decoder may be, if it is nowhere else. URLs are followed only after
            ``frazil.models.allow_network(True)``.

        Raises
        ------
        MissingModelError
            With the digest and each place that was tried.
        FormatError
            If what was found is no model.
        """
        if isinstance(reference, Model):
            return reference
        text = os.fspath(reference)
        if DIGEST.fullmatch(text):
            return self._by_digest(text, inline, locators)
        if isinstance(reference, str) and NAME.fullmatch(text) and text in self.list_models():
            return self._file(self.shipped / (text + DECODER))
        path = Path(text)
        if path.is_file():
            return self._file(path)
        names = ", ".join(self.list_models()) or "none"
        raise MissingModelError(
            f"{text[:200]!r} is no model: there is no such file, and those that come with frazil are {names}"
        )

    def knows(self, digest: str) -> bool:
        """Whether a model is at hand without looking at files and addresses: registered, read or shipped."""
        with self._lock:
            at_hand = digest in self._registered or digest in self._read
        return at_hand or digest in shipped_digests(str(self.shipped))

    def encoder_of(self, digest: str) -> Encoder | None:
        """Return the encoder of a registered, read or shipped model, None if there is none."""
        with self._lock:
            known = [models[digest] for models in (self._registered, self._read) if digest in models]
        found = [model.encoder for model in known if model.encoder is not None]
        if not found and digest in shipped_digests(str(self.shipped)):
            return self._file(shipped_digests(str(self.shipped))[digest]).encoder
        return found[0] if found else None

    def _by_digest(self, digest: str, inline: str | None, locators: Sequence[str]) -> Model:
        with self._lock:
            known = self._registered.get(digest) or self._read.get(digest)
        if known is not None:
            return known
        tried = ["the models registered in this process"]
        path = shipped_digests(str(self.shipped)).get(digest)
        if path is not None:  # before the inlined decoder, which is the same and has no encoder
            return self._file(path)
        if inline is not None:
            return self._keep(_plain(from_inline(inline, digest)))
        tried.append(f"those that come with frazil ({self.shipped})")
        path = self.cache / f"sha256-{digest[7:]}{DECODER}"
        if path.is_file():
            data = read_file(path)
            if digest_of(data) == digest:
                return self._keep(_plain(data))
            tried.append(f"{path} (damaged: remove it)")
        else:
            tried.append(f"the cache {self.cache}")
        for locator in locators:
            found = self._locate(locator, digest, tried)
            if found is not None:
                return found
        raise MissingModelError(
            f"no model {digest} was found. Tried: {'; '.join(tried)}. Register its decoder's file with "
            "frazil.models.register(path), or the store that holds it with "
            "frazil.models.register_models(store)"
        )

    def _locate(self, locator: str, digest: str, tried: list[str]) -> Model | None:
        place = str(locator)[:200]
        try:
            data = fetch(str(locator), network=self.network)
            check_digest(data, digest, place)
        except (OSError, FormatError, ConfigurationError) as error:
            tried.append(f"{place} ({' '.join(str(error).split())[:300]})")
            return None
        if "://" in place:
            keep(data, self.cache / f"sha256-{digest[7:]}{DECODER}")
        return self._keep(_plain(data))

    def _file(self, path: Path) -> Model:
        """Read a decoder's file, and the encoder's beside it."""
        data = read_file(path)
        digest = digest_of(data)
        beside = path.with_name(path.name.removesuffix(DECODER) + ENCODER)
        with_encoder = path.name.endswith(DECODER) and beside.is_file()
        with self._lock:
            known = self._read.get(digest)
        if known is not None and (known.encoder is not None or not with_encoder):
            return known
        encoder = Encoder.from_bytes(read_file(beside)) if with_encoder else None
        decoder = known.decoder if known else Decoder.from_bytes(data)
        return self._keep(Model(decoder.name, decoder, encoder))

    def _keep(self, model: Model) -> Model:
        with self._lock:
            self._read[model.digest] = model
            while len(self._read) > MOST_READ:
                self._read.popitem(last=False)
        return model


def _plain(data: bytes) -> Model:
    """Read a decoder without an encoder."""
    decoder = Decoder.from_bytes(data)
    return Model(decoder.name, decoder)


@cache
def shipped_digests(folder: str) -> dict[str, Path]:
    """Digests of the decoders in a folder."""
    return {digest_of(read_file(path)): path for path in sorted(Path(folder).glob(f"*{DECODER}"))}


STORE = ModelStore()


def find(
    reference: Model | str | os.PathLike[str], *, inline: str | None = None, locators: Sequence[str] = ()
) -> Model:
    """Find a model by name, path or digest; see `ModelStore.find`."""
    return STORE.find(reference, inline=inline, locators=locators)


def register(model: Model | Decoder | str | os.PathLike[str]) -> Model:
    """Make a model known to this process; see `ModelStore.register`."""
    return STORE.register(model)


def list_models() -> list[str]:
    """Return the names of the models that come with frazil, sorted."""
    return STORE.list_models()


def allow_network(allowed: bool = True) -> None:
    """Let models be fetched from the URLs that arrays name; by default nothing is."""
    STORE.network = allowed
