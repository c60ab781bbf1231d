package alerts
import (
	_ "github.com/prometheus/prometheus/rules"
	_ "github.com/prometheus/prometheus/scrape"
	_ "github.com/prometheus/prometheus/tsdb"
	_ "github.com/prometheus/prometheus/promql"
	_ "github.com/ksyun-tap/ksyun-tap/internal/rules"
	_ "github.com/ksyun-tap/ksyun-tap/exporter/metrics"
)
