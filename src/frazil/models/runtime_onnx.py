"""Integer decoders in onnxruntime: the same sums in single precision, and nothing that could round them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from frazil.models.layers import RELU, Add, Conv, Leaky, Lookup, Shuffle
from frazil.models.runtime_numpy import Crop, half_and_unit

if TYPE_CHECKING:
    import numpy.typing as npt

    from frazil.models.format import Decoder
    from frazil.models.layers import Layer

OPSET, IR = 17, 8  # understood by onnxruntime 1.14 and later


class OnnxEngine:
    """Runs one decoder in a session of its own, with one thread: zarr and dask bring theirs.

    Parameters
    ----------
    decoder : Decoder
    threads : int
        For one operation.
    """

    def __init__(self, decoder: Decoder, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.scale = decoder.factor
        self.session = onnxruntime.InferenceSession(
            graph(decoder), sess_options=options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, x: npt.NDArray[Any], out: npt.NDArray[np.int32], crop: Crop) -> None:
        """Decode a block; see `NumpyEngine`."""
        (found,) = self.session.run(None, {"x": x[None]})
        out[...] = found[0][crop.times(self.scale)]


def graph(decoder: Decoder) -> bytes:
    """Write the layers as an ONNX model: x (1, channels, h, w) float32, y (1, C, h * f, w * f) int32."""
    from onnx import TensorProto, helper

    layers, values = decoder.traced
    made = _Graph(decoder)
    first = 1 if isinstance(layers[0], Lookup) else 0
    names = {first: "x"}
    for number, layer in enumerate(layers[first:], first):
        names[number + 1] = made.add(number, layer, [names[source] for source in layer.sources])
    made.node("Cast", [names[len(layers)]], "y", to=TensorProto.INT32)
    ends = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, values[first].channels, "h", "w"]),
        helper.make_tensor_value_info("y", TensorProto.INT32, [1, decoder.channels, "y", "x_"]),
    ]
    whole = helper.make_graph(made.nodes, "intdec", ends[:1], ends[1:], made.constants)
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    return bytes(model.SerializeToString())


class _Graph:
    """Nodes and constants while they are made."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def constant(self, array: npt.ArrayLike) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, number: int, layer: Layer, inputs: list[str]) -> str:
        """Add one layer's nodes and return the name of its value."""
        out = f"v{number + 1}"
        if isinstance(layer, Conv):
            sums = self.wide(layer, inputs[0], out) if layer.wide else self.conv(layer, inputs[0], out)
            # whole ends: to clamp before the floor is the same, and a convolution can do it at once
            clamped = self.node("Clip", [sums, *self.ends(layer.low, layer.high)], f"{out}c")
            return self.node("Floor", [clamped], out)
        if isinstance(layer, Add):
            total = self.node("Add", inputs, f"{out}s")
            return self.node("Clip", [total, *self.ends(layer.low, layer.high)], out)
        if isinstance(layer, Leaky):
            if layer.shift == RELU:
                return self.node("Relu", inputs, out)
            part = self.node("Mul", [inputs[0], self.constant(np.float32(2.0**-layer.shift))], f"{out}m")
            part = self.node("Add", [part, self.constant(np.float32(0.5))], f"{out}h")
            return self.node("Max", [inputs[0], self.node("Floor", [part], f"{out}f")], out)
        assert isinstance(layer, Shuffle)  # noqa: S101 - a lookup is done before
        return self.node("DepthToSpace", inputs, out, blocksize=layer.factor, mode="CRD")

    def ends(self, low: int, high: int) -> list[str]:
        return [self.constant(np.float32(end)) for end in (low, high)]

    def conv(self, layer: Conv, x: str, out: str) -> str:
        weight = self.decoder.tensors[layer.weight]
        bias, unit = half_and_unit(layer, self.decoder)
        names = [
            self.constant((weight * unit[:, None, None, None]).astype(np.float32)),
            self.constant((bias * unit).astype(np.float32)),
        ]
        side = weight.shape[-1]
        return self.node("Conv", [x, *names], f"{out}a", pads=[side // 2] * 4, kernel_shape=[side, side])

    def wide(self, layer: Conv, x: str, out: str) -> str:
        """Multiply matrices in double precision, for which onnxruntime has no convolution."""
        from onnx import TensorProto

        weight = self.decoder.tensors[layer.weight]
        bias, unit = half_and_unit(layer, self.decoder)
        outputs, inputs, side, _ = weight.shape
        long = self.node("Cast", [x], f"{out}d", to=TensorProto.DOUBLE)
        if side == 3:
            pads = self.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64))
            padded = self.node("Pad", [long, pads], f"{out}p")
            long = self.node("Concat", [self._shifted(padded, out, i, j) for i in range(3) for j in range(3)],
                             f"{out}i", axis=1)  # fmt: skip
        shape = self.node("Shape", [x], f"{out}t")
        size = self.node(
            "Slice", [shape, *(self.constant(np.array([k], np.int64)) for k in (2, 4))], f"{out}z"
        )
        columns = self.node(
            "Reshape", [long, self.constant(np.array([side * side * inputs, -1], np.int64))], f"{out}r"
        )
        flat = (weight * unit[:, None, None, None]).transpose(0, 2, 3, 1).reshape(outputs, -1)
        sums = self.node("MatMul", [self.constant(flat.astype(np.float64)), columns], f"{out}u")
        sums = self.node("Add", [sums, self.constant((bias * unit)[:, None])], f"{out}b")
        target = self.node(
            "Concat", [self.constant(np.array([1, outputs], np.int64)), size], f"{out}g", axis=0
        )
        image = self.node("Reshape", [sums, target], f"{out}e")
        # floor and clamp in double precision: only then is the number small enough for a float
        floor = self.node("Floor", [image], f"{out}o")
        ends = [self.constant(np.float64(end)) for end in (layer.low, layer.high)]
        clamped = self.node("Clip", [floor, *ends], f"{out}k")
        return self.node("Cast", [clamped], f"{out}w", to=TensorProto.FLOAT)

    def _shifted(self, padded: str, out: str, i: int, j: int) -> str:
        starts, axes = np.array([i, j], np.int64), np.array([2, 3], np.int64)
        # an end of -2, -1 or beyond the last leaves as many lines and columns as there were
        ends = np.array([i - 2 or 1 << 40, j - 2 or 1 << 40], np.int64)
        names = [self.constant(part) for part in (starts, ends, axes)]
        return self.node("Slice", [padded, *names], f"{out}x{i}{j}")
