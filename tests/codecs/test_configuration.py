"""What all codecs inherit and the contract does not see."""

from __future__ import annotations

import json

import numpy as np

from frazil import JP2K, Bounded


def test_numpy_numbers_in_a_configuration_are_json():
    codec = JP2K(ratio=np.float32(8), missing=np.float64(-9999))
    assert json.loads(json.dumps(codec.get_config()))["ratio"] == 8.0


def test_a_codec_in_a_codec_is_its_configuration():
    config = Bounded(bound=1, base=JP2K(psnr=np.float64(50))).get_config()
    assert config["base"]["id"] == "frazil.jp2k"
    assert json.loads(json.dumps(config))["base"]["psnr"] == 50.0
