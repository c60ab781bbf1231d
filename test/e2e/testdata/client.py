"""A program that calls the API with requests, as the vendor documents the simple signature."""
import datetime, hashlib, hmac, sys, urllib.parse
import requests

access_key, secret_key = sys.argv[1:3]


def call(**extra):
    params = {
        "Action": "ListMetrics", "Version": "2010-05-25", "Service": "monitor", "Accesskey": access_key,
        "SignatureVersion": "1.0", "SignatureMethod": "HMAC-SHA256",
        "Timestamp": datetime.datetime.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    text = "&".join(urllib.parse.quote(k, safe="~") + "=" + urllib.parse.quote(v, safe="~") for k, v in sorted(params.items()))
    params["Signature"] = hmac.new(secret_key.encode(), text.encode(), hashlib.sha256).hexdigest()
    response = requests.get("https://monitor.api.ksyun.com/", params=params, headers={"Accept": "application/json", **extra}, timeout=30)
    print(response.status_code)


call()
call(**{"X-Simulate": "error=LimitExceeded"})
