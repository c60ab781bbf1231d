//go:build linux

package main

import (
	"fmt"
	"strconv"
)

// way says whether TLS is used, to the proxy and from it to the upstream.
type way struct {
	name          string
	tlsIn, tlsOut bool
}

var ways = []way{{"http", false, false}, {"https", false, true}, {"intercept", true, true}}

// fixedRate is the rate of the open-loop runs, in calls per second.
const fixedRate = 1000

// load is a workload for the proxies.
type load struct {
	way         way
	kib         int // size of the body of a success, in KiB
	connections int // each with sequential calls; 0 means fixedRate on 64 connections
	errors      int // percentage of calls that fail
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

// The names of the memory measurements.
const (
	memoryIdle  = "memory/idle"
	memoryCalls = "memory/calls"
	memoryPairs = "memory/pairs"
	// memoryTLSPairs is memoryPairs with TLS on both sides.
	memoryTLSPairs = "memory/pairs/intercept"
)

var memories = []string{memoryIdle, memoryCalls, memoryPairs, memoryTLSPairs}

// goal is the tap's target: a ratio to nginx under a load, or bytes.
type goal struct {
	load   string
	metric metric // unused for memory
	limit  float64
}

// goals are the rows of the table of goals. Some have several parts.
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

// withoutGoal lists the other rows that are measured by default.
var withoutGoal = []string{"http/1KiB/64/0%", "http/60KiB/64/0%", "https/1KiB/1/10%", "intercept/1KiB/1/10%", memoryTLSPairs}
