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

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

// caVerb makes, shows and exports the CA of a directory.
type caVerb struct {
	dir    string
	hosts  []collector.HostPattern
	output string // of show
	format string // of export
	bundle bool
	file   string
}

func newCA(app *kingpin.Application, verbs map[string]verb) {
	v := &caVerb{}
	c := app.Command("ca", "Look after the CA for interception.")
	c.Flag("dir", "Its directory: the tap's --intercept.ca-dir; for show and export its --intercept.publish-dir will do.").Required().Envar(config.EnvPrefix + "INTERCEPT_CA_DIR").PlaceHolder("DIR").StringVar(&v.dir)

	create := c.Command("create", "Make the CA, if there is none; a tap with --intercept does so by itself.")
	create.Flag("host", "Host that it is for, as the tap's --tap.host. Repeatable.").Default(config.DefaultTapHost).SetValue(config.HostPatterns(&v.hosts))
	verbs["ca create"] = v.create

	show := c.Command("show", "Show which CAs programs are to trust, what they are for, and until when. Fails if others can read the key.")
	show.Flag("output", "text or json.").Default("text").EnumVar(&v.output, "text", "json")
	verbs["ca show"] = v.show

	export := c.Command("export", "Write what programs are to trust; never the key.")
	export.Flag("format", "pem, der (one certificate), or pkcs12 (a trust store for Java, password "+trustStorePassword+").").Default("pem").EnumVar(&v.format, "pem", "der", "pkcs12")
	export.Flag("bundle", "With the system's CAs, for programs where ours would replace them. Not as der.").BoolVar(&v.bundle)
	export.Flag("file", "Where to write it, with mode 0644; standard output if not given.").PlaceHolder("FILE").StringVar(&v.file)
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
		return nil, usageError{fmt.Errorf("%w: make the CA with ksyun-tap ca create --dir=%s", err, v.dir)}
	}
	return data, err
}

// caInfo is what show tells of one root.
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
		return usageError{fmt.Errorf("%s: %w", filepath.Join(v.dir, "ca.pem"), err)}
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
		fmt.Fprintf(w, "subject\t%s\nSHA-256\t%s\npermitted\t%v and what is below, no address\nvalid\t%s to %s (%d days to go)\n\n",
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
			return usageError{fmt.Errorf("%s holds more than one certificate, and der takes one: use --format=pem", name)}
		}
		data = block.Bytes
	case "pkcs12":
		if data, err = encodeTrustStore(data); err != nil {
			return err
		}
	}
	if v.file == "" {
		_, err = io.Copy(std.out, bytes.NewReader(data))
		return err
	}
	return os.WriteFile(v.file, data, 0o644) //nolint:gosec // for all to read
}
