package logs

import (
	"fmt"
	"io"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
)

// The formats of Config.Format.
const (
	FormatJSON    = "json"
	FormatLogfmt  = "logfmt"
	FormatConsole = "console"
)

// Formats lists them.
func Formats() []string { return []string{FormatJSON, FormatLogfmt, FormatConsole} }

// Config says how the program logs. The zero value logs JSON at level info to
// standard error.
type Config struct {
	Level  string // "debug", "info", "warn" or "error"; "" is info
	Format string // one of Formats; "" is JSON
	// File is appended to, and made with mode 0600 if it is not there; "" for
	// Writer. "-" and "/dev/stdout" are standard output, "/dev/stderr" is
	// standard error, whatever these are. A named pipe need not have a reader.
	File string
	// Writer takes the lines where there is no File; nil is standard error.
	Writer io.Writer
	// Dropped is told of lines that were not written: "queue_full" where the
	// writer was too slow, "write_failed" where it failed. It must be safe for
	// concurrent use.
	Dropped func(reason string, n int)
}

// Logger is the program's logger. Logging never blocks and never fails: lines
// are written by a goroutine of the logger's own.
type Logger struct {
	*zap.Logger

	// Level may be changed at any time. It is an http.Handler, too.
	Level zap.AtomicLevel

	out *writer
}

// New returns a running logger; Close stops it.
func New(cfg Config) (*Logger, error) {
	level, err := zapcore.ParseLevel(orDefault(cfg.Level, "info"))
	if err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", cfg.Level)
	}
	encoder, err := newEncoder(orDefault(cfg.Format, FormatJSON))
	if err != nil {
		return nil, err
	}
	out, err := newWriter(cfg)
	if err != nil {
		return nil, err
	}
	atom := zap.NewAtomicLevelAt(level)
	return &Logger{
		Logger: zap.New(zapcore.NewCore(encoder, out, atom), zap.ErrorOutput(zapcore.AddSync(io.Discard))),
		Level:  atom,
		out:    out,
	}, nil
}

// Reopen opens Config.File anew, for when it was renamed to rotate it. On error
// the logger goes on with the file it has. Without a file it does nothing.
func (l *Logger) Reopen() error { return l.out.reopen() }

// Close writes what is left, for a limited time, and stops the logger. Lines
// logged later are dropped.
func (l *Logger) Close() error { return l.out.close() }

// newEncoder returns the encoder of that format.
func newEncoder(format string) (zapcore.Encoder, error) {
	cfg := zapcore.EncoderConfig{
		TimeKey:        "ts",
		LevelKey:       "level",
		NameKey:        "logger",
		MessageKey:     "msg",
		StacktraceKey:  "stacktrace",
		LineEnding:     zapcore.DefaultLineEnding,
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeTime:     encodeTime,
		EncodeDuration: zapcore.SecondsDurationEncoder,
		EncodeName:     zapcore.FullNameEncoder,
	}
	switch format {
	case FormatJSON:
		return safeEncoder{zapcore.NewJSONEncoder(cfg)}, nil
	case FormatLogfmt:
		return logfmtEncoder{safeEncoder{zapcore.NewJSONEncoder(cfg)}}, nil
	case FormatConsole:
		return safeEncoder{zapcore.NewConsoleEncoder(cfg)}, nil
	}
	return nil, fmt.Errorf("log format %q: want one of %s", format, strings.Join(Formats(), ", "))
}

// safeEncoder writes lines that a terminal shows as they are.
type safeEncoder struct{ zapcore.Encoder }

// Clone implements zapcore.Encoder.
func (e safeEncoder) Clone() zapcore.Encoder { return safeEncoder{e.Encoder.Clone()} }

// EncodeEntry implements zapcore.Encoder.
func (e safeEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	line, err := e.Encoder.EncodeEntry(entry, fields)
	if err != nil {
		return nil, err
	}
	text := printable.EscapeBytes(line.Bytes())
	line.Reset()
	_, _ = line.Write(text) // memory takes all; the same bytes where nothing was escaped
	return line, nil
}

// encodeTime writes RFC 3339 with nanoseconds, in UTC.
func encodeTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	zapcore.RFC3339NanoTimeEncoder(t.UTC(), enc)
}

// orDefault returns s, or def if s is empty.
func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
