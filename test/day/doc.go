// Package day measures the diagnoses of exporter/diagnosis on a generated day of
// mixed traffic whose causes are known.
//
//	scenarios ──> plan: attempts, changes of the gateway, and what must be found
//	                │  in the order of time
//	              world: signs the request, lets the simulated gateway answer it,
//	                │    classifies the bytes, and passes the attempt to a Diagnoser
//	              score: compares what was given with what is true, by diagnosis
//
// Times are those of the plan, so that a day takes about a minute.
//
//	make diagnose-day              # the whole day; fails if a figure is below the goal
//	make diagnose-day UPDATE=1     # also writes the table of docs/diagnosis.md
package day
