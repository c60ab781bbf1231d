"""A program that calls Cloud Monitor with boto3, once for each line of its input.

It prints "ready", then for each call "sends" as often as it sends it, then the
status and how often that was.
"""
import os, sys

os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = "/dev/null"
import boto3, botocore
from botocore.config import Config

endpoint, mode, attempts, access_key, secret_key = sys.argv[1:]
retries = {"mode": mode}
if attempts != "default":
    retries["total_max_attempts"] = int(attempts)
client = boto3.session.Session().client(
    "cloudwatch", endpoint_url=endpoint, region_name="cn-beijing-6",
    aws_access_key_id=access_key, aws_secret_access_key=secret_key,
    config=Config(retries=retries, connect_timeout=10, read_timeout=10),
)
sent = 0


def count(**_):
    global sent
    sent += 1
    print("sends", flush=True)


client.meta.events.register("before-send", count)
print("ready", flush=True)
for _ in sys.stdin:
    sent = 0
    try:
        result = client.list_metrics()["ResponseMetadata"]["HTTPStatusCode"]
    except botocore.exceptions.ClientError as e:
        result = e.response["ResponseMetadata"]["HTTPStatusCode"]
    except botocore.exceptions.BotoCoreError as e:
        result = type(e).__name__
    print(result, sent, flush=True)
