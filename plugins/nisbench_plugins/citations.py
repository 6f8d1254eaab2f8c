"""Publications of the built-in methods: the arguments `citation` and `bibtex` of a registration."""

__all__ = [
    "ANNEALED",
    "BOUNDARY_MPS",
    "HIER",
    "HIER_EXACT",
    "METROPOLIS",
    "PERFECT",
    "SWENDSEN_WANG",
    "TEMPERING",
    "VAN",
    "WOLFF",
]

VAN = {
    "citation": (
        'D. Wu, L. Wang, P. Zhang, "Solving Statistical Mechanics Using Variational Autoregressive Networks",'
        " Phys. Rev. Lett. 122, 080602 (2019), arXiv:1809.10606"
    ),
    "bibtex": """@article{Wu2019,
  author  = {Wu, Dian and Wang, Lei and Zhang, Pan},
  title   = {Solving Statistical Mechanics Using Variational Autoregressive Networks},
  journal = {Phys. Rev. Lett.},
  volume  = {122},
  pages   = {080602},
  year    = {2019},
  doi     = {10.1103/PhysRevLett.122.080602},
  eprint  = {1809.10606}
}""",
}
HIER = {
    "citation": (
        'P. Bialas, P. Korcyl, T. Stebel, "Hierarchical autoregressive neural networks for statistical '
        'systems", Comput. Phys. Commun. 281, 108502 (2022), arXiv:2203.10989'
    ),
    "bibtex": """@article{Bialas2022,
  author  = {Bia{\\l}as, Piotr and Korcyl, Piotr and Stebel, Tomasz},
  title   = {Hierarchical autoregressive neural networks for statistical systems},
  journal = {Comput. Phys. Commun.},
  volume  = {281},
  pages   = {108502},
  year    = {2022},
  doi     = {10.1016/j.cpc.2022.108502},
  eprint  = {2203.10989}
}""",
}
HIER_EXACT = HIER | {"citation": f"nisbench, docs/methods/hier-exact.md; the method builds on {HIER['citation']}"}
BOUNDARY_MPS = {
    "citation": (
        'M. Frias-Perez, M. Marien, D. Perez Garcia, M. C. Banuls, S. Iblisdir, "Collective Monte Carlo updates '
        'through tensor network renormalization", SciPost Phys. 14, 123 (2023)'
    ),
    "bibtex": """@article{FriasPerez2023,
  author  = {Fr{\\'\\i}as-P{\\'e}rez, Miguel and Mari{\\"e}n, Micha{\\"e}l and P{\\'e}rez Garc{\\'\\i}a, David and
             Ba{\\~n}uls, Mari Carmen and Iblisdir, Sofyan},
  title   = {Collective {Monte Carlo} updates through tensor network renormalization},
  journal = {SciPost Phys.},
  volume  = {14},
  pages   = {123},
  year    = {2023},
  doi     = {10.21468/SciPostPhys.14.5.123}
}""",
}
ANNEALED = {
    "citation": ('R. M. Neal, "Annealed importance sampling", Stat. Comput. 11, 125 (2001)'),
    "bibtex": """@article{Neal2001,
  author  = {Neal, Radford M.},
  title   = {Annealed importance sampling},
  journal = {Stat. Comput.},
  volume  = {11},
  pages   = {125},
  year    = {2001},
  doi     = {10.1023/A:1008923215028}
}""",
}
METROPOLIS = {
    "citation": (
        'N. Metropolis, A. W. Rosenbluth, M. N. Rosenbluth, A. H. Teller, E. Teller, "Equation of State '
        'Calculations by Fast Computing Machines", J. Chem. Phys. 21, 1087 (1953)'
    ),
    "bibtex": """@article{Metropolis1953,
  author  = {Metropolis, Nicholas and Rosenbluth, Arianna W. and Rosenbluth, Marshall N. and Teller, Augusta H. and
             Teller, Edward},
  title   = {Equation of State Calculations by Fast Computing Machines},
  journal = {J. Chem. Phys.},
  volume  = {21},
  pages   = {1087},
  year    = {1953},
  doi     = {10.1063/1.1699114}
}""",
}
TEMPERING = {
    "citation": (
        'K. Hukushima, K. Nemoto, "Exchange Monte Carlo Method and Application to Spin Glass Simulations", J.'
        ' Phys. Soc. Jpn. 65, 1604 (1996); J. Houdayer, "A cluster Monte Carlo algorithm for 2-dimensional '
        'spin glasses", Eur. Phys. J. B 22, 479 (2001)'
    ),
    "bibtex": """@article{Hukushima1996,
  author  = {Hukushima, Koji and Nemoto, Koji},
  title   = {Exchange {Monte Carlo} Method and Application to Spin Glass Simulations},
  journal = {J. Phys. Soc. Jpn.},
  volume  = {65},
  pages   = {1604},
  year    = {1996},
  doi     = {10.1143/JPSJ.65.1604}
}""",
}
PERFECT = {
    "citation": (
        'J. G. Propp, D. B. Wilson, "Exact sampling with coupled Markov chains and applications to '
        'statistical mechanics", Random Struct. Algorithms 9, 223 (1996)'
    ),
    "bibtex": """@article{Propp1996,
  author  = {Propp, James Gary and Wilson, David Bruce},
  title   = {Exact sampling with coupled {Markov} chains and applications to statistical mechanics},
  journal = {Random Struct. Algorithms},
  volume  = {9},
  pages   = {223},
  year    = {1996}
}""",
}
SWENDSEN_WANG = {
    "citation": (
        'R. H. Swendsen, J.-S. Wang, "Nonuniversal critical dynamics in Monte Carlo simulations", Phys. Rev. '
        "Lett. 58, 86 (1987)"
    ),
    "bibtex": """@article{Swendsen1987,
  author  = {Swendsen, Robert H. and Wang, Jian-Sheng},
  title   = {Nonuniversal critical dynamics in {Monte Carlo} simulations},
  journal = {Phys. Rev. Lett.},
  volume  = {58},
  pages   = {86},
  year    = {1987},
  doi     = {10.1103/PhysRevLett.58.86}
}""",
}
WOLFF = {
    "citation": ('U. Wolff, "Collective Monte Carlo Updating for Spin Systems", Phys. Rev. Lett. 62, 361 (1989)'),
    "bibtex": """@article{Wolff1989,
  author  = {Wolff, Ulli},
  title   = {Collective {Monte Carlo} Updating for Spin Systems},
  journal = {Phys. Rev. Lett.},
  volume  = {62},
  pages   = {361},
  year    = {1989},
  doi     = {10.1103/PhysRevLett.62.361}
}""",
}
