package config

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// CredentialAlias is the name under which an access key is reported. The access
// key is given by a file or by its hash. It is not part of the settings, so that
// nothing that prints settings can reveal it.
type CredentialAlias struct {
	Name string
	Hash string // as reported; "" if File is given
	File string // contains the access key ID; "" if Hash is given
}

// String returns the text of the setting.
func (a CredentialAlias) String() string { return a.Name + "=" + a.Hash + a.File }

const (
	hashDigits   = 16 // length of the hash of an access key
	minHashKey   = 16 // minimum length of the secret for hashing, in bytes
	maxAliasName = 64
)

// parseAlias parses NAME=FILE or NAME=HASH. Its errors do not quote the text,
// which may contain an access key by mistake.
func parseAlias(text string) (CredentialAlias, error) {
	name, value, ok := strings.Cut(text, "=")
	switch {
	case !ok || value == "" || !isAliasName(name):
		return CredentialAlias{}, usererror.New("the value, which is not shown because it may be an access key, is not an alias", "write NAME=FILE or NAME=HASH, with a name of letters, digits, '.', '-' and '_'")
	case name == "none" || name == diagnosis.OtherCredential:
		return CredentialAlias{}, usererror.New("the alias "+name+" has a meaning of its own in metrics", "choose another name")
	case redact.LooksKey(name):
		return CredentialAlias{}, usererror.New("the name of the alias looks like an access key", "choose another one")
	case len(value) == hashDigits && isHex(value):
		return CredentialAlias{Name: name, Hash: strings.ToLower(value)}, nil
	case !strings.ContainsAny(value, `./\`) && redact.LooksKey(value):
		return CredentialAlias{}, usererror.New("the alias "+name+" contains an access key", "write it to a file and give the name of the file")
	}
	return CredentialAlias{Name: name, File: value}, nil
}

func isAliasName(s string) bool {
	for _, c := range []byte(s) {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= maxAliasName
}

func isHex(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil
}

// validateAliases checks the combination of aliases.
func (s *Settings) validateAliases() error {
	names := make(map[string]bool)
	for _, a := range s.CredentialAliases {
		if names[a.Name] {
			return usererror.New("--credential.alias gives two keys the name "+a.Name, "give each a name of its own")
		}
		names[a.Name] = true
		if a.Hash != "" && s.CredentialKeyFile == "" {
			return usererror.New(fmt.Sprintf("--credential.alias=%s needs --credential.key-file", a), "set it: without it the hashes change with every start")
		}
	}
	return nil
}

// CredentialNames reads the files of the credential.* settings and returns the
// names under which access keys are reported.
func (s *Settings) CredentialNames() (classify.CredentialNames, error) {
	names := classify.CredentialNames{Aliases: make(map[string]string, len(s.CredentialAliases))}
	if s.CredentialKeyFile == "" {
		names.Key = make([]byte, sha256.Size)
		if _, err := rand.Read(names.Key); err != nil {
			return names, fmt.Errorf("create a key for hashing access keys: %w", err)
		}
	} else {
		data, err := readSecret("credential.key-file", s.CredentialKeyFile)
		if err != nil {
			return names, err
		}
		if len(data) < minHashKey {
			return names, usererror.New(fmt.Sprintf("--credential.key-file=%s contains %d bytes", s.CredentialKeyFile, len(data)), fmt.Sprintf("write at least %d random ones, such as the output of openssl rand -hex 32", minHashKey))
		}
		names.Key = data
	}
	for _, a := range s.CredentialAliases {
		hash := a.Hash
		if a.File != "" {
			data, err := readSecret("credential.alias", a.File)
			if err != nil {
				return names, err
			}
			accessKey := accessKeyOf(data)
			if accessKey == "" {
				return names, usererror.At(fmt.Sprintf("--credential.alias=%s", a), usererror.New("the file contains no access key ID", "write the ID alone, or access_key: ID"))
			}
			hash = classify.HashAccessKey(names.Key, []byte(accessKey))
		}
		if other, ok := names.Aliases[hash]; ok {
			return names, usererror.New(fmt.Sprintf("--credential.alias gives one key the names %s and %s", other, a.Name), "keep one")
		}
		names.Aliases[hash] = a.Name
	}
	return names, nil
}

// readSecret reads a file that other users must not be able to read. The result
// has no space at its ends.
func readSecret(flag, name string) ([]byte, error) {
	data, err := ReadFile(name)
	if err != nil {
		return nil, usererror.At("--"+flag, err)
	}
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
		return nil, usererror.At("--"+flag, usererror.New(fmt.Sprintf("%s has mode %04o, so that other users can access it", name, info.Mode().Perm()), "chmod 600 "+name))
	}
	return bytes.TrimSpace(data), nil
}

// accessKeyOf returns the access key ID in a file that contains nothing else, or
// that has the format of --resign.credentials-file. It returns "" if there is none.
func accessKeyOf(data []byte) string {
	if !bytes.ContainsAny(data, " \t\r\n:{}") {
		return string(data)
	}
	var c struct {
		AccessKey string `yaml:"access_key"`
	}
	if yaml.Unmarshal(data, &c) != nil {
		return ""
	}
	return c.AccessKey
}
