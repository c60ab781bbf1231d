package web

import (
	"net/http"
	"time"
)

// Status describes the running program for /api/v1/status. The functions may be
// called concurrently. If one is nil, its endpoint responds with an empty object.
type Status struct {
	// Config returns the settings as YAML, without secrets.
	Config func() string
	// Flags returns the settings as text, by the names of flags, without secrets.
	Flags func() map[string]string
	Build BuildInfo
	// Runtime returns the state of the process.
	Runtime func() RuntimeInfo
	// Reloads returns the times of the last reloads that succeeded, oldest first.
	Reloads func() []time.Time
	// Settings returns the settings with the source of each, without secrets.
	Settings func() []Setting
	// Losses returns what was lost because a queue or a limit was exceeded.
	Losses func() []Loss
}

// Setting is a setting and where its value comes from.
type Setting struct {
	Name, Value string
	Source      string // a flag, a variable, a place in a file, or "default"
}

// Loss is a number of things that were lost.
type Loss struct {
	Kind  string // key of its name in texts.yaml after "loss."
	Count uint64
}

// BuildInfo describes the build, with the keys of Prometheus' API.
type BuildInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	Branch    string `json:"branch"`
	BuildUser string `json:"buildUser"`
	BuildDate string `json:"buildDate"`
	GoVersion string `json:"goVersion"`
}

// RuntimeInfo describes the process, with the keys of Prometheus' API.
type RuntimeInfo struct {
	StartTime           time.Time `json:"startTime"`
	CWD                 string    `json:"CWD"`
	Hostname            string    `json:"hostname"`
	ServerTime          time.Time `json:"serverTime"`
	ReloadConfigSuccess bool      `json:"reloadConfigSuccess"`
	LastConfigTime      time.Time `json:"lastConfigTime"`
	GoroutineCount      int       `json:"goroutineCount"`
	GOMAXPROCS          int       `json:"GOMAXPROCS"`
	GOMEMLIMIT          int64     `json:"GOMEMLIMIT"`
	GOGC                string    `json:"GOGC"`
	GODEBUG             string    `json:"GODEBUG"`
}

// configData is the settings.
type configData struct {
	YAML string `json:"yaml"`
}

// status adds the endpoints of the status.
func (a api) status(handle func(path string, serve http.HandlerFunc)) {
	serve := func(name string, get func() any) {
		handle("/api/v1/status/"+name, func(w http.ResponseWriter, r *http.Request) {
			if _, err := parseQuery(r.URL.Query(), nil, a.Now()); err != nil {
				fail(w, http.StatusBadRequest, errBadData, err.Error())
				return
			}
			succeed(w, get())
		})
	}
	serve("config", func() any {
		if a.Status.Config == nil {
			return configData{}
		}
		return configData{a.Status.Config()}
	})
	serve("flags", func() any {
		if a.Status.Flags == nil {
			return map[string]string{}
		}
		return a.Status.Flags()
	})
	serve("buildinfo", func() any { return a.Status.Build })
	serve("runtimeinfo", func() any {
		if a.Status.Runtime == nil {
			return RuntimeInfo{}
		}
		return a.Status.Runtime()
	})
}
