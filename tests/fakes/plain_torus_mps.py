"""Boundary matrix-product states on the torus in plain NumPy: the oracle of the compiled form, and its rival in speed.

The weight of all rows below row r depends on two rows, x = row r and y = row 0: F_r(x, y) = prod_c A_rc[x_c, y_c], an
open chain from column 0 to column L - 1. Row 0 is drawn from F_0(y, y) and every later row from F_r(x, y) and the row
above it. Each row closes to a ring: the sums of a row carry the spin of column 0 along.
"""

import numpy as np

SPIN = np.array([-1.0, 1.0])
PAIR = np.outer(SPIN, SPIN)


class PlainTorusMps:
    """q(s) for couplings right (L, L) and down (L, L), which wrap around, without a field."""

    def __init__(self, right, down, beta, chi):
        self.L, self.chi = len(right), chi
        left, upper = np.roll(right, 1, axis=1), np.roll(down, 1, axis=0)
        self.left, self.upper = (weights(beta * one) for one in (left, upper))  # (L, L, neighbour's spin, own spin)
        strength = sum(np.abs(one) for one in (right, down, left, upper))
        self.least = np.maximum(1 / (1 + np.exp(2 * beta * strength)), 1e-16)
        row = [weight[:, :, None, None] for weight in self.upper[0]]  # (x, y, 1, 1), the bonds from row L - 1
        self.rows = [row]
        for r in range(self.L - 1, 0, -1):
            self.rows.insert(0, self.truncated(self.row_above(r)))

    def row_above(self, r):
        """F_(r-1): tensors (k, x, y, j), orthogonal but for the last; j = (old bond, spin of row r, its column 0)."""
        result, carry = [], None
        for c, tensor in enumerate(self.rows[0]):  # (s, y, a, b)
            if c == 0:
                summed = np.einsum("w,sw,syab->aybsw", np.ones(2), np.eye(2), tensor)
            else:
                known = np.einsum("katw,ts->kasw", carry, self.left[r, c])  # t: spin to the left
                if c == self.L - 1:
                    known = known * self.left[r, 0]  # (s, w): the bond that closes the ring
                summed = np.einsum("kasw,syab->kybsw", known, tensor, optimize=True)
            # (k, y, b, s, w) -> (k, x, y, b, s, w)
            full = summed[:, None] * self.upper[r, c][None, :, None, None, :, None]
            if c == self.L - 1:
                result.append(full.sum((4, 5)))
                return result
            k, b = len(full), full.shape[3]
            q, triangle = np.linalg.qr(full.reshape(4 * k, -1))
            result.append(q.reshape(k, 2, 2, -1))
            carry = (triangle / np.linalg.norm(triangle)).reshape(-1, b, 2, 2)
        raise AssertionError("a row has at least one site")

    def truncated(self, row):
        """Tensors (x, y, a, b) with bonds of at most chi: singular value decompositions from the right."""
        for c in range(self.L - 1, 0, -1):
            k, b = len(row[c]), row[c].shape[3]
            u, values, v = np.linalg.svd(row[c].reshape(k, -1), full_matrices=False)
            m = min(self.chi, int((values > 1e-15 * values[0]).sum()))
            row[c] = v[:m].reshape(m, 2, 2, b)
            row[c - 1] = row[c - 1] @ (u[:, :m] * (values[:m] / values[0]))
        return [tensor.transpose(1, 2, 0, 3) for tensor in row]

    def sample(self, n, rng):
        """Spins (n, L, L) and ln q (n,)."""
        up = np.zeros((n, self.L, self.L), dtype=np.int64)
        log_q = sum(self.visit_row(r, up, rng) for r in range(self.L))
        return (2 * up - 1).astype(np.int8), log_q

    def log_prob(self, spins):
        """ln q (n,) of spins (n, L, L)."""
        up = (spins > 0).astype(np.int64)
        return sum(self.visit_row(r, up) for r in range(self.L))

    def visit_row(self, r, up, rng=None):
        """ln q (n,) of row r given the rows above; the row is drawn first if there is a generator."""
        n, first = len(up), up[:, 0]
        known = np.ones((self.L, n, 2))
        if r:
            known = np.stack([self.upper[r, c][up[:, r - 1, c]] for c in range(self.L)])
        partial = [
            None
        ] * self.L  # (x, w, n, a): the columns from c on, by their first spin x and the spin w of column 0
        right = self.left[r, 0][:, :, None, None] * np.ones((1, 1, n, 1))  # (x, w, n, 1): x is the last column's spin
        for c in range(self.L - 1, -1, -1):
            product = np.stack([self.times(r, c, s, first[:, c], right[s]) for s in (0, 1)])
            partial[c] = known[c].T[:, None, :, None] * product
            if c:
                right = np.einsum("xs,swna->xwna", self.left[r, c], partial[c])
                right /= np.abs(right).max(axis=(0, 1, 3))[:, None]
        vector, log_q = np.ones((n, 1)), np.zeros(n)
        each = np.arange(n)
        for c in range(self.L):
            start = up[:, r, 0] if c else None
            ends = [partial[c][s, start, each] if c else partial[c][s, s] for s in (0, 1)]  # (n, a)
            weight = np.stack([(vector * end).sum(1) for end in ends]).clip(0)
            if c:
                weight *= self.left[r, c][up[:, r, c - 1]].T
            total = weight.sum(0)
            plus = np.where(total > 0, weight[1] / np.where(total > 0, total, 1), 0.5)
            plus = plus.clip(self.least[r, c], 1 - self.least[r, c])
            if rng is not None:
                up[:, r, c] = rng.random(n) < plus
            log_q += np.log(np.where(up[:, r, c] == 1, plus, 1 - plus))
            vector = self.appended(r, c, up[:, r, c], first[:, c], vector)
            vector /= np.abs(vector).max(axis=1, keepdims=True)
        return log_q

    def times(self, r, c, s, y, right):
        """A[s, y] right for right (w, n, b) -> (w, n, a); in row 0 both spins are s."""
        if r == 0:
            return right @ self.rows[0][c][s, s].T
        result = np.empty((*right.shape[:2], self.rows[r][c].shape[2]))
        for value in (0, 1):
            result[:, y == value] = right[:, y == value] @ self.rows[r][c][s, value].T
        return result

    def appended(self, r, c, s, y, vector):
        """vector A[s, y] for vector (n, a) -> (n, b)."""
        result = np.empty((len(vector), self.rows[r][c].shape[3]))
        for x in (0, 1):
            for value in (0, 1):
                lanes = (s == x) & (y == value)
                result[lanes] = vector[lanes] @ self.rows[r][c][x, value]
        return result


def weights(coupling):
    """exp(K s t) for spins s, t, divided by the largest: (L, L) -> (L, L, 2, 2)."""
    pairs = coupling[:, :, None, None] * PAIR
    return np.exp(pairs - np.abs(pairs))
