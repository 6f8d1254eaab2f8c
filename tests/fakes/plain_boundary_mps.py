"""Boundary matrix-product states in plain NumPy: the oracle of the compiled form, and its rival in speed."""

import numpy as np

SPIN = np.array([1.0, -1.0])
PAIR = np.outer(SPIN, SPIN)


class PlainBoundaryMps:
    """q(s) for couplings right (L, L - 1), down (L - 1, L) and a field (L, L)."""

    def __init__(self, right, down, field, beta, chi):
        self.L = L = len(right)
        self.right, self.down, self.field, self.beta, self.chi = right, down, field, beta, chi
        self.rows = [[np.ones((2, 1, 1))] * L]
        for r in range(L - 1, 0, -1):
            self.rows.insert(0, self.row_above(r))
        strength = np.abs(field)
        strength[:, 1:] += np.abs(right)
        strength[:, :-1] += np.abs(right)
        strength[1:] += np.abs(down)
        strength[:-1] += np.abs(down)
        self.least = np.maximum(1 / (1 + np.exp(2 * beta * strength)), 1e-16)

    def row_above(self, r):
        """Environment of row r - 1 from that of row r, which is the first in `rows`."""
        row = []
        for c, tensor in enumerate(self.rows[0]):
            weighted = tensor * np.exp(self.beta * self.field[r, c] * SPIN)[:, None, None]
            above = np.exp(self.beta * self.down[r - 1, c] * PAIR)
            left = np.exp(self.beta * self.right[r, c - 1] * PAIR) if c else np.ones((1, 2))
            ends = np.eye(2) if c < self.L - 1 else np.ones((2, 1))
            joined = np.einsum("ts,sab,xs,sw->xatbw", left, weighted, above, ends)
            x, a, t, b, w = joined.shape
            row.append(joined.reshape(x, a * t, b * w))
        carry = np.ones((1, 1))
        for c in range(self.L - 1):
            joined = np.einsum("ka,xab->kxb", carry, row[c])
            q, carry = np.linalg.qr(joined.reshape(2 * len(joined), -1))
            row[c] = q.reshape(len(joined), 2, -1).transpose(1, 0, 2)
            carry /= np.linalg.norm(carry)
        row[-1] = np.einsum("ka,xab->xkb", carry, row[-1])
        for c in range(self.L - 1, 0, -1):
            k = row[c].shape[1]
            u, values, v = np.linalg.svd(row[c].transpose(1, 0, 2).reshape(k, -1), full_matrices=False)
            m = min(self.chi, len(values))
            row[c] = v[:m].reshape(m, 2, -1).transpose(1, 0, 2)
            row[c - 1] = row[c - 1] @ (u[:, :m] * (values[:m] / values[0]))
        return row

    def sample(self, n, rng):
        """Spins (n, L, L) and ln q (n,)."""
        spins = np.zeros((n, self.L, self.L))
        log_q = sum(self.visit_row(r, spins, rng) for r in range(self.L))
        return spins.astype(np.int8), log_q

    def log_prob(self, spins):
        """ln q (n,) of spins (n, L, L)."""
        return sum(self.visit_row(r, spins.astype(np.float64)) for r in range(self.L))

    def visit_row(self, r, spins, rng=None):
        """ln q (n,) of row r given the rows above; the row is drawn first if there is a generator."""
        n, row = len(spins), self.rows[r]
        known = np.exp(self.beta * self.field[r][:, None, None] * SPIN) * np.ones((1, n, 1))  # (L, n, 2)
        if r:
            known *= np.exp(self.beta * (self.down[r - 1] * spins[:, r - 1]).T[:, :, None] * SPIN)
        partial, right = [None] * self.L, np.ones((2, n, 1))
        for c in range(self.L - 1, -1, -1):
            partial[c] = np.stack([known[c, :, s, None] * (right[s] @ row[c][s].T) for s in (0, 1)])
            bond = np.exp(self.beta * self.right[r, c - 1] * PAIR)
            right = np.stack([bond[s, 0] * partial[c][0] + bond[s, 1] * partial[c][1] for s in (0, 1)])
            right /= np.abs(right).max(axis=(0, 2))[:, None]
        left, log_q = np.ones((n, 1)), np.zeros(n)
        for c in range(self.L):
            weight = np.stack([(left * partial[c][s]).sum(1) for s in (0, 1)]).clip(0)
            if c:
                weight *= np.exp(self.beta * self.right[r, c - 1] * SPIN[:, None] * spins[:, r, c - 1])
            plus = (weight[0] / weight.sum(0)).clip(self.least[r, c], 1 - self.least[r, c])
            if rng is not None:
                spins[:, r, c] = np.where(rng.random(n) < plus, 1, -1)
            up = spins[:, r, c] > 0
            log_q += np.log(np.where(up, plus, 1 - plus))
            left = np.where(up[:, None], left @ row[c][0], left @ row[c][1])
            left /= np.abs(left).max(axis=1, keepdims=True)
        return log_q
