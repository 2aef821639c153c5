"""Records to run programs on: two small real data sets, files of your own, and splits that stay as they are."""

from dspex.datasets._errors import DatasetError
from dspex.datasets._loader import DataLoader
from dspex.datasets._shipped import INTENTS, SENTIMENTS, intent, sentiment
from dspex.datasets._split import Split, split

__all__ = ["DataLoader", "DatasetError", "INTENTS", "SENTIMENTS", "Split", "intent", "sentiment", "split"]
