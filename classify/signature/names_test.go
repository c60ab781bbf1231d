package signature

import (
	"strings"
	"testing"
)

func TestIsParam(t *testing.T) {
	for _, name := range []string{
		"Accesskey", "AccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "SignatureNonce", "Nonce", "Timestamp",
		"SecurityToken", "X-Amz-Algorithm", "x-amz-date", "X-Ksc-Security-Token",
	} {
		if !IsParam(name) || !IsParam([]byte(strings.ToUpper(name))) {
			t.Errorf("%s is not of the signature", name)
		}
	}
	for _, name := range []string{"", "Action", "Version", "Service", "Region", "DryRun", "AccessKeyIds", "X-Action", "Sign", "Timestamps", "InstanceID", "密", "~", "x-amz"} {
		if IsParam(name) {
			t.Errorf("%s is of the signature", name)
		}
	}
}
