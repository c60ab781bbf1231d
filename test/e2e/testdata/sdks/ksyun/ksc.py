"""The older SDK, kscore."""
import os, sys

sys.path.insert(0, os.path.join(os.environ["VENDOR_SDKS"], "ksc-sdk-python"))
from kscore.session import get_session

client = get_session().create_client(
    "monitor", "cn-beijing-6", endpoint_url="http://" + sys.argv[1],
    ks_access_key_id="made-up", ks_secret_access_key="made-up")
try:
    print(client.list_metrics(InstanceID="made-up", Namespace="kec"))
except Exception as e:
    print(type(e).__name__, e)
