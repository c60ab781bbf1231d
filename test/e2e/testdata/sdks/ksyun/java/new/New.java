import common.utils.HttpClientUtils;
import java.util.HashMap;
import java.util.Map;

/** The HTTP client of the newer SDK alone: its signature needs the AWS SDK v2, which Debian does not have. */
class New {
    public static void main(String[] args) {
        Map<String, Object> query = new HashMap<>();
        query.put("Action", "ListMetrics");
        query.put("Version", "2010-05-25");
        try {
            System.out.println(HttpClientUtils.httpGet(args[0] + "/", query));
        } catch (Exception e) {
            System.out.println(e);
        }
    }
}
