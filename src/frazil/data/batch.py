"""What a model takes: samples as arrays, and where in the epoch they stand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from frazil.data.curation.selection import Selection


@dataclass(frozen=True)
class Batch:
    """Samples as a model takes them; numpy arrays, or tensors when `TorchBatches` made it.

    Parameters
    ----------
    x : (B, T, C, *space) float32
        Inputs: samples, steps, channels, points.
    y : the same with the steps of the targets, or None without targets
    mask, y_mask : bool
        Where there was a value; elsewhere ``missing`` stands. May be read-only.
    time : (B, steps) ndarray
        Times of the inputs, then of the targets: datetime64, or what the store's axis holds.
    index : (B,) int64
        Number of each sample in its plan; without patches the step of its anchor.
    channels : tuple of str
    static : (fields, *space) float32, or None
        Fields that are the same for all samples.
    epoch, superbatch_id, position : int
        Which superbatch of the epoch, and which of its batches.
    is_last : bool
        Whether the superbatch ends with this batch; gradients may be accumulated until then.
    selection : Selection, or None
        How the superbatch was curated.
    """

    x: Any
    y: Any
    mask: Any
    y_mask: Any
    time: npt.NDArray[Any]
    index: Any
    channels: tuple[str, ...]
    static: Any
    epoch: int
    superbatch_id: int
    position: int
    is_last: bool
    selection: Selection | None = None

    def __len__(self) -> int:
        """Count the samples."""
        return len(self.index)

    def take(self, members: npt.NDArray[np.int64], **labels: Any) -> Batch:
        """Return some of the samples, in the order of ``members``."""
        cut = {
            name: value[members]
            for name in ("x", "y", "mask", "y_mask", "time", "index")
            if (value := getattr(self, name)) is not None
        }
        return replace(self, **cut, **labels)
