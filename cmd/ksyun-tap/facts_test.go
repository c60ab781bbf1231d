package main

import (
	"bytes"
	"testing"
)

// TestFacts checks that values are aligned by the width of names on a terminal, on which
// a Chinese character takes two columns, and that empty ones are omitted.
func TestFacts(t *testing.T) {
	var b bytes.Buffer
	f := facts{out: &b}
	f.add("Code", "x")
	f.add("A longer name", "")
	f.text("含义", "a text that stays on one line, because this is no terminal, however long it is")
	if err := f.flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := b.String(), "Code  x\n含义  a text that stays on one line, because this is no terminal, however long it is\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
