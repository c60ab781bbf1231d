<?php
// The older SDK, on Guzzle 7 instead of 6, whose functions it still calls.

namespace GuzzleHttp\Psr7 {
    function parse_query($text) { return Query::parse($text); }
    function build_query($params) { return Query::build($params); }
    function hash(...$args) { return Utils::hash(...$args); }
    function stream_for($body) { return Utils::streamFor($body); }
}

namespace {
    require 'GuzzleHttp/autoload.php';
    spl_autoload_register(function ($class) {
        @include getenv('VENDOR_SDKS') . '/ksc-sdk-php/src/' . str_replace('\\', '/', substr($class, strlen('Ksyun\\'))) . '.php';
    });
    try {
        $response = Ksyun\Service\Monitor::getInstance()->request('ListMetrics', [
            'base_uri' => "http://{$argv[1]}", 'v4_credentials' => ['ak' => 'made-up', 'sk' => 'made-up'],
        ]);
        echo $response->getStatusCode(), "\n";
    } catch (Exception $e) {
        echo get_class($e), ' ', $e->getMessage(), "\n";
    }
}
