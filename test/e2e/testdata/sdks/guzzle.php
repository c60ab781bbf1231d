<?php
require 'GuzzleHttp/autoload.php';

use GuzzleHttp\Client;
use GuzzleHttp\Psr7\Request;

try {
    echo (new Client())->send(new Request('GET', "http://{$argv[1]}/?Action=ListMetrics&Version=2010-05-25"))->getStatusCode(), "\n";
} catch (Exception $e) {
    echo get_class($e), ' ', $e->getMessage(), "\n";
}
