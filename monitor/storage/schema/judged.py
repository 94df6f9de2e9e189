"""What the evaluator writes: judged windows, their findings, and the incidents made of them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, Table, Text

from monitor.storage.schema.columns import Id, String, metadata

# The evaluator's place, moved by compare-and-swap; its lease only saves work.
evaluator_cursor = Table(
    "evaluator_cursor",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("watermark_ms", BigInteger),
    Column("owner", String(200)),
    Column("lease_until_ms", BigInteger),
    # What was judged of windows that end later is judged again where it is stale, however long
    # ago: a replay counted them anew.
    Column("rejudge_from_ms", BigInteger),
)

window = Table(
    "window",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("length", String(16), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("end_ms", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
    Column("rev_sum", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("closed_by", String(16), nullable=False),  # watermark | idle | hold
    Column("incomplete", Text),  # JSON list of causes; null = complete
    Column("reference_digest", String(64), nullable=False),
    Column("monitor_revision", Integer, nullable=False),
    Column("fold", Text, nullable=False),  # JSON: the verdicts' state after this window
    Column("judged_ms", BigInteger, nullable=False),
    Index("ix_window_version_length_end", "version_id", "length", "end_ms"),
    # A segment's windows in order, without those of the other segments in between.
    Index("ix_window_segment", "version_id", "segment", "length", "start_ms"),
    sqlite_with_rowid=False,  # one tree, ordered by the key
)

# What else is known of a finding's distance: read for one feature, and left out of lists of many.
# Only where the window had values; a null number was not computable there.
# `driftline.stats.measures` says what each is.
_DISTANCES = (
    Column("psi_star", Float),  # PSI less what chance adds
    Column("psi_p", Float),
    Column("ks_p", Float),
    Column("w1_low", Float),  # the Wasserstein-1 distance lies between, in the feature's units
    Column("w1_high", Float),
    Column("w1_sigma", Float),  # its lower end in standard deviations of the reference
    Column("w1_tail", Float),  # share of it that comes from the outermost 1 % of values
    Column("js", Float),
    Column("hellinger", Float),
    Column("tv", Float),
    Column("linf", Float),
    Column("chi_square", Float),
    Column("chi_square_df", Integer),
    Column("chi_square_p", Float),
    Column("mean", Float),
    Column("mean_shift", Float),  # signed, in standard deviations of the reference
    Column("sd_low", Float),  # the standard deviation lies between
    Column("sd_high", Float),
    Column("sd_ratio", Float),  # over the reference's
    Column("infinite", Float),  # share of rows
    Column("zero", Float),  # shares of values
    Column("negative", Float),
    Column("differs", Float),  # from the one value of a constant reference
    Column("parts", Text),  # JSON list: what each group adds to PSI, in the gridset's order
)
DISTANCES = tuple(column.name for column in _DISTANCES)

# One feature of one window. A null number was not computable or not judged there. The key is all
# there is to find it by: who asks for one feature goes by the windows, each of which is a step.
finding = Table(
    "finding",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("length", String(16), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("feature", String(200), primary_key=True),
    Column("rows", BigInteger, nullable=False),  # rows of the window
    Column("n", BigInteger, nullable=False),  # values in bins
    Column("psi", Float),
    Column("psi_limit", Float),  # warning
    Column("psi_critical", Float),
    Column("psi_lower", Float),  # 99.9 % sure that the true PSI is above this
    Column("ks_low", Float),
    Column("ks_high", Float),
    # A rate: its value, the 99.9 % bound of its excess over the reference (signed: below
    # zero where it fell), and the tolerance that excess is held against.
    Column("missing", Float),
    Column("missing_excess", Float),
    Column("missing_limit", Float),
    Column("type_error", Float),
    Column("type_error_excess", Float),
    Column("type_error_limit", Float),
    Column("unseen", Float),
    Column("unseen_excess", Float),
    Column("unseen_limit", Float),
    Column("out_of_range", Float),
    Column("out_of_range_excess", Float),
    Column("out_of_range_limit", Float),
    # Worst evidence over its limit (1 = at the limit), and which statistic that is.
    Column("ratio", Float),
    Column("evidence", String(16)),
    # The smallest change the window could have shown: a shift in standard deviations of the
    # reference, or points of the rate that judges it; null where nothing was judged.
    Column("visible", Float),
    # ok | warning | critical | insufficient_data | blind | uncalibrated | collecting
    Column("verdict", String(20), nullable=False),
    # What the fold of verdicts reads, by statistic: warning and critical, each `e` (exceeds),
    # `c` (below the clearing line) or `-` (in between), as in "psi=e- missing=cc"; a
    # statistic that could not be evaluated is left out.
    Column("marks", String(400), nullable=False),
    Column("exceeds", String(200), nullable=False),  # statistics above their limit, comma-separated
    Column("is_alarming", Boolean, nullable=False),  # a latch is closed after this window
    *_DISTANCES,
    sqlite_with_rowid=False,  # one tree, ordered by the key
)

# All features of one window together: how many of those judged have drifted (an open latch
# after it; the model's own outputs are not counted).
model_window = Table(
    "model_window",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("length", String(16), primary_key=True),
    Column("start_ms", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("judged", Integer, nullable=False),
    Column("drifted", Integer, nullable=False),
    Column("share", Float),  # drifted over judged; null where none was judged
    Column("weighted", Float),  # the same by importance; null without one
    Column("verdict", String(20), nullable=False),
    sqlite_with_rowid=False,  # one tree, ordered by the key
)

# The hour findings of one local day, added up: a year of hours is too many rows for a page.
# Written by `monitor.storage.rollup` with the findings, and equal to a recount of them.
finding_day = Table(
    "finding_day",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("day_ms", BigInteger, primary_key=True),  # local midnight of the model's zone
    Column("feature", String(200), primary_key=True),
    # The worst hour: its evidence over its limit, and which statistic that is of.
    Column("ratio", Float),
    Column("evidence", String(16)),
    # Each statistic's worst hour, over its limit.
    Column("psi", Float),
    Column("missing", Float),
    Column("type_error", Float),
    Column("unseen", Float),
    Column("out_of_range", Float),
    Column("verdict", String(20), nullable=False),  # the worst
    Column("is_alarming", Boolean, nullable=False),  # in any hour
    sqlite_with_rowid=False,  # one tree, ordered by the key
)

# One latch of one length: from the window that closed it to the one that opened it again.
latch = Table(
    "latch",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("segment", String(500), primary_key=True),
    Column("feature", String(200), primary_key=True),
    Column("statistic", String(16), primary_key=True),
    Column("length", String(16), primary_key=True),
    Column("level", String(10), primary_key=True),  # warning | critical
    Column("opened_ms", BigInteger, primary_key=True),  # end of the window that latched
    Column("last_ms", BigInteger, nullable=False),  # end of the last exceeding window
    Column("closed_ms", BigInteger),
    Column("closed_as", String(12)),  # cleared | expired
    Column("clear_count", Integer, nullable=False),  # clear windows in a row, while open
    Column("last_evaluable_ms", BigInteger, nullable=False),
    Column("exceeding", Text, nullable=False),  # JSON [[start, end], ...]: the first ones
)

incident = Table(
    "incident",
    metadata,
    Column("number", Id, primary_key=True),
    Column("version_id", BigInteger, nullable=False, index=True),
    Column("segment", String(500), nullable=False),
    Column("feature", String(200), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("severity", String(10), nullable=False),
    Column("state", String(12), nullable=False, index=True),
    Column("muted", Boolean, nullable=False),
    Column("first_window_ms", BigInteger, nullable=False),
    Column("opened_ms", BigInteger, nullable=False),
    Column("told_ms", BigInteger),
    Column("resolved_ms", BigInteger),
    Column("episodes", Text, nullable=False),  # JSON
    Column("summary", Text, nullable=False),
    Column("evidence", Text, nullable=False),  # JSON
    Index("ix_incident_key", "version_id", "segment", "feature", "kind", "opened_ms"),
    # What stood at some time or later, without what was over long before.
    Index("ix_incident_standing", "version_id", "resolved_ms"),
    sqlite_autoincrement=True,  # no number comes again after a deletion
)

# Append-only: what happened to an incident, in event time and in wall time.
incident_event = Table(
    "incident_event",
    metadata,
    Column("id", Id, primary_key=True),
    Column("incident_number", BigInteger, nullable=False, index=True),
    Column("event", String(20), nullable=False),  # opened | escalated | resolved | reopened | ...
    Column("at_ms", BigInteger, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
)

# When a version was relieved by one that was promoted in its place, in event time.
takeover = Table(
    "takeover",
    metadata,
    Column("version_id", BigInteger, primary_key=True),
    Column("since_ms", BigInteger, primary_key=True),
    Column("sure_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger),
    Column("by_version_id", BigInteger, nullable=False),
)
