package otlp

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// configFile names a file in OpenTelemetry's declarative configuration, which replaces
// all other variables. Those parts of it are read that the variables can express; for
// the rest, the SDK's package would link every exporter there is.
const configFile = "OTEL_CONFIG_FILE"

// maxConfigFile is the maximum size of the file in bytes.
const maxConfigFile = 1 << 20

// fileWalk walks through a file.
type fileWalk struct {
	getenv  func(string) string
	format  string
	nodes   int               // visited
	values  map[string]string // of the variables that the file sets
	unknown []string          // paths of keys that are not supported, never values, which may be secrets
}

// readConfigFile reads a file. Its errors do not quote its content.
func readConfigFile(name string, getenv func(string) string) (*fileWalk, error) {
	data, ok := readRegular(name, maxConfigFile)
	if !ok {
		return nil, errors.New(unreadable)
	}
	return parseConfigFile(data, getenv)
}

// parseConfigFile parses a file.
func parseConfigFile(data []byte, getenv func(string) string) (*fileWalk, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil || len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("names a file that is not YAML with keys at its top")
	}
	w := &fileWalk{getenv: getenv, values: map[string]string{}}
	w.walk("", root.Content[0], 0)
	if !strings.HasPrefix(w.format, "1.") && w.format != "1" {
		return nil, errors.New("names a file whose file_format is not 1.x")
	}
	slices.Sort(w.unknown)
	w.unknown = slices.Compact(w.unknown)
	return w, nil
}

// problem returns what is not supported as a reason, or "".
func (w *fileWalk) problem() string {
	const most = 8
	if len(w.unknown) == 0 {
		return ""
	}
	names := w.unknown[:min(len(w.unknown), most)]
	rest := ""
	if n := len(w.unknown) - len(names); n > 0 {
		rest = fmt.Sprintf(" and %d more", n)
	}
	return "names a file with keys that are not supported and ignored: " + strings.Join(names, ", ") + rest
}

// The limits of a file. They also end aliases in circles.
const (
	maxFileDepth = 16
	maxFileNodes = 10_000
)

// walk reads what is at a path. Elements of a list have the path of the list.
func (w *fileWalk) walk(path string, n *yaml.Node, depth int) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if w.nodes++; depth > maxFileDepth || w.nodes > maxFileNodes {
		w.ignore(path)
		return
	}
	if set := fileLists[path]; set != "" && n.Kind == yaml.SequenceNode {
		w.set(set, w.pairs(path, n))
		return
	}
	for _, v := range filePresent[path] {
		w.set(v.name, v.value)
	}
	switch n.Kind {
	case yaml.MappingNode:
		if len(n.Content) == 0 && filePresent[path] == nil {
			w.ignore(path)
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if path != "" {
				key = path + "." + key
			}
			w.walk(key, n.Content[i+1], depth+1)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			if i == 0 {
				w.walk(path, item, depth+1)
			} else {
				w.ignore(path + "[" + strconv.Itoa(i) + "]") // only one exporter of a kind
			}
		}
	case yaml.ScalarNode:
		w.scalar(path, n)
	}
}

func (w *fileWalk) scalar(path string, n *yaml.Node) {
	value := w.expand(n.Value)
	variable := fileScalars[path]
	switch {
	case path == "file_format":
		w.format = value
	case filePresent[path] != nil:
	case variable == "":
		w.ignore(path)
	case n.Tag == "!!null" || value == "": // not set
	case strings.HasSuffix(path, ".encoding"): // json only if it is set
		if value == "json" {
			w.set(variable, ProtocolJSON)
		}
	default:
		w.set(variable, value)
	}
}

// ignore reports a path.
func (w *fileWalk) ignore(path string) { w.unknown = append(w.unknown, path) }

func (w *fileWalk) set(variable, value string) { w.values[variable] = value }

