"""Print the errors and times of the Kac-Ward determinant that docs/exact-values.md lists.

Run `OMP_NUM_THREADS=1 python tests/physics/measure_kac_ward.py [L ...]`. At L = 16 the error of ln Z is the difference
from the transfer matrix. At every L the transposed lattice, whose rounding errors differ, gives the spread of ln Z, of
the energy and of the specific heat per site.
"""

import sys
import time

from nisbench.physics import kac_ward
from nisbench.physics.glasses import EdwardsAnderson, Villain
from nisbench.physics.lattice import square_lattice
from nisbench.physics.options import EdwardsAndersonOptions
from nisbench.physics.transfer_matrix import LARGEST_FREE_WIDTH, free_log_z


def timed(function, *arguments):
    start = time.process_time()
    return function(*arguments), time.process_time() - start


def write(row):
    sys.stdout.write(f"{row}\n")
    sys.stdout.flush()


def main(sizes):
    write("| target | L | beta | error of ln Z | spread of ln Z | of energy | of specific heat | ln Z, s | all, s |")
    write("|---|---|---|---|---|---|---|---|---|")
    for L in sizes:
        glasses = {d: EdwardsAnderson(L, EdwardsAndersonOptions(disorder=d)).lattice for d in ("pm1", "gaussian")}
        lattices = {"ising": square_lattice(L, "free"), **glasses, "villain": Villain(L).lattice}
        for name, lattice in lattices.items():
            transposed = square_lattice(L, "free", right=lattice.down.T, down=lattice.right.T)
            for beta in (0.44, 1.0, 2.0, 3.0):
                log_z, log_z_s = timed(kac_ward.log_z, lattice, beta)
                here, all_s = timed(kac_ward.exact_values, lattice, beta)
                there = kac_ward.exact_values(transposed, beta)
                spread = {key: abs(here[key] - there[key]) for key in ("log_z_per_site", "energy", "specific_heat")}
                error = f"{abs(log_z - free_log_z(lattice, beta)):.0e}" if L <= LARGEST_FREE_WIDTH else ""
                numbers = (
                    f"{spread['log_z_per_site'] * L * L:.0e} | {spread['energy']:.0e} | {spread['specific_heat']:.0e}"
                )
                write(f"| {name} | {L} | {beta} | {error} | {numbers} | {log_z_s:.2f} | {all_s:.1f} |")


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [16, 64, 128])
