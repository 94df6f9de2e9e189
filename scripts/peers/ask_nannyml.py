"""Runs in NannyML's environment: writes a log as CSV, prints which chunks it alarms in.

`ask_nannyml.py FOLDER LOG`: FOLDER/LOG-reference.csv and -analysis.csv, and as JSON
{check: {column: [alarm of chunk 0, 1, ...]}}. Chunks of 5,000 rows, everything else as its
quick start has it.
"""

import json
import sys
import warnings
from pathlib import Path

import nannyml as nml

warnings.simplefilter("ignore")
CHUNK = 5_000
LOGS = {
    "synthetic_binary": nml.load_synthetic_binary_classification_dataset,
    "car_loan": nml.load_synthetic_car_loan_dataset,
    "car_loan_quality": nml.load_synthetic_car_loan_data_quality_dataset,
}
NO_FEATURE = ("id", "identifier", "timestamp", "period")


def alarms(result, columns, key):
    """One list of booleans for each column."""
    frame = result.filter(period="analysis").to_df()
    return {name: [bool(v) for v in frame[(name, *key)]] for name in columns}


def main(folder, name):
    """Write the log, judge it."""
    reference, analysis, _ = LOGS[name]()
    reference.to_csv(folder / f"{name}-reference.csv", index=False)
    analysis.to_csv(folder / f"{name}-analysis.csv", index=False)
    columns = [c for c in analysis.columns if c not in NO_FEATURE]
    words = [c for c in columns if analysis[c].dtype.kind in "OS"]
    drift = nml.UnivariateDriftCalculator(
        column_names=columns, treat_as_categorical=["y_pred"], chunk_size=CHUNK
    )
    missing = nml.MissingValuesCalculator(column_names=columns, chunk_size=CHUNK)
    unseen = nml.UnseenValuesCalculator(column_names=words, chunk_size=CHUNK)
    said = {}
    for check, calculator, used, key in (
        ("drift", drift, columns, ("jensen_shannon", "alert")),
        ("missing", missing, columns, ("alert",)),
        ("unseen", unseen, words, ("alert",)),
    ):
        calculator.fit(reference)
        said[check] = alarms(calculator.calculate(analysis), used, key)
    print(json.dumps(said))


main(Path(sys.argv[1]), sys.argv[2])
