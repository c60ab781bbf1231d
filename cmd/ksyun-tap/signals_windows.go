package main

import "os"

// reopening are the signals that only reopen the log. Windows has none.
var reopening []os.Signal
