"""Batches as tensors: where arrays become PyTorch's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from frazil.errors import FrazilError

try:
    import torch
except ImportError as error:
    raise FrazilError("training needs torch: pip install 'frazil[torch]'") from error

if TYPE_CHECKING:
    from frazil.data.batch import Batch

_TENSORS = ("x", "y", "mask", "y_mask", "static", "index")


def to_tensors(batch: Batch) -> Batch:
    """Return a batch with tensors in the place of its arrays; ``time`` stays as it is.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from frazil.data.batches import ZarrBatches
    >>> t2m = xr.DataArray(np.zeros((6, 2, 2), "f4"), dims=("time", "y", "x"), name="t2m")
    >>> (batch,) = ZarrBatches(t2m.to_dataset(), inputs=[0], targets=[], batch_size=6)
    >>> to_tensors(batch).x.shape
    torch.Size([6, 1, 1, 2, 2])
    """
    found = {name: _tensor(getattr(batch, name)) for name in _TENSORS}
    return replace(batch, **found)


def _tensor(array: Any) -> Any:
    if array is None or isinstance(array, torch.Tensor):
        return array
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("="))
    if array.strides and not any(array.strides):  # one value for all of them
        return torch.full((1,) * array.ndim, array.flat[0].item()).expand(array.shape)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def move(batch: Batch, *, device: Any = None, pin: bool = False) -> Batch:
    """Return a batch with its tensors on a device, or in pinned memory."""
    found = {}
    for name in _TENSORS:
        tensor = getattr(batch, name)
        if tensor is not None:
            found[name] = tensor.pin_memory() if pin else tensor.to(device, non_blocking=True)
    return replace(batch, **found)


def can_pin() -> bool:
    """Whether there is an accelerator that memory could be pinned for."""
    newer = getattr(torch, "accelerator", None)  # torch 2.6
    return bool(torch.cuda.is_available() if newer is None else newer.is_available())
