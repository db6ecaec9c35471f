"""The network and the data of a task."""

import classification
import data
import language

NETWORKS = {"xmc": classification.Network, "lm": language.Network}
DATA = {"xmc": data.Classification, "lm": data.Language}


def make(task, folder, weights, config, mode, batch=None, **options):
    """The network with these weights, and the data of the run in `folder`, in batches of its own size or of `batch`."""
    options.setdefault("seed", config["train"]["seed"])
    return NETWORKS[task](weights, config, mode, **options), DATA[task](folder, batch)
