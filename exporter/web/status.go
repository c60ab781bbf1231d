package web

import "time"

// Status describes the running program for /api/v1/status. The functions may be
// called concurrently. If one is nil, its endpoint responds with an empty object.
type Status struct {
	// Config returns the settings as YAML, without secrets.
	Config func() string
	Build  BuildInfo
	// Runtime returns the state of the process.
	Runtime func() RuntimeInfo
	// Settings returns the settings in use with the source of each, without secrets.
	Settings func() []Setting
	// Losses returns what was lost because a queue or a limit was exceeded.
	Losses func() []Loss
}

// Setting is a setting, its value that is in use, and where that comes from.
type Setting struct {
	Name, Value string
	Source      string // a flag, a variable, a place in a file, or "default"
	Pending     *Pending
}

// Pending is another value that was read since, and that a restart applies.
type Pending struct {
	Value  string `json:"value"`
	Source string `json:"source"`
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
	// Reloads are the times of the last reloads that succeeded, oldest first.
	Reloads []time.Time `json:"-"`
}

// configData is the settings in use.
type configData struct {
	YAML string `json:"yaml"`
	// Pending has the changed settings that need a restart, by name.
	Pending map[string]*Pending `json:"pending,omitempty"`
}

// config returns the settings in use, and those that need a restart.
func (a api) config() any {
	d := configData{Pending: map[string]*Pending{}}
	if a.Status.Config != nil {
		d.YAML = a.Status.Config()
	}
	for _, s := range a.settings() {
		if s.Pending != nil {
			d.Pending[s.Name] = s.Pending
		}
	}
	return d
}

// flags returns the values of the settings in use by name.
func (a api) flags() any {
	flags := map[string]string{}
	for _, s := range a.settings() {
		flags[s.Name] = s.Value
	}
	return flags
}

// runtime returns the state of the process.
func (a api) runtime() RuntimeInfo {
	if a.Status.Runtime == nil {
		return RuntimeInfo{}
	}
	return a.Status.Runtime()
}

// settings returns the settings, if they are known.
func (a api) settings() []Setting {
	if a.Status.Settings == nil {
		return nil
	}
	return a.Status.Settings()
}
