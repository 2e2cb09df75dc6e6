"""Training has to beat what it began with, and to come out as the whole numbers that it computed in."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch, which the second stack goes without")

from frazil import Codeword, Latent  # noqa: E402 - after the check for torch
from frazil.entropy import indices, latents  # noqa: E402
from frazil.entropy.renumbering import renumber  # noqa: E402
from frazil.models import run  # noqa: E402
from frazil.models.klt import fit_basis  # noqa: E402
from frazil.train import export  # noqa: E402
from frazil.train.autoencoder import Autoencoder, AutoencoderSettings  # noqa: E402
from frazil.train.loop import Schedule, train  # noqa: E402
from frazil.train.patches import patches  # noqa: E402
from frazil.train.tokeniser import Tokeniser, TokeniserSettings  # noqa: E402


def fronts(n: int, seed: int = 0) -> list[np.ndarray]:
    """Two channels with sharp edges, which no linear transform likes: (2, 48, 48) in standard deviations."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :48]
    found = []
    for _ in range(n):
        a, b, c = rng.normal(size=3)
        front = np.tanh((a * (x - 24) + b * (y - 24) + 9 * c) / 3)
        found.append(
            np.stack([front + 0.3 * np.sin(x / 9 + c), front * 0.7 + 0.2 * np.cos(y / 9 + a)]).astype("f4")
        )
    return found


@pytest.fixture(scope="module")
def trained() -> Autoencoder:
    torch.manual_seed(0)
    fields = fronts(40)
    basis = fit_basis(fields, 4, least=0.02, most=24)
    model = Autoencoder(
        basis, AutoencoderSettings(unit=0.1, steps=(1, 8, 4), width=24, blocks=1, encoder_blocks=1)
    )
    batches = patches(fields, size=(32, 32), batch=8, seed=1)
    train(model, batches, model.loss, Schedule(steps=250, rate=2e-3, ramp=10), whole=model.set_whole)
    return model


def cost(model: Autoencoder, fields: list[np.ndarray]) -> float:
    """Squared error over squared step plus bits, at the usual step, without gradients."""
    x = torch.from_numpy(np.stack(fields))
    step = torch.full((len(x), 1, 1, 1), float(model.settings.steps[2]))
    with torch.no_grad():
        bits = model.rate(model.encoder(x), step).sum()
        error = ((model.decoder(model.latents(x, step)) - x) ** 2).sum()
    return float(error / (model.settings.unit * step[0, 0, 0, 0]) ** 2 + 0.35 * bits) / x.numel()


def test_training_beats_the_transform_it_began_with(trained):
    basis = fit_basis(fronts(40), 4, least=0.02, most=24)
    untrained = Autoencoder(basis, trained.settings)
    held = fronts(8, seed=99)
    assert cost(trained, held) < 0.95 * cost(untrained, held)


def exported(trained: Autoencoder, coder: dict[str, np.ndarray] | None = None):
    facts = export.Facts(name="fronts", offset=np.zeros(2), scale=np.ones(2), trust=1.0)
    return export.autoencoder(trained, facts, coder or {})


def test_what_is_exported_computes_what_was_trained(trained):
    model = exported(trained)
    rng = np.random.default_rng(0)
    limits = model.decoder.limit_array[:, None, None]
    x = np.clip(rng.normal(0, 30, (2, len(limits), 7, 9)).astype(int), -limits, limits).astype(np.int32)
    with torch.no_grad():
        outputs = trained.decoder(torch.from_numpy(x).float()).numpy() * 256
    assert np.array_equal(run(model.decoder, x), outputs)


def test_whole_numbers_cost_less_than_a_percent(trained):
    x = torch.from_numpy(np.stack(fronts(8, seed=99)))
    step = torch.full((8, 1, 1, 1), 2.0)
    errors = []
    with torch.no_grad():
        y = trained.latents(x, step)
        for whole in (False, True):
            trained.set_whole(whole)
            errors.append(float(((trained.decoder(y) - x) ** 2).mean().sqrt()))
    assert errors[1] <= 1.01 * errors[0]


def test_every_convolution_has_a_certificate(trained):
    layers = exported(trained).decoder.layers
    assert all(layer.peak < 1 << 24 and not layer.wide for layer in layers if layer.op == "conv")


def test_the_model_compresses_fields_that_it_has_not_seen(trained):
    fields = fronts(8, seed=99)
    draft = exported(trained)
    pairs = [(np.rint(draft.encoder.run(f[None]) / q).astype("i4"), q) for f in fronts(40) for q in (2, 4, 8)]
    model = exported(trained, latents.LatentStates.learn(pairs, draft.decoder.inputs).to_tensors())
    codec = Latent(model=model)
    data = codec.encode(np.stack(fields))
    decoded = codec.decode(data)
    assert np.sqrt(((decoded - np.stack(fields)) ** 2).mean()) < 0.15
    assert 8 * 2 * 48 * 48 * 4 / len(data) > 25


@pytest.mark.parametrize(
    "settings",
    [
        TokeniserSettings(size=64, depth=6, width=16, blocks=1),
        TokeniserSettings(size=16, depth=6, heads=3, width=16, blocks=1, fade=0.4),
        TokeniserSettings(levels=(5, 4, 3), heads=2, width=16, blocks=1, clouds=True),
    ],
    ids=["one codebook", "three heads", "a grid"],
)
def test_tokens(settings):
    torch.manual_seed(0)
    fields = fronts(30)
    tokens = Tokeniser(fit_basis(fields, 4, least=0.01), settings)
    batches = patches(fields, size=(32, 32), batch=8, seed=1)
    tokens.begin(batches, 10)
    train(tokens, batches, tokens.loss, Schedule(steps=120, rate=1e-3, ramp=10), whole=tokens.set_whole)
    order = np.stack([renumber(book) for book in tokens.quantiser.table().numpy()])
    facts = export.Facts(name="tokens", offset=np.zeros(2), scale=np.ones(2), trust=3.0)
    model = export.tokeniser(tokens, facts, {}, order)
    codec = Codeword(model=model)
    held = np.stack(fronts(4, seed=99))
    maps = codec.decode_latents(codec.encode(held))
    with torch.no_grad():
        found = tokens.quantiser.indices(tokens.vectors(torch.from_numpy(held))).numpy()
        decoded = tokens.decode(tokens.quantiser(tokens.vectors(torch.from_numpy(held)))[0]).numpy()
    same = np.argsort(order, 1)[np.arange(len(order))[None, :, None, None], found] == maps
    assert same.mean() > 0.99  # encoders are rounded to fewer bits in the file
    assert np.sqrt(((codec.decode(codec.encode(held)) - held) ** 2).mean()) < 1.1 * np.sqrt(
        ((decoded - held) ** 2).mean()
    )
    states = indices.learn(
        [codec.decode_latents(codec.encode(f[None]))[0] for f in fields], model.decoder.size
    )
    trained = Codeword(model=export.tokeniser(tokens, facts, states.to_tensors(), order))
    assert len(trained.encode(held)) <= len(codec.encode(held))
    assert np.array_equal(trained.decode(trained.encode(held)), codec.decode(codec.encode(held)))
