import com.ksc.auth.BasicAWSCredentials;
import com.ksc.monitor.KSCMonitorClient;
import com.ksc.monitor.model.ListMetricsRequest;

class Old {
    public static void main(String[] args) {
        KSCMonitorClient client = new KSCMonitorClient(new BasicAWSCredentials("made-up", "made-up"));
        client.setEndpoint("http://" + args[0]);
        try {
            System.out.println(client.listMetrics(new ListMetricsRequest()));
        } catch (RuntimeException e) {
            System.out.println(e);
        }
    }
}
