package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// measure loads a contender for d.
func measure(c *contender, d time.Duration) (round, error) {
	request := []byte("GET /?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&MetricName=cpu.utilizition.total" +
		"&InstanceID=00000000-aaaa-4bbb-8ccc-000000000001&StartTime=2026-11-01T00:00:00Z&EndTime=2026-11-01T01:00:00Z&Period=60 HTTP/1.1\r\n" +
		"Host: " + host + "\r\nUser-Agent: aws-sdk-go/1.44.204 (go1.26; linux; amd64)\r\nAccept: application/json\r\n" +
		"Authorization: AWS4-HMAC-SHA256 Credential=AKLTbench/20261101/cn-beijing-6/monitor/aws4_request, " +
		"SignedHeaders=accept;content-type;host;x-amz-date, Signature=" + strings.Repeat("0", 64) + "\r\n" +
		"Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\nX-Amz-Date: 20261101T000000Z\r\nAccept-Encoding: gzip\r\n\r\n")
	before := cpuTime(c)
	begin := time.Now()
	deadline := begin.Add(d)
	var wg sync.WaitGroup
	latencies := make([][]time.Duration, *conns)
	errs := make([]error, *conns)
	for i := range *conns {
		wg.Go(func() { latencies[i], errs[i] = hammer(c.address, request, deadline) })
	}
	wg.Wait()
	elapsed := time.Since(begin)
	spent := cpuTime(c) - before
	if err := errors.Join(errs...); err != nil {
		return round{}, err
	}
	all := slices.Concat(latencies...)
	if len(all) == 0 {
		return round{}, errors.New("no request was answered")
	}
	slices.Sort(all)
	return round{
		perSecond: float64(len(all)) / elapsed.Seconds(),
		cpu:       spent / time.Duration(len(all)),
		p50:       all[len(all)/2],
		p99:       all[len(all)*99/100],
		rss:       rss(c),
	}, nil
}

// hammer sends one request after the other on one connection.
func hammer(address string, request []byte, deadline time.Time) ([]time.Duration, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(deadline.Add(10 * time.Second)); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(conn, 64<<10)
	var latencies []time.Duration
	for {
		begin := time.Now()
		if begin.After(deadline) {
			return latencies, nil
		}
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
		if err := readResponse(r); err != nil {
			return nil, err
		}
		latencies = append(latencies, time.Since(begin))
	}
}

// readResponse reads one response that has a Content-Length.
func readResponse(r *bufio.Reader) error {
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("a response without Content-Length")
	}
	_, err := r.Discard(length)
	return err
}

// processes lists a contender's process and its children: nginx works in one.
func processes(c *contender) []int {
	if c.cmd == nil {
		return nil
	}
	pids := []int{c.cmd.Process.Pid}
	path := fmt.Sprintf("/proc/%d/task/%d/children", pids[0], pids[0])
	if children, err := os.ReadFile(path); err == nil {
		for field := range strings.FieldsSeq(string(children)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// cpuTime is the CPU time a contender has used. taskset replaces itself by the
// command, so the process is the proxy's own.
func cpuTime(c *contender) time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on Linux
	total := time.Duration(0)
	for _, pid := range processes(c) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			continue
		}
		// The command's name, in parentheses, may hold blanks.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, f := range fields[11:13] {
			n, _ := strconv.Atoi(f)
			total += time.Duration(n) * tick
		}
	}
	return total
}

// rss is a contender's resident memory in KiB.
func rss(c *contender) int {
	total := 0
	for _, pid := range processes(c) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				n, _ := strconv.Atoi(strings.Fields(v)[0])
				total += n
			}
		}
	}
	return total
}

// serveUpstream answers every request at once, with a success of size bytes or,
// of every hundred, errRate errors.
func serveUpstream(address string, size, errRate int) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	id := "00000000-1111-4222-8333-444444444425"
	answer := func(status, body string) []byte {
		return fmt.Appendf(nil, "HTTP/1.1 %s\r\nServer: bench\r\nDate: Sun, 01 Nov 2026 00:00:00 GMT\r\n"+
			"Content-Type: application/json;charset=UTF-8\r\nX-KSC-REQUEST-ID: %s\r\nContent-Length: %d\r\n\r\n%s", status, id, len(body), body)
	}
	prefix, suffix := `{"getMetricStatisticsResult":{"datapoints":{"member":[`, `]},"label":"cpu.utilizition.total"},"responseMetadata":{"requestId":"`+id+`"}}`
	member := `{"timestamp":"2026-03-18T06:00:00Z","unixTimestamp":1773813600000,"average":"1.25","max":"2.0","min":"0.5"}`
	body := prefix + member
	for len(body)+len(suffix)+len(member)+1 <= size {
		body += "," + member
	}
	success := answer("200 OK", body+suffix)
	failure := answer("409 Conflict", `{"requestid":"`+id+`","error":{"type":"sender","code":"LimitExceeded","message":"Request was rejected because the request speed of this openAPI is beyond the current flow control limit."}}`)
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			buf := make([]byte, 16<<10)
			for n, filled := 0, 0; ; {
				k, err := conn.Read(buf[filled:])
				if err != nil {
					return
				}
				filled += k
				if !bytes.HasSuffix(buf[:filled], []byte("\r\n\r\n")) {
					continue
				}
				filled = 0
				n++
				res := success
				if n*errRate/100 != (n-1)*errRate/100 {
					res = failure
				}
				if _, err := conn.Write(res); err != nil {
					return
				}
			}
		}()
	}
}
