//go:build linux

package main

import (
	"fmt"
	"strconv"
)

// way is how calls go: plain or by TLS, to the proxy and on to the upstream.
type way struct {
	name          string
	tlsIn, tlsOut bool
}

var ways = []way{{"http", false, false}, {"https", false, true}, {"intercept", true, true}}

// fixedRate is in calls per second.
const fixedRate = 1000

// load is what the proxies are loaded with.
type load struct {
	way         way
	kib         int // size of a successful answer's body
	connections int // each with one call after the other; 0 is fixedRate over 64
	errors      int // percent
}

func (l load) String() string {
	connections := "rate"
	if l.connections > 0 {
		connections = strconv.Itoa(l.connections)
	}
	return fmt.Sprintf("%s/%dKiB/%s/%d%%", l.way.name, l.kib, connections, l.errors)
}

// allLoads returns every load that can be measured.
func allLoads() (all []load) {
	for _, w := range ways {
		for _, kib := range []int{1, 60} {
			for _, connections := range []int{1, 64, 0} {
				for _, errors := range []int{0, 10, 100} {
					all = append(all, load{w, kib, connections, errors})
				}
			}
		}
	}
	return all
}

// Memory is measured under these names.
const (
	memoryIdle  = "memory/idle"
	memoryCalls = "memory/calls"
	memoryPairs = "memory/pairs"
)

// goal is what the tap is to reach: a ratio to nginx under a load, or bytes.
type goal struct {
	load   string
	metric metric // of nothing, for memory
	limit  float64
}

// goals are the rows of the table of goals; some have several parts.
var goals = []struct {
	title string
	parts []goal
}{
	{"throughput, http, 1 KiB, 64 connections", []goal{{"http/1KiB/64/10%", throughput, 1.15}}},
	{"throughput, http, 60 KiB, 64 connections", []goal{{"http/60KiB/64/10%", throughput, 1.3}}},
	{"CPU per call, http, 1 KiB, 1 connection", []goal{{"http/1KiB/1/10%", cpuTime, 1}}},
	{"CPU per call, http, 60 KiB, 1 connection", []goal{{"http/60KiB/1/10%", cpuTime, 1}}},
	{"added p50 / p99 at 1,000/s, http, 1 KiB", []goal{{"http/1KiB/rate/10%", addedP50, 0.9}, {"http/1KiB/rate/10%", addedP99, 1}}},
	{"throughput, https upstream, 1 / 60 KiB, 64 connections", []goal{{"https/1KiB/64/10%", throughput, 1.1}, {"https/60KiB/64/10%", throughput, 1.1}}},
	{"throughput, interception, 1 / 60 KiB, 64 connections", []goal{{"intercept/1KiB/64/10%", throughput, 1}, {"intercept/60KiB/64/10%", throughput, 1}}},
	{"throughput, http, 1 KiB, 64 connections, 100 % errors", []goal{{"http/1KiB/64/100%", throughput, 0.7}}},
	{"memory, idle", []goal{{memoryIdle, metric{}, 15 << 20}}},
	{"memory, after many calls", []goal{{memoryCalls, metric{}, 30 << 20}}},
	{"memory per idle pair of connections", []goal{{memoryPairs, metric{}, 6 << 10}}},
}

// withoutGoal are measured as well.
var withoutGoal = []string{"http/1KiB/64/0%", "http/60KiB/64/0%", "https/1KiB/1/10%", "intercept/1KiB/1/10%"}
