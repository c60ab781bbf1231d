import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.HexFormat;
import java.util.TreeMap;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** A program that calls the API with Java's own client, set up by nothing but the JVM's options. */
public class Client {
  static final HttpClient CLIENT = HttpClient.newHttpClient();

  static String encode(String s) {
    return URLEncoder.encode(s, StandardCharsets.UTF_8).replace("+", "%20").replace("%7E", "~").replace("*", "%2A");
  }

  static void call(String[] keys, String... fields) throws Exception {
    var params = new TreeMap<String, String>();
    params.put("Action", "ListMetrics");
    params.put("Version", "2010-05-25");
    params.put("Service", "monitor");
    params.put("Accesskey", keys[0]);
    params.put("SignatureVersion", "1.0");
    params.put("SignatureMethod", "HMAC-SHA256");
    params.put("Timestamp", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
    var query = params.entrySet().stream().map(e -> encode(e.getKey()) + "=" + encode(e.getValue())).collect(Collectors.joining("&"));
    var mac = Mac.getInstance("HmacSHA256");
    mac.init(new SecretKeySpec(keys[1].getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
    query += "&Signature=" + HexFormat.of().formatHex(mac.doFinal(query.getBytes(StandardCharsets.UTF_8)));
    var request = HttpRequest.newBuilder(URI.create("https://monitor.api.ksyun.com/?" + query)).header("Accept", "application/json");
    if (fields.length > 0) {
      request.headers(fields);
    }
    System.out.println(CLIENT.send(request.build(), HttpResponse.BodyHandlers.ofString()).statusCode());
  }

  public static void main(String[] keys) throws Exception {
    call(keys);
    call(keys, "X-Simulate", "error=LimitExceeded");
  }
}