// pairs returns a list of names and values as variables have it.
func (w *fileWalk) pairs(path string, list *yaml.Node) string {
	var all []string
	for _, item := range list.Content {
		var pair struct{ Name, Value string }
		if item.Decode(&pair) != nil || pair.Name == "" {
			w.ignore(path + " (an item without a name, or with another value than a scalar)")
			continue
		}
		all = append(all, pair.Name+"="+strings.ReplaceAll(url.PathEscape(w.expand(pair.Value)), ",", "%2C"))
	}
	return strings.Join(all, ",")
}

var reference = regexp.MustCompile(`\$\$|\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}`)

// expand replaces ${NAME}, ${env:NAME} and ${NAME:-default} by values of the
// environment, and $$ by $.
func (w *fileWalk) expand(text string) string {
	return reference.ReplaceAllStringFunc(text, func(ref string) string {
		if ref == "$$" {
			return "$"
		}
		parts := reference.FindStringSubmatch(ref)
		if v := w.getenv(parts[1]); v != "" {
			return v
		}
		return parts[2]
	})
}

// The tables of what is supported, by paths.
var (
	fileScalars = map[string]string{
		"disabled":                 "OTEL_SDK_DISABLED",
		"resource.attributes_list": "OTEL_RESOURCE_ATTRIBUTES",
		"attribute_limits.attribute_value_length_limit":       "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
		"attribute_limits.attribute_count_limit":              "OTEL_ATTRIBUTE_COUNT_LIMIT",
		"tracer_provider.limits.attribute_value_length_limit": "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
		"tracer_provider.limits.attribute_count_limit":        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
		"logger_provider.limits.attribute_value_length_limit": "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
		"logger_provider.limits.attribute_count_limit":        "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT",
		"meter_provider.readers.periodic.interval":            "OTEL_METRIC_EXPORT_INTERVAL",
		"meter_provider.readers.periodic.timeout":             "OTEL_METRIC_EXPORT_TIMEOUT",
	}
	// fileLists are lists of names and values.
	fileLists = map[string]string{"resource.attributes": "OTEL_RESOURCE_ATTRIBUTES"}
	// filePresent are the variables that the presence of a key sets.
	filePresent = map[string][]struct{ name, value string }{}
)

func init() {
	type set = struct{ name, value string }
	for _, s := range []struct{ path, name, batches string }{
		{"tracer_provider.processors.batch", "TRACES", "OTEL_BSP_"},
		{"logger_provider.processors.batch", "LOGS", "OTEL_BLRP_"},
		{"meter_provider.readers.periodic", "METRICS", ""},
	} {
		if s.batches != "" {
			for _, key := range []string{"schedule_delay", "export_timeout", "max_queue_size", "max_export_batch_size"} {
				fileScalars[s.path+"."+key] = s.batches + strings.ToUpper(key)
			}
		}
		enabled := "OTEL_" + s.name + "_EXPORTER"
		filePresent[s.path+".exporter.console"] = []set{{enabled, "console"}}
		own := forAll + s.name + "_"
		for exporter, protocol := range map[string]string{"otlp_http": ProtocolHTTP, "otlp_grpc": ProtocolGRPC} {
			at := s.path + ".exporter." + exporter
			filePresent[at] = []set{{enabled, "otlp"}, {own + "PROTOCOL", protocol}}
			fileLists[at+".headers"] = own + "HEADERS"
			maps.Copy(fileScalars, map[string]string{
				at + ".endpoint": own + "ENDPOINT", at + ".headers_list": own + "HEADERS",
				at + ".compression": own + "COMPRESSION", at + ".timeout": own + "TIMEOUT",
				at + ".tls.ca_file": own + "CERTIFICATE", at + ".tls.cert_file": own + "CLIENT_CERTIFICATE", at + ".tls.key_file": own + "CLIENT_KEY",
			})
		}
		fileScalars[s.path+".exporter.otlp_http.encoding"] = own + "PROTOCOL"
		fileScalars[s.path+".exporter.otlp_grpc.tls.insecure"] = own + "INSECURE"
	}
}
