<?php
// The newer SDK, without its signature: the AWS SDK for PHP is not in Debian.

namespace Aws\Credentials {
    class Credentials
    {
        public function __construct($key, $secret, $token = null) {}
    }
}

namespace Aws\Signature {
    class SignatureV4
    {
        public function __construct($service, $region) {}
        public function signRequest($request, $credentials) { return $request; }
    }
}

namespace {
    require 'GuzzleHttp/autoload.php';
    spl_autoload_register(function ($class) {
        @include getenv('VENDOR_SDKS') . '/sdk-php/src/' . str_replace('\\', '/', $class) . '.php';
    });
    $profile = new Ksyun\Common\Http\HttpOptions('http://', $argv[1], 'GET', 60);
    $client = new Ksyun\Client\Monitor\V20100525\MonitorClient(new Ksyun\Common\Credential('made-up', 'made-up'), 'cn-beijing-6', $profile);
    try {
        $request = new Ksyun\Client\Monitor\V20100525\Models\ListMetricsRequest($profile);
        print_r($client->ListMetrics($request));
    } catch (Exception $e) {
        echo get_class($e), ' ', $e->getMessage(), "\n";
    }
}
