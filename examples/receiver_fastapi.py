"""A receiver of Driftline's webhooks with FastAPI.

pip install driftline fastapi uvicorn
export WEBHOOK_SECRET=whsec_...        # what `driftline endpoint add` printed
uvicorn receiver_fastapi:app --port 9000
"""

import os

from fastapi import FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool

from driftline import Alert, WebhookVerificationError, verify_webhook

# Several while a secret is rotated: "whsec_new whsec_old".
SECRETS = os.environ["WEBHOOK_SECRET"].split()

app = FastAPI()
# A real service keeps these where a restart does not lose them, in the transaction that acts.
seen: set[str] = set()


@app.post("/drift", status_code=204)
async def drift(request: Request) -> None:
    """Act on an alert once; answer quickly, long work belongs in a queue."""
    try:
        # The body as it came: parsed and written again it has another signature.
        alert = verify_webhook(request.headers, await request.body(), SECRETS)
    except WebhookVerificationError as error:
        raise HTTPException(400, error.reason) from error
    if alert.webhook_id not in seen:
        await run_in_threadpool(act, alert)
        # Only now: what failed is answered with 500 and comes again.
        seen.add(alert.webhook_id)


def act(alert: Alert) -> None:
    """What the alert is for; newer servers may send types that this code does not know."""
    print(f"{alert.type} #{alert.sequence}: {alert.summary}", flush=True)
    if not alert.type.startswith("drift."):  # silence, a broken schema: no limit was passed
        return
    for incident in alert.incidents:
        print(f"  {incident.feature} ({incident.kind}): {incident.value} over {incident.limit}")
