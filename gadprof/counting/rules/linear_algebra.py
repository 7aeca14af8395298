"""Rules of dense factorisations and of what is solved with them, in multiply-adds.

The leading terms of the textbook algorithms: LAPACK Working Note 41, appendix C (Cholesky, LU, QR,
triangular solves, inverses), and Golub and Van Loan, Matrix Computations, 4th edition (symmetric
QR 8.3, unsymmetric QR 7.5.6, R-SVD 8.6). Each matrix of a batch costs the same; what is iterative
is counted as those books do. A matrix of complex numbers costs four times as much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import prod
from typing import Any

from gadprof.counting.rules.work import Rule, Work, argument, told

Args = Sequence[Any]
Kwargs = Mapping[str, Any]

_LAPACK = "LAPACK Working Note 41, appendix C"
_GOLUB = "Golub and Van Loan, Matrix Computations, 4th edition"


def lu_macs(m: int, n: int) -> Fraction:
    """LU of m x n with pivoting: k = min(m, n) steps."""
    k, larger = min(m, n), max(m, n)
    return Fraction(larger * k * k, 2) - Fraction(k**3, 6)


def qr_macs(m: int, n: int) -> Fraction:
    """Householder QR of m x n, the factor R alone."""
    k, larger = min(m, n), max(m, n)
    return Fraction(larger * k * k) - Fraction(k**3, 3)


def q_macs(m: int, columns: int, k: int) -> Fraction:
    """The first ``columns`` columns of Q, made from k reflectors of length m."""
    return 2 * m * columns * k - (m + columns) * k * k + Fraction(2 * k**3, 3)


def _work(a: Any, macs: Fraction | int, batch: int | None = None) -> Work:
    m, n = int(a.shape[-2]), int(a.shape[-1])
    matrices = prod(a.shape[:-2]) if batch is None else batch
    factor = 4 if a.is_complex() else 1
    total = int(macs * matrices * factor)
    attributes = {"batch": matrices, "m": m, "n": n, "k": min(m, n), "bias": False}
    return Work("matmul", macs=total, attributes=attributes)


def _square(cost: Callable[[int], Fraction | int], formula: str, source: str) -> Rule:
    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        return _work(args[0], cost(int(args[0].shape[-1])))

    return told(rule, formula, source)


def _sides(a: Any, b: Any) -> tuple[int, int]:
    """The order of the matrices and the right-hand columns of one system."""
    n = int(a.shape[-1])
    return n, 1 if b.dim() == a.dim() - 1 else int(b.shape[-1])


def _solved(
    cost: Callable[[int, int], Fraction | int], formula: str, source: str, at: tuple[int, int]
) -> Rule:
    """A solve of n x n systems; ``at`` are the places of the matrix and of the right-hand side."""

    def rule(args: Args, kwargs: Kwargs, outs: Args) -> Work:
        a, b = args[at[0]], args[at[1]]
        left = bool(kwargs.get("left", True))
        n, columns = int(a.shape[-1]), int(b.shape[-1] if left else b.shape[-2])
        if b.dim() == a.dim() - 1:
            columns = 1
        batch = max(prod(a.shape[:-2]), prod(b.shape[:-2]) if b.dim() >= a.dim() else 1)
        return _work(a, cost(n, columns), batch)

    return told(rule, formula, source)


def _lu(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    return _work(args[0], lu_macs(*map(int, args[0].shape[-2:])))


def _qr(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    m, n = map(int, args[0].shape[-2:])
    mode = argument(args, kwargs, 1, "mode", "reduced")
    cost = qr_macs(m, n)
    if mode != "r":
        cost += q_macs(m, m if mode == "complete" else min(m, n), min(m, n))
    return _work(args[0], cost)


def _geqrf(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    return _work(args[0], qr_macs(*map(int, args[0].shape[-2:])))


def _orgqr(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    m, n = map(int, args[0].shape[-2:])
    return _work(args[0], q_macs(m, n, int(args[1].shape[-1])))


def _ormqr(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    left = bool(argument(args, kwargs, 3, "left", True))
    m, n = map(int, args[2].shape[-2:])
    k = int(args[1].shape[-1])
    side, other = (m, n) if left else (n, m)
    return _work(args[0], 2 * side * other * k - other * k * k)


def _eigh(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    n = int(args[0].shape[-1])
    vectors = bool(argument(args, kwargs, 2, "compute_v", True))
    return _work(args[0], Fraction(9 * n**3, 2) if vectors else Fraction(2 * n**3, 3))


def _svd(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    m, n = sorted(map(int, args[0].shape[-2:]), reverse=True)
    if not bool(argument(args, kwargs, 2, "compute_uv", True)):
        return _work(args[0], m * n * n + n**3)
    if bool(argument(args, kwargs, 1, "full_matrices", False)):
        return _work(args[0], 2 * m * m * n + 11 * n**3)
    return _work(args[0], 3 * m * n * n + 10 * n**3)


def _svdvals(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    m, n = sorted(map(int, args[0].shape[-2:]), reverse=True)
    return _work(args[0], m * n * n + n**3)


def _pinv(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    m, n = sorted(map(int, args[0].shape[-2:]), reverse=True)
    return _work(args[0], 3 * m * n * n + 10 * n**3 + m * n * n)


def _lstsq(args: Args, kwargs: Kwargs, outs: Args) -> Work:
    m, n = map(int, args[0].shape[-2:])
    k, larger = min(m, n), max(m, n)
    _, columns = _sides(args[0], args[1])
    solve = Fraction(k * k * columns, 2)
    return _work(args[0], qr_macs(m, n) + (2 * larger * k - k * k) * columns + solve)


_CUBE = "n^3/{} each matrix of order n"
_RULES: dict[str, Rule] = {
    "linalg_cholesky_ex": _square(lambda n: Fraction(n**3, 6), _CUBE.format(6), _LAPACK),
    "cholesky": _square(lambda n: Fraction(n**3, 6), _CUBE.format(6), _LAPACK),
    "cholesky_inverse": _square(lambda n: Fraction(n**3, 3), _CUBE.format(3), _LAPACK),
    "cholesky_solve": _solved(lambda n, m: n * n * m, "n^2 m: two triangular solves", _LAPACK,
                              (1, 0)),
    "linalg_inv_ex": _square(lambda n: n**3, "n^3: LU n^3/3 and 2 n^3/3", _LAPACK),
    "_linalg_solve_ex": _solved(lambda n, m: Fraction(n**3, 3) + n * n * m,
                                "n^3/3 + n^2 m: LU and two triangular solves", _LAPACK, (0, 1)),
    "linalg_solve_triangular": _solved(lambda n, m: Fraction(n * n * m, 2), "n^2 m / 2", _LAPACK,
                                       (0, 1)),
    "triangular_solve": _solved(lambda n, m: Fraction(n * n * m, 2), "n^2 m / 2", _LAPACK, (1, 0)),
    "linalg_lu_solve": _solved(lambda n, m: n * n * m, "n^2 m: two triangular solves", _LAPACK,
                               (0, 2)),
    "linalg_ldl_factor_ex": _square(lambda n: Fraction(n**3, 6), _CUBE.format(6), _LAPACK),
    "linalg_ldl_solve": _solved(lambda n, m: n * n * m, "n^2 m: two triangular solves", _LAPACK,
                                (0, 2)),
    "_linalg_det": _square(lambda n: Fraction(n**3, 3), "n^3/3: LU", _LAPACK),
    "_linalg_slogdet": _square(lambda n: Fraction(n**3, 3), "n^3/3: LU", _LAPACK),
    **{
        name: told(_lu, "l k^2/2 - k^3/6, k the shorter and l the longer side", _LAPACK)
        for name in ("linalg_lu", "linalg_lu_factor_ex", "_lu_with_info")
    },
    "linalg_qr": told(_qr, "l k^2 - k^3/3; 2 m c k - (m + c) k^2 + 2 k^3/3 for c columns of Q",
                      _LAPACK),
    "geqrf": told(_geqrf, "l k^2 - k^3/3, k the shorter and l the longer side", _LAPACK),
    "linalg_householder_product": told(_orgqr, "2 m c k - (m + c) k^2 + 2 k^3/3", _LAPACK),
    "ormqr": told(_ormqr, "2 m n k - n k^2", _LAPACK),
    "_linalg_eigh": told(_eigh, "9 n^3/2 with vectors, 2 n^3/3 without", _GOLUB + ", 8.3"),
    "linalg_eigvalsh": _square(lambda n: Fraction(2 * n**3, 3), "2 n^3/3", _GOLUB + ", 8.3"),
    "linalg_eig": _square(lambda n: Fraction(25 * n**3, 2), "25 n^3/2 with vectors",
                          _GOLUB + ", 7.5.6"),
    "_linalg_eigvals": _square(lambda n: 5 * n**3, "5 n^3", _GOLUB + ", 7.5.6"),
    "linalg_eigvals": _square(lambda n: 5 * n**3, "5 n^3", _GOLUB + ", 7.5.6"),
    "_linalg_svd": told(_svd, "3 l k^2 + 10 k^3 thin, 2 l^2 k + 11 k^3 full, l k^2 + k^3 values",
                        _GOLUB + ", 8.6"),
    "linalg_svdvals": told(_svdvals, "l k^2 + k^3", _GOLUB + ", 8.6"),
    "linalg_pinv": told(_pinv, "a thin SVD 3 l k^2 + 10 k^3 and a product l k^2", _GOLUB + ", 5.5"),
    "linalg_lstsq": told(_lstsq, "QR l k^2 - k^3/3, Q'b (2 l k - k^2) r, triangle k^2 r / 2",
                         _LAPACK),
}  # fmt: skip

RULES: dict[str, Rule] = {f"aten.{name}": rule for name, rule in _RULES.items()}
