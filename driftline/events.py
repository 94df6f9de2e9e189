"""The event contract: what one logged prediction or label looks like.

This module is the whole agreement between a service that logs and Driftline
that counts. It holds types and the JSON Schema; it must not read bytes
(`driftline.wire` does) and must not decide what is admitted (the consumers do).
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from msgspec import UNSET, Meta, Struct

# Event times outside these years are a mistake of the producer.
MIN_TIME_MS: Final = 946_684_800_000  # 2000-01-01T00:00:00Z
MAX_TIME_MS: Final = 4_102_444_800_000  # 2100-01-01T00:00:00Z, exclusive
# A producer's clock may run ahead of the broker's by this much.
FUTURE_TOLERANCE_MS: Final = 300_000
# Names are keys in the database and labels on a page.
MAX_NAME: Final = 200

# Where a prediction's parts are profiled, beside the features.
PREDICTION: Final = "prediction"
SCORE: Final = "prediction.score"
SCORES_PREFIX: Final = "prediction.scores."

# Why a record or a line became a dead letter; docs and pages list them in this order.
REASONS: Final = {
    "oversized": "larger than a limit, of too many lines, or an Arrow stream or a compressed batch "
    "that becomes too large",
    "empty": "no bytes, or an Arrow stream without rows",
    "too_deep": "nested deeper than 64 levels",
    "bad_json": "not JSON",
    "bad_arrow": "called an Arrow IPC stream, and none that can be read",
    "column_invalid": "an Arrow column of a type that says nothing here, or twice of one name",
    "not_an_object": "JSON, but not an object",
    "type_missing": "no type",
    "type_unknown": "a type other than prediction and label",
    "model_missing": "no model",
    "model_invalid": "a model that is no text of 1 to 200 printable characters",
    "version_missing": "a prediction without a version",
    "version_invalid": "a version that is no text or integer of 1 to 200 printable characters",
    "time_missing": "no time",
    "time_no_offset": "a time without an offset from UTC",
    "time_invalid": "a time that is neither RFC 3339 nor integer milliseconds",
    "time_out_of_range": "a time outside the years 2000 to 2099",
    "time_in_future": "a time more than 5 minutes after the record was written to Kafka",
    "features_invalid": "features that are no object",
    "id_missing": "a label without an id",
    "label_missing": "a label without a label",
    "internal_error": "a fault of Driftline's own: please report it",
}


class Event(Struct, gc=False, omit_defaults=True):
    """One prediction or one label, as logged.

    Attributes
    ----------
    type : {"prediction", "label"}
    model : str
    time : aware datetime or int
        Event time, not arrival; an integer is epoch milliseconds.
    version : str or int
        Needed by predictions.
    id : any
        Joins labels to predictions; needed by labels. Equal ids count twice.
    features : dict
        Values by name; a name that is absent and one that is null are both missing.
    prediction : any
        A number, string or boolean, or ``{"value" | "class", "score"?, "scores"?}``.
    label : any
    tags : dict
        Words about the event that are no features, such as its region.

    Examples
    --------
    >>> Event("prediction", "flight-delay", 1360318500000, "3", features={"distance": 1400.0}).model
    'flight-delay'
    """

    type: Literal["prediction", "label"]
    model: str
    time: Annotated[datetime, Meta(tz=True)] | int
    version: str | int = ""
    id: Any = None
    features: dict[str, Any] | None = None
    prediction: Any = UNSET
    label: Any = UNSET
    tags: Any = None


_TIME: Final[dict[str, Any]] = {
    "description": "Event time: RFC 3339 with an offset, or integer epoch milliseconds.",
    "oneOf": [
        {"type": "string", "format": "date-time"},
        {"type": "integer", "minimum": MIN_TIME_MS, "exclusiveMaximum": MAX_TIME_MS},
    ],
}
_NAME: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": MAX_NAME}
_SCALAR: Final[list[dict[str, Any]]] = [
    {"type": "number"},
    {"type": "string"},
    {"type": "boolean"},
    {"type": "null"},
]

JSON_SCHEMA: Final[dict[str, Any]] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Driftline event",
    "description": "One prediction or one label. A Kafka record holds one object, or one a line.",
    "type": "object",
    "required": ["type", "model", "time"],
    "properties": {
        "type": {"enum": ["prediction", "label"]},
        "model": _NAME,
        "version": {"oneOf": [_NAME, {"type": "integer"}]},
        "time": _TIME,
        "id": {
            "description": "Joins labels to predictions.",
            "type": ["string", "integer", "null"],
        },
        "features": {
            "description": "Values by name. A value of a wrong type is counted as a type error "
            "of its feature; lists and objects only as present.",
            "type": ["object", "null"],
        },
        "prediction": {
            "oneOf": [
                *_SCALAR,
                {
                    "type": "object",
                    "properties": {
                        "value": {"oneOf": _SCALAR},
                        "class": {"oneOf": _SCALAR},
                        "score": {"type": ["number", "null"]},
                        "scores": {
                            "type": "object",
                            "additionalProperties": {"type": ["number", "null"]},
                        },
                    },
                },
            ]
        },
        "label": {"oneOf": _SCALAR},
        "tags": {"type": ["object", "null"]},
    },
    "allOf": [
        {
            "if": {"properties": {"type": {"const": "prediction"}}},
            "then": {"required": ["version"]},
            "else": {"required": ["id", "label"]},
        }
    ],
}
