import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

/** A program that fetches each URL that it is given, set up by nothing but the JVM's options. */
public class Fetch {
  public static void main(String[] urls) throws Exception {
    for (var url : urls) {
      var request = HttpRequest.newBuilder(URI.create(url)).build();
      System.out.println(HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).statusCode());
    }
  }
}
