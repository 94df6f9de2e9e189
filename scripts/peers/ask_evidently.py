"""Runs in Evidently's environment: prints its drift values of two CSV files as JSON.

`ask_evidently.py REFERENCE CURRENT NUMBERS CATEGORIES`, the last two column,column,...;
{column: {method: value}}.
"""

import json
import sys
import warnings

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import ValueDrift

warnings.simplefilter("ignore")
OF_NUMBERS = ("psi", "ks", "wasserstein", "jensenshannon", "hellinger")
OF_CATEGORIES = ("psi", "chisquare", "jensenshannon", "hellinger")


def main(reference, current, numbers, categories):
    """Ask for every method of every column in one report."""
    asked = [(c, m) for c in numbers for m in OF_NUMBERS]
    asked += [(c, m) for c in categories for m in OF_CATEGORIES]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=categories)
    frames = [
        Dataset.from_pandas(
            pd.read_csv(path, dtype=dict.fromkeys(categories, str)), data_definition=definition
        )
        for path in (current, reference)
    ]
    report = Report([ValueDrift(column=c, method=m) for c, m in asked]).run(*frames)
    said = {}
    for (column, method), metric in zip(asked, report.dict()["metrics"], strict=True):
        assert metric["config"]["column"] == column and metric["config"]["method"] == method
        said.setdefault(column, {})[method] = float(metric["value"])
    print(json.dumps(said))


main(sys.argv[1], sys.argv[2], sys.argv[3].split(","), sys.argv[4].split(","))
