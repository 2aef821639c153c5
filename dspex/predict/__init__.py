"""Modules: what programs are made of."""

from dspex.predict._aggregation import majority
from dspex.predict._best_of_n import BestOfN, Refine
from dspex.predict._chain_of_thought import ChainOfThought
from dspex.predict._knn import KNN
from dspex.predict._module import Module
from dspex.predict._multi_chain import MultiChainComparison
from dspex.predict._parallel import Parallel
from dspex.predict._predict import Predict
from dspex.predict._react import ReAct

__all__ = [
    "BestOfN",
    "ChainOfThought",
    "KNN",
    "Module",
    "MultiChainComparison",
    "Parallel",
    "Predict",
    "ReAct",
    "Refine",
    "majority",
]
