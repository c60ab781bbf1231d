package logs

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"

	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
)

// The values of Config.Format.
const (
	FormatJSON    = "json"
	FormatLogfmt  = "logfmt"
	FormatConsole = "console"
)

// Formats returns every log format.
func Formats() []string { return []string{FormatJSON, FormatLogfmt, FormatConsole} }

// Config is the configuration of a Logger. The zero value logs JSON at level
// info to standard error.
type Config struct {
	Level  string // "debug", "info", "warn" or "error"; "" is info
	Format string // one of Formats; "" is JSON
	// File is the path of the log file. It is appended to, and created with mode
	// 0600 if it does not exist. "-" and "/dev/stdout" are standard output,
	// "/dev/stderr" is standard error, whatever they are connected to. A named
	// pipe need not have a reader. If File is "", Writer is used.
	File string
	// Writer receives the lines if File is "". If nil, standard error is used.
	Writer io.Writer
	// Dropped is called with the reason and the number of lines that were not
	// written: "queue_full" if the writer was too slow, "write_failed" if it
	// failed, "shutdown" if the logger was closed. It must be safe for
	// concurrent use.
	Dropped func(reason string, n int)
}

// Logger is the program's logger. Logging never blocks and never fails: lines
// are written by a goroutine of the logger.
type Logger struct {
	*zap.Logger

	// Level may be changed at any time. It is also an http.Handler.
	Level zap.AtomicLevel

	out *writer
}

// New returns a running logger. Call Close to stop it.
func New(cfg Config) (*Logger, error) {
	level, err := zapcore.ParseLevel(cmp.Or(cfg.Level, "info"))
	if err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", cfg.Level)
	}
	encoder, err := newEncoder(cmp.Or(cfg.Format, FormatJSON))
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

// Tee sends every line to core as well, which must accept every level. It must be called
// before the logger is used or copied.
func (l *Logger) Tee(core zapcore.Core) {
	l.Logger = l.WithOptions(zap.WrapCore(func(own zapcore.Core) zapcore.Core {
		limited, err := zapcore.NewIncreaseLevelCore(core, l.Level)
		if err != nil {
			panic(err) // core does not accept every level
		}
		return zapcore.NewTee(own, limited)
	}))
}

// Reopen reopens Config.File, for use after the file was renamed by log rotation.
// On error, the logger keeps the file it has. If there is no file, Reopen does
// nothing.
func (l *Logger) Reopen() error { return l.out.reopen() }

// Close writes the pending lines, within a limited time, and stops the logger.
// Lines logged later are dropped.
func (l *Logger) Close() error { return l.out.close() }

// newEncoder returns the encoder for a format.
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

// safeEncoder escapes characters that a terminal would interpret.
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
	_, _ = line.Write(text) // a buffer; never fails
	return line, nil
}

// encodeTime writes RFC 3339 with nanoseconds, in UTC.
func encodeTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	zapcore.RFC3339NanoTimeEncoder(t.UTC(), enc)
}
