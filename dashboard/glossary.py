"""The words of the pages that need an explanation, each in two sentences at most.

One table, so that a word means the same wherever it stands; `parts.term` shows it.
A text says what the word means for the reader, not how it is computed.
"""

from __future__ import annotations

TERMS = {
    "alarm": (
        "Over its limit in 2 of 3 windows. One window over its limit alone is not told: "
        "chance does that."
    ),
    "behind": (
        "How long the oldest record that waits had been in Kafka when the end of the log was last "
        "looked at. It is Kafka's time, not the events' own."
    ),
    "binding": (
        "Which reference judges a version, and since when. "
        "A change counts from an instant on; what was judged before stays."
    ),
    "blind": (
        "At this length the feature wobbles so much by itself that no shift could pass its limit. "
        "It is not judged here; another length or its rates may judge it."
    ),
    "calibrated": (
        "The limit knows how much the feature wobbles by itself, learnt from slices of the "
        "reference. Without that, distributions give warnings only."
    ),
    "calm": (
        "Below the line that chance and the natural wobble reach. Three calm windows in a row "
        "end an incident; one below the limit but above this line begins the count again."
    ),
    "certified": (
        "Computed from counts on a grid, so exact to within the interval: "
        "the true value lies inside it."
    ),
    "chi-square": (
        "How far the shares of the categories moved, weighed by the rows. Where nothing changed it "
        "is about as large as its degrees of freedom; it grows with the rows."
    ),
    "data to": (
        "Everything before this instant is counted, and nothing earlier is expected any more. "
        "Windows that end before it are judged."
    ),
    "dead letter": (
        "A record that could not be counted. It is kept with its reason, and nothing waits for it."
    ),
    "deficit": (
        "Records that were read before they could be counted, as their version had no "
        "reference yet."
    ),
    "epoch": (
        "How often the partition changed hands. Each new owner raises it, and a former owner with "
        "an older number can no longer write."
    ),
    "evidence": (
        "How far a window is from the reference, over its own limit. At 1 the limit is reached; "
        "limits differ by feature and size, so only this compares features."
    ),
    "expired": (
        "It ended because nothing could be judged for too long; whether the problem is over "
        "is not known."
    ),
    "fenced write": (
        "A former owner of a partition wanted to write after another had taken over, and was "
        "refused. That is how nothing is counted twice."
    ),
    "finding": "One statistic of one feature in one window, with its limit and what it means.",
    "fixed limit": (
        "A limit that somebody set, in the place of the learnt one: the statistic itself is held "
        "against it."
    ),
    "gap": (
        "Offsets that were gone before they could be read. Windows that may have lost records "
        "are marked incomplete."
    ),
    "group": (
        "A feature's values are put into groups of about equal weight in the reference; "
        "PSI compares the groups' shares."
    ),
    "hellinger": (
        "Distance of the square roots of the shares: 0 where they are the same, 1 where nothing is "
        "shared. Of numbers over the groups of PSI, of categories over the levels."
    ),
    "incident": (
        "The life of one problem: it opens when something is over its limit in 2 of 3 windows, "
        "and ends when that is over."
    ),
    "incomplete": "Some records of the window are missing, so its verdict may be wrong.",
    "js": (
        "Jensen-Shannon distance, by natural logarithms: 0 where the shares are the same, 0.83 "
        "where nothing is shared. Of numbers over the groups of PSI, of categories over the levels."
    ),
    "ks": (
        "Kolmogorov-Smirnov: the largest gap between the two cumulative curves, from 0 (alike) "
        "to 1 (nothing in common)."
    ),
    "lag": "Records between the last one counted and the end of the log, at the last look.",
    "late": (
        "Over an hour older than the newest event of its partition. It is counted in its window; "
        "a window that was judged already is judged again."
    ),
    "limit": (
        "What the statistic must pass before it counts as a change. It rises where rows are few "
        "and where the feature wobbles by itself."
    ),
    "linf": "The largest change of the share of any one group, or category.",
    "member": (
        "One feature, segment and kind of problem. What moved together is one incident with "
        "several members; each has a number, a state and evidence of its own."
    ),
    "monitor": "What is judged of a model: which lengths, features, segments and limits.",
    "muted": (
        "No message tells of it, as another speaks for it: the same feature over all rows, a "
        "silent model, or a feature that is not sent. It is judged and kept, and told when that "
        "ends, if it stands then."
    ),
    "natural wobble": (
        "How much a feature differs from one window to the next although nothing is wrong, as "
        "seen in the reference. Limits lie above it."
    ),
    "out of range": "Rows whose value is below the smallest or above the largest of the reference.",
    "pending": "One window was over its limit, the second has not come. Nobody is told yet.",
    "psi": (
        "Population stability index: 0 when a window's shares equal the reference's. "
        "Near 0.1 is a small shift, above 0.25 a large one."
    ),
    "recovering": (
        "The last windows were calm, but fewer than three in a row. The third one ends it."
    ),
    "reference": (
        "The counts of the data that the model was trained on. Every window is compared with it."
    ),
    "revised": "Late events came after the window was judged, so it was judged again.",
    "segment": (
        "The rows with one value of a column that was declared at registration, such as "
        "origin=JFK; “all” is every row."
    ),
    "sigma": (
        "Standard deviations of the reference, so that features of any unit can be compared."
    ),
    "slices": (
        "The reference cut into hours, days and weeks, each compared with the rest. "
        "That is how its natural wobble is known."
    ),
    "smallest shift": (
        "What a window of so many rows could have shown: a smaller change passes no limit. More "
        "rows, or a longer window, show less."
    ),
    "superseded": "Another version of the model answers now, so the problem is no longer its own.",
    "sure": (
        "In 999 of 1,000 windows like this one the true value lies above the lower edge of the "
        "band. With few rows the band is wide, and chance alone alarms nobody."
    ),
    "too few rows": "So few rows that chance alone could move the statistic past its limit.",
    "tv": "Total variation: the share of rows that would have to change to give the reference's.",
    "unseen": "Rows with a value that the reference does not have.",
    "w1": (
        "Wasserstein distance: how far values must be moved, on average, to turn one "
        "distribution into the other."
    ),
    "watermark": "Event time before which nothing more is expected.",
    "window": "An hour, a day, a week or 28 days of events that are judged as one.",
    "withdrawn": (
        "Late events changed the windows it was told of, and on the whole data it did not hold."
    ),
}


def explained(word: str) -> str:
    """Return what a word means; a word that is not in the table is a fault of the page.

    >>> explained("Unseen")
    'Rows with a value that the reference does not have.'
    """
    return TERMS[word.casefold()]
