package metrics

import (
	"cmp"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ProxyStats is the state of the relay at one moment. The counts are since the
// start of the program.
type ProxyStats struct {
	ClientConnections    int64 // open
	UpstreamConnections  int64 // open
	ConnectionsAccepted  int64
	ConnectionsRefused   int64 // of them, those beyond the limit
	ConnectionsReclaimed int64 // closed while they waited, to make room for others
	BufferBytes          int64 // in use
	BytesReceived        int64 // from programs
	BytesSent            int64 // to programs
	Dials                int64
	Panics               int64
	UnobservedRequests   int64 // relayed without being looked into
	Intercepted          int64 // connections whose TLS was ended here
	Tunnels              int64 // CONNECTs passed on unseen
	TappedTunnels        int64 // of Tunnels, those to tapped hosts
	OpenTunnels          int64
	NotRedirected        int64 // connections that should have been redirected
	Looped               int64 // connections of our own that should not have been
}

// CSMStats is the state of the intake of SDK telemetry. The counts are since
// the start of the program.
type CSMStats struct {
	Datagrams  int64
	Attempts   int64 // records of attempts
	Announced  int64 // attempts that records of calls sum up
	Duplicates int64 // attempts known from the proxy
	Rejected   int64 // datagrams that are no known record
}

// ResignStats is the state of the tap's own address, where calls are signed
// anew.
type ResignStats struct {
	NotAllowed    int64     // connections from where none may come, since the start of the program
	NotSecured    int64     // connections whose TLS failed, likewise
	CredentialsOK bool      // they could last be read
	Credentials   time.Time // when they last changed
}

// PathStats is how the last check of the way to the API ended.
type PathStats struct {
	Done        bool   // there was one
	Failed      string // the stage; "" is success
	LastSuccess time.Time
	Duration    time.Duration
}

// QueueStats is the state of the queue before the sinks other than the metrics.
type QueueStats struct {
	Length   int
	Capacity int
}

// JournalStats is the state of the journal of failures.
type JournalStats struct {
	Entries  int
	Capacity int
	Evicted  uint64 // since the start of the program
}

// ClockStats is a clock that a program signs by, against that of the API.
type ClockStats struct {
	Client      string        // the address it calls from; "" for the tap's own clock, or its program's
	Skew        time.Duration // ahead of the API's; behind, if negative
	Uncertainty time.Duration
}

// Sources read what the exporter itself keeps when a scrape asks. They are
// called from several goroutines; nil leaves out the families.
type Sources struct {
	Queue   func() QueueStats
	Clocks  func() []ClockStats
	Journal func() JournalStats
}

// state collects the metrics that are read when they are asked for.
type state struct {
	start   time.Time // from when the counts are
	proxy   func() ProxyStats
	csm     func() CSMStats
	resign  func() ResignStats
	path    func() PathStats
	stages  []string
	expiry  func() time.Time
	sources atomic.Pointer[Sources]
}

var _ prometheus.Collector = (*state)(nil)

// The descriptions of what state collects.
var (
	descClientConns     = famClientConns.desc()
	descAccepted        = famAccepted.desc()
	descRefused         = famRefused.desc()
	descReclaimed       = famReclaimed.desc()
	descBufferBytes     = famBufferBytes.desc()
	descReceived        = famReceived.desc()
	descSent            = famSent.desc()
	descUpstreamConns   = famUpstreamConns.desc()
	descDials           = famDials.desc()
	descPanics          = famPanics.desc()
	descUnobserved      = famUnobserved.desc()
	descIntercepted     = famIntercepted.desc()
	descTunnels         = famTunnels.desc()
	descTappedTunnels   = famTappedTunnels.desc()
	descOpenTunnels     = famOpenTunnels.desc()
	descNotRedirected   = famNotRedirected.desc()
	descCANotAfter      = famCANotAfter.desc()
	descCSMDatagrams    = famCSMDatagrams.desc()
	descCSMAttempts     = famCSMAttempts.desc()
	descCSMAnnounced    = famCSMAnnounced.desc()
	descCSMDuplicates   = famCSMDuplicates.desc()
	descCSMRejected     = famCSMRejected.desc()
	descResignRefused   = famResignRefused.desc()
	descResignOK        = famResignReloadOK.desc()
	descResignTime      = famResignReloadTime.desc()
	descPathSuccess     = famPathSuccess.desc()
	descPathFailed      = famPathFailed.desc()
	descPathTime        = famPathTime.desc()
	descPathDuration    = famPathDuration.desc()
	descQueueLength     = famQueueLength.desc()
	descQueueCapacity   = famQueueCapacity.desc()
	descJournalEntries  = famJournalEntries.desc()
	descJournalCapacity = famJournalCapacity.desc()
	descJournalEvicted  = famJournalEvicted.desc()
	descClockSkew       = famClockSkew.desc()
	descClockUncertain  = famClockUncertain.desc()
)

// Describe implements prometheus.Collector.
func (s *state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descClientConns, descAccepted, descRefused, descReclaimed, descBufferBytes, descReceived, descSent,
		descUpstreamConns, descDials,
		descPanics, descUnobserved,
		descIntercepted, descTunnels, descTappedTunnels, descOpenTunnels, descCANotAfter, descNotRedirected,
		descCSMDatagrams, descCSMAttempts, descCSMAnnounced, descCSMDuplicates, descCSMRejected,
		descResignRefused, descResignOK, descResignTime,
		descPathSuccess, descPathFailed, descPathTime, descPathDuration,
		descQueueLength, descQueueCapacity,
		descJournalEntries, descJournalCapacity, descJournalEvicted,
		descClockSkew, descClockUncertain,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	if s.proxy != nil {
		p := s.proxy()
		sendGauge(ch, descClientConns, p.ClientConnections)
		sendGauge(ch, descUpstreamConns, p.UpstreamConnections)
		s.sendCount(ch, descAccepted, p.ConnectionsAccepted)
		s.sendCount(ch, descRefused, p.ConnectionsRefused)
		s.sendCount(ch, descReclaimed, p.ConnectionsReclaimed)
		sendGauge(ch, descBufferBytes, p.BufferBytes)
		s.sendCount(ch, descReceived, p.BytesReceived)
		s.sendCount(ch, descSent, p.BytesSent)
		s.sendCount(ch, descDials, p.Dials)
		s.sendCount(ch, descPanics, p.Panics)
		s.sendCount(ch, descUnobserved, p.UnobservedRequests)
		s.sendCount(ch, descIntercepted, p.Intercepted)
		s.sendCount(ch, descTunnels, p.Tunnels)
		s.sendCount(ch, descTappedTunnels, p.TappedTunnels)
		sendGauge(ch, descOpenTunnels, p.OpenTunnels)
		s.sendCount(ch, descNotRedirected, p.NotRedirected, "direct")
		s.sendCount(ch, descNotRedirected, p.Looped, "loop")
	}
	if s.csm != nil {
		c := s.csm()
		s.sendCount(ch, descCSMDatagrams, c.Datagrams)
		s.sendCount(ch, descCSMAttempts, c.Attempts)
		s.sendCount(ch, descCSMAnnounced, c.Announced)
		s.sendCount(ch, descCSMDuplicates, c.Duplicates)
		s.sendCount(ch, descCSMRejected, c.Rejected)
	}
	if s.resign != nil {
		r := s.resign()
		s.sendCount(ch, descResignRefused, r.NotAllowed, "address")
		s.sendCount(ch, descResignRefused, r.NotSecured, "tls")
		sendGauge(ch, descResignOK, asNumber(r.CredentialsOK))
		sendGauge(ch, descResignTime, r.Credentials.Unix())
	}
	if s.path != nil {
		s.collectPath(ch)
	}
	if s.expiry != nil {
		sendGauge(ch, descCANotAfter, s.expiry().Unix())
	}
	src := s.sources.Load()
	if src == nil {
		return
	}
	if src.Queue != nil {
		q := src.Queue()
		sendGauge(ch, descQueueLength, q.Length)
		sendGauge(ch, descQueueCapacity, q.Capacity)
	}
	if src.Clocks != nil {
		clocks := src.Clocks()
		for _, c := range clocks[:min(len(clocks), MaxClients)] {
			client := cmp.Or(c.Client, clientSelf)
			ch <- prometheus.MustNewConstMetric(descClockSkew, prometheus.GaugeValue, c.Skew.Seconds(), client)
			ch <- prometheus.MustNewConstMetric(descClockUncertain, prometheus.GaugeValue, c.Uncertainty.Seconds(), client)
		}
	}
	if src.Journal != nil {
		j := src.Journal()
		sendGauge(ch, descJournalEntries, j.Entries)
		sendGauge(ch, descJournalCapacity, j.Capacity)
		s.sendCount(ch, descJournalEvicted, int64(j.Evicted)) //nolint:gosec // no journal evicts that many
	}
}

// collectPath sends how the last check of the path ended, if there was one.
func (s *state) collectPath(ch chan<- prometheus.Metric) {
	p := s.path()
	if !p.Done {
		return
	}
	sendGauge(ch, descPathSuccess, asNumber(p.Failed == ""))
	for _, stage := range s.stages {
		ch <- prometheus.MustNewConstMetric(descPathFailed, prometheus.GaugeValue, float64(asNumber(p.Failed == stage)), stage)
	}
	if !p.LastSuccess.IsZero() {
		sendGauge(ch, descPathTime, p.LastSuccess.Unix())
	}
	ch <- prometheus.MustNewConstMetric(descPathDuration, prometheus.GaugeValue, p.Duration.Seconds())
}

// asNumber is how metrics tell whether.
func asNumber(b bool) int {
	if b {
		return 1
	}
	return 0
}

// number is a count of any size.
type number interface{ int | int64 }

// sendGauge sends v as what may go up and down.
func sendGauge[N number](ch chan<- prometheus.Metric, d *prometheus.Desc, v N) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
}

// sendCount sends v as what only goes up, with its start.
func (s *state) sendCount(ch chan<- prometheus.Metric, d *prometheus.Desc, v int64, labels ...string) {
	ch <- prometheus.MustNewConstMetricWithCreatedTimestamp(d, prometheus.CounterValue, float64(v), s.start, labels...)
}
