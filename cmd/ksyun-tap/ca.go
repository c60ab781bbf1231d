package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/trust"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// caVerb creates, shows and exports the CA in a directory.
type caVerb struct {
	dir    string
	hosts  hostname.Patterns
	output string // of show
	format string // of export
	bundle bool
	file   string
}

func newCA(app *kingpin.Application, verbs map[string]verb) {
	v := &caVerb{}
	c := app.Command("ca", "Manage the local CA for interception.")
	c.Flag("dir", "Directory of the CA: the tap's --intercept.ca-dir. For show and export, its --intercept.publish-dir works as well.").Required().Envar(config.EnvPrefix + "INTERCEPT_CA_DIR").PlaceHolder("DIR").StringVar(&v.dir)

	create := c.Command("create", "Create the CA if there is none. A tap with --intercept does so itself.")
	create.Flag("host", "Host that the CA may sign for, as in the tap's --tap.host. Repeatable.").Default(config.DefaultTapHost).SetValue(config.HostPatterns(&v.hosts))
	verbs["ca create"] = v.create

	show := c.Command("show", "Show the root certificates that programs must trust, their permitted hosts and validity. Fails if other users can read the key.")
	show.Flag("output", "Format: text or json.").Default("text").SetValue(config.OneOf(&v.output, "text", "json"))
	verbs["ca show"] = v.show

	export := c.Command("export", "Write the certificates that programs must trust. Never writes the key.")
	export.Flag("format", "Format: pem, der (one certificate), or pkcs12 (a trust store for Java with the password "+trust.JavaPassword+").").Default("pem").SetValue(config.OneOf(&v.format, "pem", "der", "pkcs12"))
	export.Flag("bundle", "Include the system's CAs, for programs that would otherwise trust ours only. Not with der.").BoolVar(&v.bundle)
	export.Flag("file", "File to write, with mode 0644. Default: standard output.").PlaceHolder("FILE").StringVar(&v.file)
	verbs["ca export"] = v.export
}

func (v *caVerb) create(_ context.Context, std stdio) error {
	var permitted []string
	for _, host := range v.hosts {
		permitted = append(permitted, host.String())
	}
	authority, err := ca.Open(ca.Config{Dir: v.dir, Permitted: permitted})
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprintf(std.out, "%s is for %v until %s, SHA-256 %s\n",
		filepath.Join(v.dir, "ca.pem"), permitted, authority.NotAfter().Format(time.RFC3339), authority.Fingerprint())
	return err
}

// certificates reads one of the published files.
func (v *caVerb) certificates(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(v.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError{usererror.Wrap(err, "create the CA with ksyun-tap ca create --dir="+v.dir)}
	}
	return data, err
}

// caInfo describes a root certificate in the output of show.
type caInfo struct {
	Subject   string    `json:"subject"`
	SHA256    string    `json:"sha256"`
	Permitted []string  `json:"permitted"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

func (v *caVerb) show(_ context.Context, std stdio) error {
	data, err := v.certificates("ca.pem")
	if err != nil {
		return err
	}
	roots, err := ca.ReadRoots(data)
	if err != nil {
		return usageError{usererror.At(filepath.Join(v.dir, "ca.pem"), err)}
	}
	keyErr := ca.CheckKey(v.dir)
	infos := make([]caInfo, len(roots))
	for i, r := range roots {
		infos[i] = caInfo{r.Name, r.Fingerprint, r.Permitted, r.NotBefore, r.NotAfter}
	}
	if v.output == "json" {
		enc := json.NewEncoder(std.out)
		enc.SetIndent("", "  ")
		if err := enc.Encode(infos); err != nil {
			return err
		}
		return keyErr
	}
	w := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	for _, i := range infos {
		fmt.Fprintf(w, "subject\t%s\nSHA-256\t%s\npermitted\t%v and names below, no IP addresses\nvalid\t%s to %s (%d days left)\n\n",
			i.Subject, i.SHA256, i.Permitted, i.NotBefore.Format(time.RFC3339), i.NotAfter.Format(time.RFC3339), int(time.Until(i.NotAfter).Hours()/24))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return keyErr
}

func (v *caVerb) export(_ context.Context, std stdio) error {
	name := "ca.pem"
	if v.bundle {
		name = "bundle.pem"
	}
	data, err := v.certificates(name)
	if err != nil {
		return err
	}
	switch v.format {
	case "der":
		block, rest := pem.Decode(data)
		if block == nil || len(bytes.TrimSpace(rest)) > 0 {
			return usageError{usererror.New(name+" contains more than one certificate, which der cannot", "use --format=pem")}
		}
		data = block.Bytes
	case "pkcs12":
		if data, err = trust.EncodeJava(data); err != nil {
			return err
		}
	}
	if v.file == "" {
		_, err = io.Copy(std.out, bytes.NewReader(data))
		return err
	}
	return os.WriteFile(v.file, data, 0o644) //nolint:gosec // programs of all users read it
}
