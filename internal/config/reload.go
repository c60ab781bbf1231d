package config

import "errors"

// Live is a running tap, as far as a reload can change it. Each method prepares a
// change to the values in s and returns what makes it, which cannot fail. If a method
// returns an error, nothing has changed.
type Live interface {
	// Routing changes which hosts are observed, where requests may go and how, and
	// the catalogue. Files that the settings name are read again.
	Routing(s *Settings) (apply func(), err error)
	// LogLevel changes the level of the log.
	LogLevel(s *Settings) (apply func(), err error)
	// SuccessRatio changes the share of successful calls whose spans are exported.
	SuccessRatio(s *Settings) (apply func(), err error)
}

// change is what a reload changes.
type change struct {
	prepare func(to Live, s *Settings) (apply func(), err error)
}

// The changes that settings in the table refer to.
var (
	routing      = change{Live.Routing}
	logLevel     = change{Live.LogLevel}
	successRatio = change{Live.SuccessRatio}
)

// Reload makes all changes that settings in the table refer to. Either all are made,
// or none and an error is returned. It returns the names of the settings that differ
// from those of the running tap and need a restart. For these, next then reports the
// values in use.
func Reload(to Live, running, next *Settings) (needRestart []string, err error) {
	var applies []func()
	var errs []error
	prepared := make(map[*change]bool)
	was := running.table()
	for i, row := range next.table() {
		switch {
		case row.needsRestart(was[i]):
			needRestart = append(needRestart, row.name)
		case row.reload != nil && !prepared[row.reload]:
			prepared[row.reload] = true
			apply, err := row.reload.prepare(to, next)
			applies, errs = append(applies, apply), append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	for _, apply := range applies {
		apply()
	}
	next.running = running
	return needRestart, nil
}

// needsRestart reports whether a setting of the tap has another value than before that
// needs a restart.
func (row setting) needsRestart(before setting) bool {
	return !row.lookup && row.reload == nil && row.name != "config.file" && row.value.String() != before.value.String()
}
