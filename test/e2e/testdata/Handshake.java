import java.net.Socket;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

/** Begins TLS with a server under each of some names, and prints whether the JVM takes its certificate. */
public class Handshake {
  public static void main(String[] args) throws Exception {
    for (int i = 1; i < args.length; i++) {
      try (var plain = new Socket("127.0.0.1", Integer.parseInt(args[0]));
          var tls = (SSLSocket) ((SSLSocketFactory) SSLSocketFactory.getDefault()).createSocket(plain, args[i], 443, true)) {
        var parameters = tls.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        tls.setSSLParameters(parameters);
        tls.startHandshake();
        System.out.println(args[i] + " taken");
      } catch (SSLException e) {
        System.out.println(args[i] + " refused: " + e.getMessage());
      }
    }
  }
}
