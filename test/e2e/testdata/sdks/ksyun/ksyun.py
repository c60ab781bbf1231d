"""The newer SDK, without its signature: requests-aws4auth is not in Debian."""
import os, sys, types

stub = types.ModuleType("requests_aws4auth")
stub.AWS4Auth = lambda *args, **kwargs: None
sys.modules["requests_aws4auth"] = stub
sys.path.insert(0, os.path.join(os.environ["VENDOR_SDKS"], "sdk-python"))
from ksyun.client.monitor.v20100525 import client, models
from ksyun.common import credential
from ksyun.common.profile.client_profile import ClientProfile
from ksyun.common.profile.http_profile import HttpProfile

profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=sys.argv[1], reqMethod="GET"))
try:
    print(client.MonitorClient(credential.Credential("made-up", "made-up"), "cn-beijing-6", profile).ListMetrics(models.ListMetricsRequest()))
except Exception as e:
    print(type(e).__name__, e)
