"""Arrays of numpy, of whatever has them: lists, tensors of PyTorch."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._xsfm import XsfmError

# How safetensors calls the types of numpy.
_KINDS = {"f2": "F16", "f4": "F32", "f8": "F64", "b1": "BOOL"}
_KINDS.update({f"{kind}{size}": f"{kind.upper()}{8 * size}" for kind in "iu" for size in (1, 2, 4, 8)})


def array(value: Any) -> np.ndarray:
    """Numbers on the CPU; a tensor of PyTorch may be on any device, and have gradients."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # numpy has no bfloat16; every one is a float32.
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    return np.asarray(value)


def floats(what: str, value: Any, *shapes: int) -> np.ndarray:
    """float32, row by row, with one of so many axes. Raises XsfmError of anything else, which it calls `what`."""
    found = array(value)
    if found.dtype.kind not in "fiu":
        raise XsfmError(f"{what}: numbers of type {found.dtype}, real ones expected")
    if found.ndim not in shapes:
        raise XsfmError(f"{what}: shape {found.shape}, {' or '.join(map(str, shapes))} axes expected")
    return np.ascontiguousarray(found, dtype=np.float32)


def tensor(name: str, value: Any) -> tuple[str, str, list[int], bytes]:
    """Name, type, shape and bytes, as a safetensors file has them."""
    found = array(value)
    kind = _KINDS.get(found.dtype.str[1:])
    if kind is None:
        raise XsfmError(f"tensor `{name}`: numbers of type {found.dtype}; real ones of 16 to 64 bits and bool are read")
    return name, kind, list(found.shape), found.astype(found.dtype.newbyteorder("<"), copy=False).tobytes()
