"""Training of the learned codecs' models, in torch: a plain loop, and an export to whole numbers.

``transforms`` are the networks, ``rate`` and ``quantise`` what stands between
encoder and decoder, ``loop`` trains, ``export`` writes the files that
`frazil.models` reads. ``python -m frazil.train`` makes the models that frazil ships.
"""
