"""A receiver of Driftline's webhooks with Flask.

pip install driftline flask
export WEBHOOK_SECRET=whsec_...        # what `driftline endpoint add` printed
flask --app receiver_flask run --port 9000
"""

import os

from flask import Flask, abort, request

from driftline import WebhookVerificationError, verify_webhook

# Several while a secret is rotated: "whsec_new whsec_old".
SECRETS = os.environ["WEBHOOK_SECRET"].split()

app = Flask(__name__)
# A real service keeps these where a restart does not lose them, in the transaction that acts.
seen: set[str] = set()


@app.post("/drift")
def drift() -> tuple[str, int]:
    """Act on an alert once; answer quickly, long work belongs in a queue."""
    try:
        # The body as it came: parsed and written again it has another signature.
        alert = verify_webhook(request.headers, request.get_data(), SECRETS)
    except WebhookVerificationError as error:
        abort(400, error.reason)
    if alert.webhook_id not in seen:
        print(f"{alert.type} #{alert.sequence}: {alert.summary}", flush=True)
        # Only now: what failed is answered with 500 and comes again.
        seen.add(alert.webhook_id)
    return "", 204
