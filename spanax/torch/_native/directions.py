"""Random directions in which a function is evaluated."""

from __future__ import annotations

import torch
from torch import Tensor


def orthogonal(
    count: int, size: int, dtype: torch.dtype, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """`count` standard normal vectors of `size` numbers, those of one block of min(count, size) orthogonal to each other.

    Haar-random directions times independent chi-distributed lengths, so that each vector by itself is exactly standard normal
    (Choromanski et al. 2018, arXiv:1804.02395, section 3).
    """
    # Both come from one Gaussian matrix: in A = QR, with a positive diagonal of R, the factors are independent and the columns of
    # R are as long as those of A. LAPACK leaves the signs of the diagonal open: they are set here.
    block = min(count, size)
    blocks = -(-count // block)
    A = torch.randn(blocks, size, block, dtype=dtype, device=device, generator=generator)
    Q, R = torch.linalg.qr(A)
    signs = torch.where(R.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(dtype)
    lengths = torch.linalg.vector_norm(A, dim=-2)
    return (Q * (signs * lengths)[:, None, :]).mT.reshape(blocks * block, size)[:count]
