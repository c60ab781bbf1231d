import org.apache.http.client.methods.CloseableHttpResponse;
import org.apache.http.client.methods.HttpGet;
import org.apache.http.impl.client.CloseableHttpClient;
import org.apache.http.impl.client.HttpClients;
import org.apache.http.util.EntityUtils;

class Apache {
    public static void main(String[] args) throws Exception {
        HttpGet get = new HttpGet("http://" + args[0] + "/?Action=ListMetrics&Version=2010-05-25");
        try (CloseableHttpClient client = HttpClients.createDefault(); CloseableHttpResponse response = client.execute(get)) {
            EntityUtils.toString(response.getEntity());
            System.out.println(response.getStatusLine().getStatusCode());
        } catch (Exception e) {
            System.out.println(e);
        }
    }
}
